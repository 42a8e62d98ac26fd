"""Accounts and invitations, against a real Synapse of its own on a unix socket."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from samsesh import secrets
from samsesh.clients.synapse import SynapseClient
from samsesh.errors import FAILED, USAGE, SamseshError, SettingsError
from samsesh.home import Home
from samsesh.model import Endpoint, Offer, Plan
from samsesh.ops import auto_join, backup, deploy, doctor_account, invites, service_account, users
from samsesh.settings import Settings

PASSWORD = "long enough for all"
OWN = ["@samsesh.doctor:a.test", "@samsesh.service:a.test"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What commands need of one home, with Synapse alone running on SQLite."""
    folder = tmp_path_factory.mktemp("synapse")
    home = Home(folder / "home")
    home.prepare()
    ours = secrets.ensure(home)
    socket_path, port = folder / "s", _free_port()
    (folder / "signing_key").write_text(ours.signing_key.reveal())
    config = {
        "server_name": "a.test",
        "listeners": [_listener(path=str(socket_path)), _listener(port=port, bind_addresses=["127.0.0.1"])],
        "database": {"name": "sqlite3", "args": {"database": str(folder / "db")}},
        "registration_shared_secret": ours.registration_shared_secret.reveal(),
        "macaroon_secret_key": ours.macaroon_key.reveal(),
        "form_secret": ours.form_key.reveal(),
        "signing_key_path": str(folder / "signing_key"),
        "media_store_path": str(folder / "media"),
        "pid_file": str(folder / "pid"),
        "report_stats": False,
        "trusted_key_servers": [],
        "auto_join_rooms": ["#welcome:a.test"],
        "modules": [{"module": "samsesh.synapse_module.AccountsModule", "config": {"own": OWN}}],
        "rc_login": {kind: {"per_second": 1000, "burst_count": 1000} for kind in ("address", "account")},
    }
    (folder / "homeserver.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "synapse.app.homeserver", "-c", str(folder / "homeserver.yaml")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        _wait_ready(socket_path, process, folder / "log")
        offer = Offer(admin_api=Endpoint(socket=socket_path), addresses={"web": "http://localhost:8080"})
        settings = Settings.model_validate({"server": {"name": "a.test"}})
        yield SimpleNamespace(
            home=home,
            settings=settings,
            secrets=ours,
            plan=Plan((), offer),
            say=None,
            url=f"http://127.0.0.1:{port}",
        )
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listener(**where: Any) -> dict[str, Any]:
    return {**where, "type": "http", "x_forwarded": True, "resources": [{"names": ["client"]}]}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end and process.poll() is None:
        try:
            with SynapseClient(path) as nobody:
                nobody.request("GET", "/_matrix/client/versions")
            return
        except SamseshError:
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-2000:])


def test_the_first_administrator_is_made_once(server: Any) -> None:
    """The first start makes an administrator. Its password is said until it was seen; later starts change nothing."""
    made = service_account.first_admin(server)
    assert made is not None
    admin, generated = made
    assert admin == "@admin:a.test"
    assert generated and len(generated) >= 20
    with SynapseClient(server.plan.offer.admin_api.socket) as nobody:
        assert nobody.login(admin, generated, "PHONE")
    assert service_account.first_admin(server) == made  # the start that made it was killed before it said so
    service_account.password_shown(server.home)
    assert service_account.first_admin(server) is None
    assert server.home.state()["first_admin"] == admin
    with service_account.client(server) as synapse:  # nobody can take the doctor's name
        assert (synapse.user(doctor_account.user_id(server)) or {})["user_type"] == "support"


def members(server: Any, alias: str) -> list[str]:
    with service_account.client(server) as synapse:
        room = synapse.room(alias)
        return sorted(synapse.room_members(room["room_id"])) if room else []


def test_rooms_that_everybody_joins(server: Any) -> None:
    """Our own accounts are in none. One that the setting names later is made, once, and belongs to an administrator."""
    with service_account.client(server) as synapse:
        synapse.put_user("@early:a.test", password=PASSWORD)
    assert members(server, "#welcome:a.test") == ["@admin:a.test", "@early:a.test"]
    rooms = ["#welcome:a.test", "#news:a.test", "#elsewhere:b.test"]
    wanted = {"server": {"name": "a.test"}, "registration": {"auto_join_rooms": rooms}}
    later = SimpleNamespace(**{**vars(server), "settings": Settings.model_validate(wanted)})
    for _ in range(2):
        assert auto_join.make_missing(cast("Any", later)) == []
        assert members(server, "#news:a.test") == ["@admin:a.test"]
    with service_account.client(server) as synapse:
        synapse.deactivate("@early:a.test", erase=False)
    later.plan = Plan((), Offer(admin_api=Endpoint(socket=server.home.path / "nobody")))
    report = deploy.Report(cast("Any", later), [])
    deploy._make_rooms(cast("Any", later), report)  # what is wrong with them keeps nobody's password back
    assert len(report.failed) == 1 and not report.warnings


@pytest.mark.parametrize("chosen", ["", "the wizard's answer"])
def test_a_start_that_ends_behind_the_account_loses_no_password(
    server: Any, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    """Killed when the account was made and before that was remembered: the next start has the password all the same, in
    a closed file until then. If the operator has chosen one meanwhile, that one counts, and nothing is printed.
    """
    named = {"server": {"name": "a.test"}, "admin": {"name": f"first{len(chosen)}"}}
    monkeypatch.setattr(server, "settings", Settings.model_validate(named))
    server.home.remember(first_admin=None)

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(service_account, "reserve", kill)
        with pytest.raises(Killed):
            service_account.first_admin(server)
    (kept,) = server.home.secrets_dir.glob("first_admin*")
    assert kept.stat().st_mode & 0o777 == 0o600
    generated = kept.read_text()
    if chosen:
        secrets.keep_first_admin_password(server.home, chosen)
    admin = f"@{server.settings.admin.name}:a.test"
    assert service_account.first_admin(server) == (admin, None if chosen else generated)
    with SynapseClient(server.plan.offer.admin_api.socket) as nobody:
        assert nobody.login(admin, chosen or generated, "PHONE")
    assert (service_account.first_admin(server) is None) == bool(chosen)
    users.set_password(server, admin, "another one, by command")
    assert service_account.first_admin(server) is None  # what was generated is no longer valid
    assert not list(server.home.secrets_dir.glob("first_admin*"))


def test_the_service_account_mends_its_token(server: Any) -> None:
    """A lost or wrong token is replaced by a log-in, a good one is kept, and it is in no list."""
    token = service_account.ensure(server)
    assert service_account.ensure(server) == token
    secrets.keep(server.home, secrets.SERVICE_TOKEN, "syt_wrong")
    assert service_account.ensure(server) not in ("syt_wrong", "")
    assert service_account.user_id(server) not in [user["name"] for user in users.listed(server)]
    with pytest.raises(SamseshError) as refused:
        users.show(server, service_account.NAME)
    assert refused.value.code == USAGE


def test_a_log_in_is_proven_and_leaves_nothing(server: Any) -> None:
    """`up` proves a log-in through the public address and leaves the service account as it was."""
    token = service_account.ensure(server)
    service_account.prove_login(server, server.url)
    assert service_account.ensure(server) == token
    with service_account.client(server) as synapse:
        devices = [device["device_id"] for device in synapse.devices(service_account.user_id(server))]
    assert devices == [service_account.DEVICE]
    with pytest.raises(SamseshError, match="asking for the versions failed"):
        service_account.prove_login(server, f"http://127.0.0.1:{_free_port()}")


def test_an_account_from_its_beginning_to_its_end(server: Any) -> None:
    """Add, show, admin, password, logout, deactivate: each does what it says in Synapse."""
    alice = users.add(server, "alice", PASSWORD, display_name="Alice")
    socket_path = server.plan.offer.admin_api.socket
    with SynapseClient(socket_path) as nobody:
        nobody.login(alice, PASSWORD, "PHONE")
    shown = users.show(server, "@alice:a.test")
    assert (shown["display_name"], shown["admin"]) == ("Alice", False)
    assert [device["id"] for device in shown["devices"]] == ["PHONE"]
    listed = next(user for user in users.listed(server) if user["name"] == alice)
    assert abs(listed["created"] - shown["created"]) < 1000  # both in milliseconds
    assert abs(time.time() * 1000 - listed["created"]) < 120_000
    users.set_admin(server, "@alice", True)
    assert users.show(server, "alice")["admin"]
    users.set_password(server, "alice", "another long word", logout=False)
    assert users.logout(server, "alice") == 1
    with SynapseClient(socket_path) as nobody:
        nobody.login(alice, "another long word", "PHONE")
    users.deactivate(server, "alice")
    assert alice not in [user["name"] for user in users.listed(server)]
    assert alice in [user["name"] for user in users.listed(server, deactivated=True)]
    with pytest.raises(SamseshError, match="never given twice"):
        users.add(server, "alice", PASSWORD)


def test_locked_accounts_and_all_pages_are_listed(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Synapse hides locked accounts and gives pages; our list has everybody."""
    names = [users.add(server, f"page{number}", PASSWORD) for number in range(3)]
    with service_account.client(server) as synapse:
        synapse.put_user(names[0], locked=True)
    monkeypatch.setattr("samsesh.clients.synapse.PAGE", 2)
    found = users.listed(server)
    assert set(names) <= {user["name"] for user in found}
    assert len(users.listed(server, limit=2)) == 2


@pytest.mark.parametrize(
    ("name", "password", "code", "reason"),
    [
        ("Bob", PASSWORD, USAGE, "user name"),
        ("_bob", PASSWORD, USAGE, "begin with _"),
        ("@bob:else.where", PASSWORD, USAGE, "no account of this server"),
        ("bob", "short", USAGE, "at least 8"),
        (service_account.NAME, PASSWORD, USAGE, "Samsesh works"),
        ("twice", PASSWORD, FAILED, "exists already"),
    ],
)
def test_wrong_accounts_are_refused(server: Any, name: str, password: str, code: int, reason: str) -> None:
    """Bad names and passwords end with exit code 2, existing names with 1, each with a reason and a hint."""
    if name == "twice":
        users.add(server, name, password)
    with pytest.raises(SamseshError, match=reason) as refused:
        users.add(server, name, password)
    assert refused.value.code == code
    assert refused.value.hint


def test_an_unknown_account_is_told(server: Any) -> None:
    """A name that nobody has is an error, never a new account."""
    for change in (users.show, users.logout, users.deactivate):
        with pytest.raises(SamseshError, match="no account @nobody"):
            change(server, "nobody")
    with pytest.raises(SamseshError, match="no account @nobody"):
        users.set_password(server, "nobody", PASSWORD)


def test_invitations(server: Any) -> None:
    """An invitation has a link with its token, is listed, and ends when revoked."""
    made = invites.create(server, uses=2, seconds=3600)
    assert made["token"] in made["link"]
    assert made["link"].startswith("http://localhost:8080/register")
    assert made["uses"] == 2
    assert 0 < made["expires"] - time.time() * 1000 <= 3_600_000
    assert made["token"] in [invite["token"] for invite in invites.listed(server)]
    invites.revoke(server, made["token"])
    assert invites.listed(server) == []
    with pytest.raises(SamseshError, match="no such invitation"):
        invites.revoke(server, made["token"])


def test_a_closed_server_makes_no_invitations(server: Any) -> None:
    """Where registration is closed the way to open it is told; where it is open, that nobody needs one."""
    closed = Settings.model_validate({"registration": {"mode": "closed"}})
    with pytest.raises(SamseshError, match="closed") as refused:
        invites.create(cast("Any", SimpleNamespace(settings=closed)))
    assert "registration.mode token" in refused.value.hint
    opened = Settings.model_validate({"registration": {"mode": "open"}})
    assert invites.needless(cast("Any", SimpleNamespace(settings=opened)))


def test_a_stopped_server_is_told(tmp_path: Path) -> None:
    """Without a server the hint is the command that starts it."""
    with pytest.raises(SamseshError, match="not running") as refused, SynapseClient(tmp_path / "s") as nobody:
        nobody.whoami()
    assert "samsesh up" in refused.value.hint


def test_changes_leave_audit_lines_without_secrets(server: Any) -> None:
    """Who did what to whom is in the audit log, and what failed, too; passwords and tokens are not."""
    users.add(server, "audited", PASSWORD)
    with pytest.raises(SamseshError, match="there is no account"):
        users.set_admin(server, "nobody.there", True)
    text = (server.home.path / "audit.log").read_text()
    assert '"user add"' in text
    assert "@audited:a.test" in text
    failed = json.loads(text.splitlines()[-1])
    assert (failed["action"], failed["target"], failed["result"]) == (
        "user admin",
        "@nobody.there:a.test",
        "failed",
    )
    assert PASSWORD not in text
    assert ((server.home.secrets_dir / secrets.SERVICE_TOKEN).stat().st_mode & 0o777) == 0o600


def test_the_doctor_has_one_account(server: Any) -> None:
    """It is made once, hidden, no administrator, and its log-in is kept: no run leaves another account or device."""
    device = doctor_account.ensure(server)
    assert (device.user_id, device.device_id) == ("@samsesh.doctor:a.test", "SAMSESH_DOCTOR")
    assert device.token not in f"{device} {device!r}"
    assert doctor_account.ensure(server) == device
    assert (server.home.secrets_dir / secrets.DOCTOR_TOKEN).stat().st_mode & 0o777 == 0o600
    assert secrets.DOCTOR_TOKEN in backup.NOT_KEPT
    with service_account.client(server) as synapse:
        found = synapse.user(device.user_id)
        assert found is not None
        assert (found["admin"], found["user_type"]) == (False, "support")
        assert device.user_id not in [user["name"] for user in users.listed(server)]
        for change in (users.show, users.logout, users.deactivate):
            with pytest.raises(SettingsError, match="Samsesh works"):
                change(server, "samsesh.doctor")
        with SynapseClient(server.plan.offer.admin_api.socket, device.token) as doctor:
            assert doctor.whoami() == device.user_id
        synapse.delete_devices(device.user_id, [device.device_id])
        again = doctor_account.ensure(server)
        assert again.token != device.token
        assert [one["device_id"] for one in synapse.devices(device.user_id)] == [device.device_id]
        synapse.put_user(device.user_id, locked=True)
    back = doctor_account.ensure(server)
    with SynapseClient(server.plan.offer.admin_api.socket, back.token) as doctor:
        assert doctor.whoami() == device.user_id


def test_an_account_of_somebody_with_the_doctors_name_is_left_alone(server: Any) -> None:
    """Nobody's password is changed because of the name that they took."""
    secrets.forget(server.home, secrets.DOCTOR_TOKEN)
    target = doctor_account.user_id(server)
    with service_account.client(server) as synapse:
        synapse.put_user(target, password=PASSWORD, user_type=None)
        with pytest.raises(SamseshError, match="somebody's account"):
            doctor_account.ensure(server)
        with SynapseClient(server.plan.offer.admin_api.socket) as nobody:
            assert nobody.login(target, PASSWORD, "PHONE")
        synapse.put_user(target, user_type=service_account.USER_TYPE)
    assert doctor_account.ensure(server).user_id == target
