"""Synapse's client and admin API on its private unix socket.

Sources: Synapse's admin API manual and the Matrix client-server spec. Times are milliseconds.
"""

import hashlib
import hmac
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from samsesh.errors import SamseshError

ADMIN = "/_synapse/admin"
SECONDS = 60.0  # one answer; creating an account takes about half a second, listing 100,000 about two
PAGE = 1000
TRIES = 4
ACTING_SECONDS = 600  # a token for acting as somebody ends by itself, should its log-out be lost
LONGEST_WAIT = 10.0  # seconds that one "too many requests" may hold us

Json = dict[str, Any]


class ApiError(SamseshError):
    """Synapse said no: `status` is HTTP's number, `errcode` Matrix's name for it."""

    def __init__(self, status: int, errcode: str, reason: str) -> None:
        super().__init__(
            f"the homeserver refused: {reason or errcode or status}", "see `samsesh logs synapse`"
        )
        self.status = status
        self.errcode = errcode


class SynapseClient:
    """Requests as one account. `path`: Synapse's private listener; `token`: None before there is one."""

    def __init__(self, path: Path, token: str | None = None) -> None:
        self._socket = path
        self._token = token
        self._http = httpx2.Client(
            transport=httpx2.HTTPTransport(uds=str(path)),
            base_url="http://localhost",
            headers={"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"},
            timeout=httpx2.Timeout(SECONDS, connect=5.0),
        )

    def __enter__(self) -> "SynapseClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def request(
        self, method: str, path: str, body: Json | None = None, query: Mapping[str, str] | None = None
    ) -> Json:
        """One request, answered with a JSON object; ApiError where Synapse refuses."""
        _check_listening(self._socket)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        for attempt in range(TRIES):
            try:
                answer = self._http.request(method, path, json=body, params=query, headers=headers)
            except httpx2.HTTPError as error:
                reason = f"the homeserver did not answer ({type(error).__name__})"
                raise SamseshError(reason, "see `samsesh status` and `samsesh logs synapse`") from None
            found = _object(answer)
            # What changes the same thing at once may end in a conflict that Synapse gives up on; once more is no harm.
            conflict = answer.status_code == 500 and method != "POST"
            if not (conflict or answer.status_code == 429) or attempt == TRIES - 1:
                break
            time.sleep(min(float(found.get("retry_after_ms", 1000)) / 1000, LONGEST_WAIT))
        if answer.is_success:
            return found
        raise ApiError(answer.status_code, str(found.get("errcode", "")), str(found.get("error", "")))

    def register(self, shared_secret: str, name: str, password: str, user_type: str, device: str) -> str:
        """Make an administrator without being one, by the shared secret; returns its access token."""
        path = f"{ADMIN}/v1/register"
        nonce = str(self.request("GET", path)["nonce"])
        words = "\0".join([nonce, name, password, "admin", user_type])
        body = {
            "nonce": nonce,
            "username": name,
            "password": password,
            "admin": True,
            "user_type": user_type,
            "device_id": device,
            "mac": hmac.new(shared_secret.encode(), words.encode(), hashlib.sha1).hexdigest(),
        }
        return str(self.request("POST", path, body)["access_token"])

    def login(self, user_id: str, password: str, device: str) -> str:
        """Access token of a password log-in on that device, which is made or taken over."""
        identifier = {"type": "m.id.user", "user": user_id}
        body = {"type": "m.login.password", "identifier": identifier, "password": password}
        found = self.request("POST", "/_matrix/client/v3/login", {**body, "device_id": device})
        return str(found["access_token"])

    def whoami(self) -> str:
        return str(self.request("GET", "/_matrix/client/v3/account/whoami")["user_id"])

    def users(self, deactivated: bool = False) -> Iterator[Json]:
        """All accounts, page by page, locked ones included (Synapse hides those unless asked)."""
        start = "0"
        while True:
            query = {"from": start, "limit": str(PAGE), "deactivated": str(deactivated).lower()}
            page = self.request(
                "GET", f"{ADMIN}/v2/users", query={**query, "locked": "true", "guests": "false"}
            )
            yield from page["users"]
            if "next_token" not in page:
                return
            start = str(page["next_token"])

    def user(self, user_id: str) -> Json | None:
        """One account, or None. Its `creation_ts` is in seconds, other than in the list."""
        try:
            return self.request("GET", _user(user_id))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def put_user(self, user_id: str, **values: Any) -> Json:
        """Make or change an account: password, logout_devices, displayname, admin."""
        return self.request("PUT", _user(user_id), values)

    def lift_message_limit(self, user_id: str) -> None:
        """Let an account send as much as it likes (Synapse's manual: Override ratelimiting for users)."""
        self.request("POST", f"{ADMIN}/v1/users/{_quoted(user_id)}/override_ratelimit", {})

    def server_version(self) -> str:
        return str(self.request("GET", f"{ADMIN}/v1/server_version")["server_version"])

    def deactivate(self, user_id: str, *, erase: bool) -> None:
        self.request("POST", f"{ADMIN}/v1/deactivate/{_quoted(user_id)}", {"erase": erase})

    @contextmanager
    def acting_as(self, user_id: str) -> Iterator["SynapseClient"]:
        """A client as somebody of this server, without a device or a trace in their list of them; ended afterwards."""
        ends = int((time.time() + ACTING_SECONDS) * 1000)
        found = self.request("POST", f"{ADMIN}/v1/users/{_quoted(user_id)}/login", {"valid_until_ms": ends})
        with SynapseClient(self._socket, str(found["access_token"])) as them:
            try:
                yield them
            finally:
                with suppress(SamseshError):  # what was done is done, and the token ends by itself
                    them.request("POST", "/_matrix/client/v3/logout", {})

    def devices(self, user_id: str) -> list[Json]:
        return list(self.request("GET", _user(user_id) + "/devices")["devices"])

    def delete_devices(self, user_id: str, devices: list[str]) -> None:
        self.request("POST", _user(user_id) + "/delete_devices", {"devices": devices})

    def rooms(self) -> Iterator[Json]:
        """All rooms that somebody of this server is or was in, page by page; a new one is there after a moment."""
        start = 0
        while True:
            query = {"from": str(start), "limit": str(PAGE), "order_by": "name"}
            page = self.request("GET", f"{ADMIN}/v1/rooms", query=query)
            yield from page["rooms"]
            if "next_batch" not in page:
                return
            start = int(page["next_batch"])

    def room(self, room: str) -> Json | None:
        """One room as in the list, by its ID or alias; None where there is none."""
        try:
            if room.startswith("#"):
                room = self.request("GET", f"/_matrix/client/v3/directory/room/{_quoted(room)}")["room_id"]
            return self.request("GET", f"{ADMIN}/v1/rooms/{_quoted(room)}")
        except ApiError as error:
            if error.status in (400, 404):
                return None
            raise

    def room_members(self, room_id: str) -> list[str]:
        """Who has joined."""
        return list(self.request("GET", f"{ADMIN}/v1/rooms/{_quoted(room_id)}/members")["members"])

    def room_state(self, room_id: str, kind: str) -> Json | None:
        """The state event of that type with an empty key, whole, or None."""
        query = {"type": kind}
        found = self.request("GET", f"{ADMIN}/v1/rooms/{_quoted(room_id)}/state", query=query)["state"]
        return next((event for event in found if event["state_key"] == ""), None)

    def create_room(self, request: Json) -> str:
        """A new room (spec: createRoom); gives its ID."""
        return str(self.request("POST", "/_matrix/client/v3/createRoom", request)["room_id"])

    def set_room_state(self, room_id: str, kind: str, content: Json) -> None:
        """Send that state event with an empty key."""
        self.request("PUT", f"/_matrix/client/v3/rooms/{_quoted(room_id)}/state/{_quoted(kind)}/", content)

    def registration_tokens(self) -> list[Json]:
        return list(self.request("GET", f"{ADMIN}/v1/registration_tokens")["registration_tokens"])

    def new_registration_token(self, token: str, uses: int | None, expires: int | None) -> Json:
        """`expires`: milliseconds since 1970, or None for never."""
        body = {"uses_allowed": uses, "expiry_time": expires, "token": token}
        return self.request("POST", f"{ADMIN}/v1/registration_tokens/new", body)

    def delete_registration_token(self, token: str) -> bool:
        """False where there is no such token."""
        try:
            self.request("DELETE", f"{ADMIN}/v1/registration_tokens/{_quoted(token)}")
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True


def _check_listening(path: Path) -> None:
    """Tell a stopped server; httpx2 would also leak the socket that could not connect."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
        except OSError:
            raise SamseshError("the server is not running", "start it: samsesh up") from None


def _user(user_id: str) -> str:
    return f"{ADMIN}/v2/users/{_quoted(user_id)}"


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _object(answer: httpx2.Response) -> Json:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
