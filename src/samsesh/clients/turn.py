"""A TURN client (RFC 8656): allocates a relay with a credential, asks for peers, and gives it back.

aioice speaks the protocol. Its `create_turn_endpoint` hides the answers that tell an open relay from a closed one, so
the two client protocols below it are used directly.
"""

import asyncio
import base64
import hashlib
import hmac
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from aioice import stun, turn

from samsesh.errors import SamseshError

LIFETIME = 60  # seconds; what is not given back ends soon
LEAVING = 2.0  # seconds for giving it back
NO_ANSWER = 0
REFUSED = (403, 443)  # forbidden peer; a peer of another address family than the relay's
URI = re.compile(
    r"(?P<scheme>turns?):(?P<host>\[[0-9A-Fa-f:.]+\]|[^:?\[\]]+)(:(?P<port>\d+))?(\?transport=(?P<transport>udp|tcp))?"
)


@dataclass(frozen=True)
class Address:
    """Where a TURN server is."""

    host: str
    port: int
    transport: Literal["udp", "tcp", "tls"]

    def __str__(self) -> str:
        return f"{self.host}:{self.port} over {self.transport.upper()}"


@dataclass(frozen=True)
class Credential:
    """What a client logs in with."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Tls:
    """What was agreed on; the certificate has been verified, the server's name included."""

    version: str
    cipher: str
    issuer: str  # organisation, else common name
    expires: float  # Unix time


class TurnError(SamseshError):
    """No relay was given. `code` is STUN's (401: wrong credential, 486: quota), or `NO_ANSWER`."""

    def __init__(self, message: str, code: int = NO_ANSWER) -> None:
        super().__init__(message)
        self.stun_code = code


def parse(uri: str) -> Address:
    """An address of RFC 7065, such as "turn:chat.example:3478?transport=udp". Raises ValueError."""
    found = URI.fullmatch(uri)
    if not found:
        raise ValueError(f"{uri!r} is no TURN address")
    secure = found["scheme"] == "turns"
    port = int(found["port"] or (5349 if secure else 3478))
    host = found["host"].strip("[]")
    if secure:
        return Address(host, port, "tls")
    return Address(host, port, "tcp" if found["transport"] == "tcp" else "udp")


def credential(secret: str, user: str, expires: int) -> Credential:
    """What servers with `use-auth-secret` take until `expires` (Unix time): draft-uberti-behave-turn-rest."""
    name = f"{expires}:{user}"
    digest = hmac.new(secret.encode(), name.encode(), hashlib.sha1).digest()
    return Credential(name, base64.b64encode(digest).decode())


class Allocation:
    """A relay that was given."""

    def __init__(self, protocol: Any, relayed: str, tls: Tls | None) -> None:
        self._protocol = protocol
        self.relayed = relayed  # address and port
        self.tls = tls

    async def permit(self, peer: str, seconds: float = 3.0) -> int:
        """Ask to relay to an IP address: 0 where the server agrees, else its error code."""
        request = stun.Message(stun.Method.CREATE_PERMISSION, stun.Class.REQUEST)
        request.attributes["XOR-PEER-ADDRESS"] = (peer, 9)
        try:
            async with asyncio.timeout(seconds):
                await self._protocol.request_with_retry(request)
        except stun.TransactionFailed as error:
            return _code(error)
        except (TimeoutError, stun.TransactionError):
            raise TurnError(f"the TURN server did not answer about the peer {peer}") from None
        return 0


@asynccontextmanager
async def allocation(
    address: Address,
    login: Credential,
    *,
    seconds: float = 4.0,
    trust: ssl.SSLContext | None = None,
    at: str = "",
) -> AsyncIterator[Allocation]:
    """A relay for as long as the block lasts. Raises TurnError where none is given within `seconds`.

    `trust`: whose certificates count, for TLS; the system's where it is not given. `at`: an IP address to connect to in
    the place of the host's.
    """
    protocol: Any = None
    try:
        try:
            async with asyncio.timeout(seconds):
                protocol, relayed = await _allocate(address, login, seconds, trust, at)
        except TimeoutError:
            raise _silent(address, seconds) from None
        yield Allocation(protocol, "{}:{}".format(*relayed), _tls(protocol.transport))
    finally:
        if protocol:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVING):
                    await protocol.delete()
            protocol.transport.abort()


async def _allocate(
    address: Address, login: Credential, seconds: float, trust: ssl.SSLContext | None, at: str
) -> tuple[Any, tuple[str, int]]:
    """The first of the host's addresses that gives a relay, as a browser would find it."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(at or address.host, address.port, type=socket.SOCK_DGRAM)
    except OSError:
        raise TurnError(f"the name of the TURN server, {address.host}, is not known") from None
    places = list(dict.fromkeys(str(info[4][0]) for info in found))
    refused: TurnError | None = None
    for place in places:
        try:
            async with asyncio.timeout(seconds / len(places)):
                return await _allocate_at(replace(address, host=place), address.host, login, trust)
        except TimeoutError:
            refused = refused or _silent(address, seconds)
        except TurnError as error:
            refused = error
    raise refused or TurnError(f"the name of the TURN server, {address.host}, has no address")


async def _allocate_at(
    address: Address, name: str, login: Credential, trust: ssl.SSLContext | None
) -> tuple[Any, tuple[str, int]]:
    protocol = await _connect(address, name, login, trust)
    try:
        return protocol, await protocol.connect()
    except stun.TransactionFailed as error:
        protocol.transport.abort()
        reason = f"the TURN server at {address} gave no relay ({_reason(error)})"
        raise TurnError(reason, _code(error)) from None
    except (stun.TransactionError, ConnectionError) as error:
        protocol.transport.abort()
        raise TurnError(f"the TURN server at {address} gave no relay ({error})") from None
    except BaseException:
        protocol.transport.abort()
        raise


async def _connect(address: Address, name: str, login: Credential, trust: ssl.SSLContext | None) -> Any:
    loop = asyncio.get_running_loop()
    server = (address.host, address.port)
    kind = turn.TurnClientUdpProtocol if address.transport == "udp" else turn.TurnClientTcpProtocol

    def make() -> Any:
        return kind(server, login.username, login.password, LIFETIME, turn.DEFAULT_CHANNEL_REFRESH_TIME)

    made: Callable[[], Any] = make
    try:
        if address.transport == "udp":
            return (await loop.create_datagram_endpoint(made, remote_addr=server))[1]
        context = (trust or ssl.create_default_context()) if address.transport == "tls" else None
        return (
            await loop.create_connection(
                made, *server, ssl=context, server_hostname=name if context else None
            )
        )[1]
    except ssl.SSLCertVerificationError as error:
        raise TurnError(
            f"the certificate of the TURN server at {name} does not count: {error.verify_message}"
        ) from None
    except OSError as error:
        raise TurnError(f"the TURN server at {address} is not reached ({error.strerror or error})") from None


def _silent(address: Address, seconds: float) -> TurnError:
    return TurnError(f"the TURN server at {address} did not answer within {seconds:.0f} s")


def _tls(transport: Any) -> Tls | None:
    session = transport.get_extra_info("ssl_object")
    if session is None:
        return None
    certificate = session.getpeercert() or {}
    issuer = {key: value for part in certificate.get("issuer", ()) for key, value in part}
    return Tls(
        version=session.version() or "",
        cipher=(session.cipher() or ("",))[0],
        issuer=issuer.get("organizationName") or issuer.get("commonName", ""),
        expires=float(ssl.cert_time_to_seconds(certificate["notAfter"]))
        if "notAfter" in certificate
        else 0.0,
    )


def _code(error: stun.TransactionFailed) -> int:
    return error.response.error_code or 500


def _reason(error: stun.TransactionFailed) -> str:
    code, reason = error.response.attributes.get("ERROR-CODE", (500, "no reason"))
    return f"{code} {reason}"
