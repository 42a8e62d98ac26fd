"""The account that administers Synapse for us, the first administrator, and the proof of a log-in."""

import secrets as random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samsesh import names, secrets
from samsesh.clients import own
from samsesh.clients.synapse import ApiError, SynapseClient
from samsesh.errors import SamseshError
from samsesh.home import Home

if TYPE_CHECKING:
    from samsesh.ops.server import Server

NAME = names.SERVICE_ACCOUNT  # taken at the first start
DEVICE = "SAMSESH"
PROOF_DEVICE = "SAMSESH_PROOF"
PROOF_SECONDS = 20.0
USER_TYPE = "support"  # keeps it out of the user directory
READABLE = "abcdefghjkmnpqrstuvwxyz23456789"  # without letters that look alike


def user_id(server: "Server") -> str:
    return f"@{NAME}:{server.settings.server.name}"


def client(server: "Server") -> SynapseClient:
    """A client with the reserved account's rights; the account is made where it is missing."""
    return SynapseClient(socket_of(server), ensure(server))


def ensure(server: "Server") -> str:
    """Access token of the reserved account: the kept one, else by log-in, else by making the account."""
    token = secrets.read(server.home, secrets.SERVICE_TOKEN)
    if token and _works(server, token):
        return token
    password = server.secrets.service_password.reveal()
    with SynapseClient(socket_of(server)) as nobody:
        try:
            token = nobody.login(user_id(server), password, DEVICE)
        except ApiError as error:
            if error.errcode != "M_FORBIDDEN":
                raise
            token = _register(server, nobody, password)
    secrets.keep(server.home, secrets.SERVICE_TOKEN, token)
    return token


def _works(server: "Server", token: str) -> bool:
    with SynapseClient(socket_of(server), token) as ours:
        try:
            return ours.whoami() == user_id(server)
        except ApiError as error:
            if error.status == 401:
                return False
            raise


def _register(server: "Server", nobody: SynapseClient, password: str) -> str:
    shared = server.secrets.registration_shared_secret.reveal()
    try:
        return nobody.register(shared, NAME, password, USER_TYPE, DEVICE)
    except ApiError as error:
        if error.errcode == "M_USER_IN_USE":
            raise SamseshError(
                f"{user_id(server)} has another password than {server.home.secrets_dir}/service_password",
                "restore the secrets folder of this server from a backup",
            ) from None
        raise


def socket_of(server: "Server") -> Path:
    """Synapse's private socket."""
    endpoint = server.plan.offer.admin_api
    if endpoint is None or endpoint.socket is None:
        raise SamseshError("this server has no private administration socket", "run `samsesh up`")
    return endpoint.socket


def first_admin(server: "Server") -> tuple[str, str | None] | None:
    """Make the first administrator once: (user ID, generated password).

    A generated password is kept before the account is made, and returned by every call until `password_shown`, so that
    no end of a start loses it. None if the account is there and its password is known; the password is None if the
    operator chose it.
    """
    home, unshown = server.home, secrets.read(server.home, secrets.UNSHOWN)
    if known := home.state().get("first_admin"):
        return (known, unshown) if unshown else None
    admin = f"@{server.settings.admin.name}:{server.settings.server.name}"
    chosen = secrets.read(home, secrets.FIRST_ADMIN)
    with client(server) as synapse:
        missing = synapse.user(admin) is None
        if missing and not chosen and not unshown:
            unshown = readable_password(server.settings.registration.password_min_length)
            secrets.keep(home, secrets.UNSHOWN, unshown)
        ours = missing or bool(unshown)  # a start that was cut off may have made the account
        if missing or (ours and chosen):
            synapse.put_user(admin, password=chosen or unshown, admin=True)
        reserve(synapse, f"@{names.DOCTOR_ACCOUNT}:{server.settings.server.name}")
    home.remember(first_admin=admin)
    secrets.forget(home, secrets.FIRST_ADMIN)
    if chosen:
        secrets.forget(home, secrets.UNSHOWN)
    if not ours:
        return None
    home.audit("first admin", target=admin)
    return admin, None if chosen else unshown


def password_shown(home: Home) -> None:
    """The first administrator's password was printed: from now on nobody but its owner has it."""
    secrets.forget(home, secrets.UNSHOWN)


def reserve(synapse: SynapseClient, user_id: str) -> None:
    """Take a name for ourselves before somebody else can; nobody can log in to it yet."""
    if synapse.user(user_id) is None:
        synapse.put_user(user_id, admin=False, user_type=USER_TYPE)


def readable_password(shortest: int) -> str:
    """Groups of five that can be read out: about 99 bits."""
    groups = max(4, -(-shortest // 5))
    return "-".join("".join(random.choice(READABLE) for _ in range(5)) for _ in range(groups))


def entry(server: "Server") -> tuple[str, dict[str, str]]:
    """Where a client comes in: base URL, and headers that it needs.

    Behind a proxy of the operator's, which may still be to come, it is the gateway as the proxy reaches it.
    """
    if not server.access.proxied:
        return server.plan.offer.addresses["homeserver"], {}
    bind, port = server.settings.proxy.bind, server.settings.ports.of("api")
    headers = {"Host": server.access.host("api"), "X-Forwarded-Proto": "https"}
    return f"http://{names.in_url(own.EVERYWHERE.get(bind, bind))}:{port}", headers


def prove_login(
    server: "Server", base_url: str, headers: Mapping[str, str] | None = None, way: own.Own | None = None
) -> None:
    """Do what a client does to log in, through the public address; raise with the step that fails."""
    ensure(server)
    way = way or own.Own()
    with way.client(PROOF_SECONDS, base_url=base_url.rstrip("/"), headers=headers) as http:
        _step(http, "asking for the versions", "GET", "/_matrix/client/versions")
        flows = _step(http, "asking how to log in", "GET", "/_matrix/client/v3/login").get("flows", [])
        if not any(flow.get("type") == "m.login.password" for flow in flows):
            return  # single sign-on only: nothing more that can be done without a person
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user_id(server)},
            "password": server.secrets.service_password.reveal(),
            "device_id": PROOF_DEVICE,
        }
        token = _step(http, "logging in", "POST", "/_matrix/client/v3/login", body)["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        _step(http, "logging out", "POST", "/_matrix/client/v3/logout", {})


def _step(http: Any, what: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    import httpx2

    failed = f"a client could not log in through {http.base_url}: {what} failed"
    try:
        answer = http.request(method, path, json=body)
    except httpx2.HTTPError as error:
        hint = "see `samsesh status` and `samsesh logs gateway`"
        raise SamseshError(f"{failed} ({type(error).__name__})", hint) from None
    if answer.status_code == 429:  # Synapse answers and is reached; somebody else logs in often
        raise SamseshError(f"{failed} (too many log-ins)", "wait a minute, then run `samsesh up` again")
    try:
        found = answer.json()
    except ValueError:
        found = None
    if answer.is_success and isinstance(found, dict):
        return found
    reason = found.get("error", "") if isinstance(found, dict) else "the answer is not Matrix's"
    raise SamseshError(f"{failed} (HTTP {answer.status_code}: {reason})", "see `samsesh logs synapse`")
