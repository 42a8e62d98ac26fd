"""Runs the service: sockets, uvicorn, and an end in good order."""

import asyncio
import errno
import logging
import resource
import signal
import socket
import stat
import warnings
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

import uvicorn
import uvloop

from samsesh.errors import SamseshError
from samsesh.rtc.app import App
from samsesh.rtc.client_api import ClientApi
from samsesh.rtc.config import Config
from samsesh.rtc.discovery import Discovery
from samsesh.rtc.fetch import own_session, session_for_strangers, socket_path, tls
from samsesh.rtc.http import Protocol
from samsesh.rtc.leave import Leaves
from samsesh.rtc.livekit import Rooms
from samsesh.rtc.log import Libraries, Log
from samsesh.rtc.members import Members
from samsesh.rtc.metrics import Metrics
from samsesh.rtc.openid import OpenId
from samsesh.rtc.proof import Proof
from samsesh.rtc.service import Service
from samsesh.rtc.store import open_store
from samsesh.rtc.tokens import Tokens

BACKLOG = 2048
SECRET_LENGTH = 32
KEEP_SECONDS = 180  # longer than proxies keep theirs: who closes first loses no request
DRAIN_SECONDS = (
    10  # for connections at the end, and less for requests under way, so that they are answered by us:
)
ANSWER_SECONDS = 5


def serve(config: Config) -> None:
    """Runs until SIGTERM or SIGINT."""
    log = Log(config.level)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is a file
    logging.basicConfig(handlers=[Libraries(log)], level=logging.WARNING, force=True)
    logging.getLogger("samsesh").setLevel(config.level)
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", "The HMAC key is")  # PyJWT, of a short one; we say it ourselves
    with ExitStack() as stack:
        listeners = [stack.enter_context(listening(config.bind, "LIVEKIT_JWT_BIND"))]
        if config.webhook_bind:
            listeners.append(stack.enter_context(listening(config.webhook_bind, "SAMSESH_RTC_WEBHOOK_BIND")))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        runner.run(_run(config, listeners, log))


async def _run(config: Config, listeners: list[socket.socket], log: Log) -> None:
    context = tls(config)
    async with AsyncExitStack() as stack:
        strangers = await stack.enter_async_context(session_for_strangers(config, context))
        own = await stack.enter_async_context(own_session(context))
        path = socket_path(config.homeserver_url)
        homeserver = await stack.enter_async_context(own_session(context, path)) if path else own
        tokens = Tokens(config)
        rooms = Rooms(config, own, tokens)
        discovery = Discovery(strangers)
        openid = OpenId(config, strangers, homeserver, discovery)
        client_api = ClientApi(config, strangers, homeserver, own, discovery)
        store = open_store(config.redis_url, config.state)
        jobs = Leaves(store, rooms.has, client_api.post, interval=config.sanity_seconds)
        proof = Proof(rooms, log) if config.strict else None
        members = Members(config.members_socket, config.members_key) if config.members_socket else None
        if members:
            stack.callback(members.close)
        service = Service(config, openid, members, rooms, tokens, client_api, jobs, proof, log)
        if config.strict:
            service.metrics = Metrics(jobs.count, lambda: service.delegates)
        await jobs.start()
        stack.push_async_callback(jobs.stop)
        if config.redis_url:
            from samsesh.rtc.upstream import take_over

            moving = asyncio.create_task(take_over(config.redis_url, jobs, client_api.base))
            stack.callback(moving.cancel)
        app = App(config, service, log, service.metrics)
        server = _Server(app, log)
        proving = asyncio.create_task(proof.run()) if proof else None
        log.info(
            "listening", bind=config.bind, strict=config.strict, full_access=" ".join(config.full_access)
        )
        if len(config.secret) < SECRET_LENGTH:
            log.warning("the secret is short: LiveKit wants 32 characters", variable="LIVEKIT_SECRET")
        if config.insecure:
            log.warning("certificates and addresses are not checked: LIVEKIT_INSECURE_SKIP_VERIFY_TLS")
        await server.serve(sockets=listeners)
        if proving:
            proving.cancel()
        log.info("stopped")


class _Server(uvicorn.Server):
    """uvicorn, told apart in one point: the end is ours, so that the exit code is 0 and requests hear of it."""

    def __init__(self, app: App, log: Log) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # what strangers send that is no HTTP, or no HTTP of ours, is no news
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_SECONDS,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        self._app = app
        self._log = log

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        kept = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.end(ANSWER_SECONDS)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.closing = True
        self._log.info("stopping", signal=signal.Signals(sig).name)
        super().handle_exit(sig, frame)


@contextmanager
def listening(bind: str, variable: str) -> Iterator[socket.socket]:
    """A listening socket at `:port`, `host:port` or `unix:/path`; `variable` is where that came from."""
    path = socket_path(bind)
    try:
        listener = _unix(path) if path else _tcp(bind)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise SamseshError(
            f"cannot listen on {bind}: {error.strerror or error}",
            f"another program listens there: stop it, or set {variable} to another address"
            if taken
            else f"set {variable} to an address of this machine",
        ) from None
    with listener:
        yield listener
    if path:
        Path(path).unlink(missing_ok=True)


def _tcp(bind: str) -> socket.socket:
    host, _, port = bind.rpartition(":")
    if not host and socket.has_dualstack_ipv6():
        with suppress(OSError):  # compiled in, but switched off: IPv4 alone then
            return socket.create_server(
                ("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
            )
    host = host.strip("[]") or "0.0.0.0"  # noqa: S104 - upstream's default is every address
    try:
        info = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except UnicodeError:  # a label that is empty or too long
        raise OSError(None, "not a name") from None
    return socket.create_server(info[4][:2], family=info[0], backlog=BACKLOG)


def _unix(path: str) -> socket.socket:
    """A socket file that nobody listens on any more is replaced."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        if Path(path).is_socket():
            _check_abandoned(path)
            Path(path).unlink()
        listener.bind(path)
        Path(path).chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IWGRP)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _check_abandoned(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
    raise OSError(errno.EADDRINUSE, "Address already in use")
