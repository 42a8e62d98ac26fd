"""A whole server in containers: it comes up, is closed as it says, mends itself, and tells of what is wrong."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import sync_playwright

from calls.call import Caller, chromium
from calls.conftest import add_people, calls_of
from conftest import Stack, free_offset
from docker.engine import Engine, reboot
from docker.images import commands
from programs import need
from system.test_messages import begin, go_on

pytestmark = pytest.mark.slow
SERVICES = {
    *("postgres", "synapse", "gateway", "livekit", "rtc-auth", "coturn", "element", "element-call"),
}
OUTSIDE = {"gateway", "livekit"}  # published; coturn is in the machine's network
SECONDS = 90


@pytest.fixture(scope="module")
def server(engine: Engine, images: dict[str, str], homes: Path) -> Iterator[Stack]:
    """One that runs, for all tests here."""
    made = Stack(
        homes / "containers",
        free_offset(),
        commands(engine),
        options=("--engine", "compose"),
        web="element-web",
    )
    made.up()
    yield made
    gone = made.cli("down")
    assert gone.returncode == 0, gone.stderr


def containers(engine: Engine, server: Stack) -> dict[str, dict[str, Any]]:
    """`docker inspect` by service."""
    label = f"label=com.docker.compose.project=samsesh-{server.home.id}"
    ids = engine.run("ps", "--all", "--quiet", "--filter", label).stdout.split()
    found = json.loads(engine.run("inspect", *ids).stdout) if ids else []
    return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.5)


def log_in(server: Stack, name: str, password: str) -> httpx2.Client:
    """Somebody's client."""
    url, who = server.url("homeserver"), {"type": "m.id.user", "user": name}
    wanted = {"type": "m.login.password", "identifier": who, "password": password}
    answer = httpx2.post(f"{url}/_matrix/client/v3/login", json=wanted, trust_env=False)
    assert answer.status_code == 200, answer.text
    token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return httpx2.Client(base_url=url, headers=token, trust_env=False, timeout=90)


@pytest.fixture(scope="module")
def ann(server: Stack) -> str:
    """The password of somebody with an account, made by a command, and a room."""
    password = "long enough for all"
    made = server.cli("user", "add", "ann", "--password-stdin", stdin=f"{password}\n")
    assert made.returncode == 0, made.stderr
    with log_in(server, "ann", password) as http:
        assert http.post("/_matrix/client/v3/createRoom", json={}).status_code == 200
    return password


def test_a_client_talks(server: Stack, ann: str) -> None:
    """All services run; an account made by a command logs in, sends a message and a file, and may join a call."""
    found = server.status()
    assert found["ok"] and found["engine"] == "compose", found
    assert {one["name"] for one in found["services"]} == SERVICES
    assert all(one["memory_bytes"] and one["uptime_seconds"] is not None for one in found["services"])
    with log_in(server, "ann", ann) as http:
        room = http.post("/_matrix/client/v3/createRoom", json={}).json()["room_id"]
        sent = http.put(
            f"/_matrix/client/v3/rooms/{room}/send/m.room.message/1",
            json={"msgtype": "m.text", "body": "hello"},
        )
        assert sent.status_code == 200, sent.text
        up = http.post("/_matrix/media/v3/upload", content=b"a file", headers={"Content-Type": "text/plain"})
        assert up.status_code == 200, up.text
        token = http.post("/_matrix/client/v3/user/@ann:localhost/openid/request_token", json={}).json()
        asked = {"room": room, "openid_token": token, "device_id": "ONE"}
        joined = http.post(f"{found['addresses']['rtc']}/sfu/get", json=asked)
        assert joined.status_code == 200 and joined.json()["jwt"], joined.text


def test_people_talk(server: Stack, tmp_path: Path) -> None:
    """Two people with encryption: messages, an edit and a file arrive, and can be read after a restart of Synapse."""
    made = json.loads(server.cli("invite", "create", "--uses", "2", "--json").stdout)
    talk = asyncio.run(begin(server.url("homeserver"), made["token"], tmp_path))
    assert server.cli("restart", "synapse").returncode == 0
    asyncio.run(go_on(server.url("homeserver"), talk, tmp_path, "after the restart"))


def test_a_call(server: Stack) -> None:
    """Two browsers in a call see and hear each other through the containers, over UDP."""
    address, path = calls_of(server), need("chromium")
    add_people(server, "ada", "ben")
    with sync_playwright() as playwright, chromium(playwright, path) as browser:
        ada, ben = [Caller(browser, address).log_in(name) for name in ("ada", "ben")]
        link = ada.start("Tea time")
        ada.join()
        ben.join(link)
        before = ada.received()
        for one in (ada, ben):
            got = one.sees()
            assert got.ways in (("host udp",), ("prflx udp",)), got  # the latter: seen as Docker's address
            assert not one.errors
        assert ada.received().samples > before.samples


def test_pages(server: Stack) -> None:
    """The web client and the calls page come out of their containers with our name, configuration and policy."""
    addresses = server.status()["addresses"]
    with httpx2.Client(trust_env=False, timeout=90) as http:
        for name in ("web", "call"):
            page = http.get(addresses[name] + "/")
            assert page.status_code == 200 and "<title>SamSesh Chat</title>" in page.text, page.text[:500]
            assert "{{" not in page.text and "<script>" not in page.text
            assert "default-src" in page.headers["Content-Security-Policy"]
            assert http.get(addresses[name] + "/config.json").status_code == 200
        assert http.get(addresses["call"] + "/room/").status_code == 200


def test_closed(server: Stack, engine: Engine) -> None:
    """Containers run as the server's user without capabilities, on a read-only root; only what must be is reached."""
    owner = server.path.stat()
    found = containers(engine, server)
    found.pop("volumes")
    for name, one in found.items():
        host = one["HostConfig"]
        assert one["Config"]["User"] == f"{owner.st_uid}:{owner.st_gid}", name
        assert host["CapDrop"] == ["ALL"] and host["ReadonlyRootfs"], name
        added = [word.removeprefix("CAP_") for word in host["CapAdd"] or []]
        assert added == (["NET_BIND_SERVICE"] if name in ("gateway", "coturn") else []), name
        assert any("no-new-privileges" in option for option in host["SecurityOpt"]), name
        assert host["Memory"] > 0 and host["RestartPolicy"]["Name"] == "unless-stopped", name
        places = [place for places in one["NetworkSettings"]["Ports"].values() for place in places or ()]
        assert bool(places) == (name in OUTSIDE), name
        assert {place["HostIp"] for place in places} <= {"127.0.0.1", "::1"}, name
        written = engine.run("exec", one["Id"], "sh", "-c", "echo x > /written", check=False)
        assert written.returncode, name
        pid = one["State"]["Pid"]
        told = Path(f"/proc/{pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in told and "NoNewPrivs:\t1" in told, (name, told)
    private = json.loads(engine.run("network", "inspect", f"samsesh-{server.home.id}_matrix-network").stdout)[
        0
    ]
    assert private["Internal"]
    environment = json.dumps([one["Config"]["Env"] + (one["Config"]["Cmd"] or []) for one in found.values()])
    for secret in server.home.secrets_dir.iterdir():
        assert secret.read_text().strip() not in environment, secret.name


def test_nothing_to_do(server: Stack) -> None:
    """A second `up` changes nothing and restarts nothing; `--dry-run` says so, too."""
    assert "Nothing to do" in server.cli("up", "--dry-run").stdout
    before = [one["pid"] for one in server.status()["services"]]
    assert "Nothing to do" in server.up().stdout
    assert [one["pid"] for one in server.status()["services"]] == before


def test_a_change_restarts_only_what_it_concerns(server: Stack) -> None:
    """A setting of Synapse restarts Synapse alone."""
    before = {one["name"]: one["pid"] for one in server.status()["services"]}
    server.cli("config", "set", "media.upload_size", "50M")
    assert "synapse" in server.cli("up", "--dry-run").stdout
    server.up()
    after = {one["name"]: one["pid"] for one in server.status()["services"]}
    assert {name for name in before if before[name] != after[name]} == {"synapse", "gateway"}


def test_images_judge_before_anything_is_touched(server: Stack, engine: Engine) -> None:
    """Every image judges the new files of its service. Where one refuses them, all containers go on as they are, and
    nothing of the trial is left; without what was refused there is nothing to do.
    """
    before = {one["name"]: one["pid"] for one in server.status()["services"]}
    server.set({"server.timezone": "Europe/Berlin"})  # which each container is told
    server.set({"extra.synapse.modules": '[{"module": "nothing.Here"}]', "extra.synapse.presense": "no"})
    done = server.cli("up", "--yes", timeout=400)
    assert done.returncode == 1, done.stdout + done.stderr
    judged = "postgres, coturn, livekit, synapse, rtc-auth, gateway"
    told = next(line for line in (done.stdout + done.stderr).splitlines() if "configuration is taken" in line)
    assert set(told.partition("taken: ")[2].split(", ")) == set(judged.split(", "))
    assert "samsesh: extra.synapse.modules: the homeserver (Synapse) does not take it" in done.stderr
    assert "No module named 'nothing'" in done.stderr and "config unset extra.synapse.modules" in done.stderr
    assert {one["name"]: one["pid"] for one in server.status()["services"]} == before
    assert "-judge" not in engine.run("ps", "--all", "--format", "{{.Names}}").stdout
    assert not list(server.path.rglob("judged"))
    for key in ("server.timezone", "extra.synapse.modules", "extra.synapse.presense"):
        server.cli("config", "unset", key)
    assert "Nothing to do" in server.up().stdout


@pytest.mark.parametrize(
    "name",
    ["postgres", "synapse", "gateway", "livekit", "lk-jwt-service", "coturn", "element", "element-call"],
)
def test_killed(server: Stack, engine: Engine, name: str) -> None:
    """Whatever is killed comes back by itself, and all is well again."""
    pid = containers(engine, server)[name]["State"]["Pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: containers(engine, server)[name]["State"]["Pid"] not in (0, pid), f"{name} started again")
    until(lambda: server.status()["ok"], "all is well")


def test_logs(server: Stack) -> None:
    """Logs of one service and of all are shown, in order."""
    assert server.cli("logs", "postgres").stdout.strip()
    every = server.cli("logs", "--since", "1h").stdout
    assert {line.split()[0] for line in every.splitlines() if line.strip()} >= {
        "postgres",
        "synapse",
        "gateway",
    }
    wrong = server.cli("logs", "nobody")
    assert wrong.returncode == 2 and "there are: " in wrong.stderr


def test_unhealthy(server: Stack, engine: Engine) -> None:
    """A container that does not answer is named by `status`, with the reason, and `restart` mends it."""
    container = containers(engine, server)["lk-jwt-service"]["Id"]
    engine.run("pause", container)
    try:
        until(lambda: not server.status()["ok"], "it is noticed")
        told = server.status()
        assert "rtc-auth" in told["verdict"]
        (ill,) = [one for one in told["services"] if one["name"] == "rtc-auth"]
        assert ill["reason"], ill
    finally:
        engine.run("unpause", container)
    assert server.cli("restart", "rtc-auth").returncode == 0
    assert server.status()["ok"]


def test_down_behind_our_back(server: Stack, engine: Engine, ann: str) -> None:
    """`docker compose down` by somebody else is told of, and `up` brings everything back with what people wrote."""
    engine.compose(server.path, "--project-name", f"samsesh-{server.home.id}", "down", timeout=300)
    told = server.cli("status")
    assert told.returncode == 1 and "The server is stopped. Start it: " in told.stdout
    server.up()
    with log_in(server, "ann", ann) as http:
        assert http.get("/_matrix/client/v3/joined_rooms").json()["joined_rooms"]


def test_a_reboot(server: Stack, engine: Engine, ann: str) -> None:
    """When the machine starts anew, Docker brings everything back by itself, with what people wrote."""
    reboot(engine)
    until(lambda: server.status()["ok"], "all is well")
    with log_in(server, "ann", ann) as http:
        assert http.get("/_matrix/client/v3/joined_rooms").json()["joined_rooms"]
    assert "Nothing to do" in server.up().stdout


def test_backup_and_restore(server: Stack, engine: Engine, homes: Path, ann: str) -> None:
    """A backup of containers is restored into other containers: accounts and rooms are there, under other ports."""
    made = server.cli("backup", "create", timeout=300)
    assert made.returncode == 0, made.stderr
    (path,) = server.home.backups_dir.glob("*.tar")
    other = Stack(homes / "restored", free_offset(), commands(engine))
    try:
        done = other.cli(
            "restore",
            str(path),
            *server.options,
            "--port-offset",
            str(other.offset),
            "--trust-programs",
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        with log_in(other, "ann", ann) as http:
            assert http.get("/_matrix/client/v3/joined_rooms").json()["joined_rooms"]
    finally:
        other.cli("down")


def test_doctor(server: Stack) -> None:
    """The doctor examines a server in containers as any other."""
    done = server.cli("doctor", "--json", timeout=300)
    found = json.loads(done.stdout)
    bad = [(one["id"], one["summary"], one["seen"]) for one in found["checks"] if one["status"] == "failed"]
    assert not bad, bad
