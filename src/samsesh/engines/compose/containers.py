"""What each image needs of its container: how it is started, where it writes, what it may, how its health is asked.

Sources: the images' own Dockerfiles and entry points.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from samsesh.engines.compose.placement import ANY, WEB_PORT
from samsesh.model import Probe, Unit

GB = 1024**3
MB = 1024**2
FORWARDED = (
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-Proto: http",
)  # a listener behind a gateway wants them
ASK = (  # our image has no other client
    "import sys,urllib.request as r;o=r.build_opener(r.ProxyHandler({}));o.open(sys.argv[1],timeout=4)"
)

ASK_SOCKET = (
    "import socket,sys;s=socket.socket(socket.AF_UNIX);s.settimeout(4);s.connect(sys.argv[1]);"
    "s.sendall(f'GET {sys.argv[2]} HTTP/1.0\\r\\n\\r\\n'.encode());sys.exit(b' 200 ' not in s.recv(99))"
)


@dataclass(frozen=True)
class Container:
    """One image's ways. `tmpfs`: what it writes under a read-only root; `memory`: (share of the machine's, at least)."""

    command: Callable[[Unit], tuple[str, ...]]
    health: Callable[[Probe], tuple[str, ...]]
    entrypoint: tuple[str, ...] = ()  # in the place of the image's own
    program: str = ""  # its path where PATH does not have it
    tmpfs: tuple[str, ...] = ("/tmp",)  # noqa: S108 - in a container
    env: Mapping[str, str] = field(default_factory=dict)
    add: tuple[str, ...] = ()  # capabilities
    memory: tuple[float, int] = (0.25, 256 * MB)


def _url(probe: Probe) -> str:
    host = "127.0.0.1" if probe.endpoint.host == ANY or not _address(probe) else probe.endpoint.host
    return f"http://{host}:{probe.endpoint.port}{probe.path}"


def _address(probe: Probe) -> bool:
    """Whether the probe's host is an address: a name is the container's own."""
    return probe.endpoint.host.replace(".", "").isdigit()


def _wget(probe: Probe) -> tuple[str, ...]:
    return ("wget", "-q", "-O", "/dev/null", _url(probe))  # how long it may take, Docker counts


def _curl(probe: Probe) -> tuple[str, ...]:
    assert probe.endpoint.socket is not None  # Synapse is asked on its private socket
    headers = [word for header in FORWARDED for word in ("-H", header)]
    where = ("--unix-socket", str(probe.endpoint.socket))
    return ("curl", "-fsS", "-m", "4", "-o", "/dev/null", *headers, *where, f"http://localhost{probe.path}")


def _python(probe: Probe) -> tuple[str, ...]:
    if probe.endpoint.socket is not None:
        return ("python", "-I", "-c", ASK_SOCKET, str(probe.endpoint.socket), probe.path)
    return ("python", "-I", "-c", ASK, _url(probe))


def _pg_isready(probe: Probe) -> tuple[str, ...]:
    # Not at its socket: there the image's entrypoint has a server of its own answer while it makes the database.
    return ("pg_isready", "-q", "-h", "127.0.0.1", "-U", "synapse", "-d", "synapse")


def _stun(probe: Probe) -> tuple[str, ...]:
    return ("turnutils_stunclient", "-p", str(probe.endpoint.port), probe.endpoint.host)


def _all(unit: Unit) -> tuple[str, ...]:
    return unit.command


def _behind(word: str) -> Callable[[Unit], tuple[str, ...]]:
    """What the image's own entry point is given: the command behind the program."""
    return lambda unit: unit.command[unit.command.index(word) + 1 :]


# What was killed leaves its socket locked by process 1, which in the next container is itself: it would never start.
UNLOCKED = ("sh", "-c", 'rm -f /run/samsesh/synapse/*; exec /start.py "$@"', "start.py")
# The agent puts a new certificate there, and cannot signal what is in another container. To share its processes would
# open its files to coturn, whose user is the same, and end coturn whenever the agent ends.
RELOADING = (
    *("sh", "-c"),
    """\
look() { cksum <"$certificate" 2>/dev/null; }
certificate=/var/lib/coturn/turns.pem
trap exit TERM INT
tries=25
while grep -q "^cert=$certificate" /etc/samsesh/coturn/turnserver.conf && [ ! -s $certificate ] && [ $tries -gt 0 ]; do
    tries=$((tries - 1))
    sleep 1 &
    wait $!
done
seen=$(look)
turnserver "$@" &
server=$!
trap 'kill -TERM $server; wait $server; exit' TERM INT
while kill -0 $server 2>/dev/null; do
    sleep 5 &
    wait $!
    if [ "$(look)" = "$seen" ]; then continue; fi
    # It begins to speak TLS only where it starts with a certificate: Docker starts it again.
    if [ -z "$seen" ]; then kill -TERM $server; else kill -USR2 $server; fi
    seen=$(look)
done
wait $server""",
    "turnserver",
)

CONTAINERS = {
    "synapse": Container(
        entrypoint=UNLOCKED,
        # Its entry point says `python`. Without -I, which would not heed the PYTHONPATH of our module.
        command=lambda unit: ("run", *unit.command[unit.command.index("-m") :]),
        health=_curl,
        env={"PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1"},
        memory=(0.6, 1 * GB),
    ),
    "postgres": Container(
        command=_all,
        health=_pg_isready,
        tmpfs=("/tmp", "/var/run/postgresql"),  # noqa: S108 - in a container
        env={"POSTGRES_INITDB_ARGS": "--encoding=UTF8 --locale=C"},
        memory=(0.5, 512 * MB),
    ),
    "caddy": Container(
        command=_all,
        health=_wget,
        tmpfs=("/tmp", "/data", "/config"),  # noqa: S108 - its own places: ours are elsewhere
        add=("NET_BIND_SERVICE",),
        memory=(0.25, 256 * MB),
    ),
    "livekit": Container(
        command=_behind("livekit-server"),
        health=_wget,
        program="/livekit-server",
        memory=(0.5, 512 * MB),
    ),
    "coturn": Container(
        entrypoint=RELOADING,
        command=_behind("turnserver"),
        health=_stun,
        add=("NET_BIND_SERVICE",),
        memory=(0.25, 256 * MB),
    ),
    "element-web": Container(
        command=_all,
        health=_wget,
        tmpfs=("/tmp", "/var/cache/nginx", "/etc/nginx/conf.d"),  # noqa: S108 - in a container
        env={"ELEMENT_WEB_PORT": str(WEB_PORT)},
        memory=(0.0, 128 * MB),
    ),
    "element-call": Container(command=_all, health=_wget, memory=(0.0, 128 * MB)),
    "samsesh": Container(command=_behind("samsesh"), health=_python, memory=(0.1, 256 * MB)),
}
