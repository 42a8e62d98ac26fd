"""Ports before a start: free, held, and held a moment longer by what has just ended."""

import socket
import threading

import pytest

from samsesh import ports
from samsesh.errors import SamseshError
from samsesh.facts import gather
from samsesh.model import Endpoint, Probe, Unit


def unit(port: int, protocol: str = "tcp") -> Unit:
    place = Endpoint("127.0.0.1", port, protocol=protocol)
    return Unit("one", "one", ("true",), Probe("http", place), binds=(("web", place),))


@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_a_held_port_is_told_with_its_holder(protocol: str, kind: socket.SocketKind) -> None:
    """Over TCP and UDP, at once, and by which process."""
    with socket.socket(socket.AF_INET, kind) as held:
        held.bind(("127.0.0.1", 0))
        if protocol == "tcp":
            held.listen()
        with pytest.raises(SamseshError, match=r"in use by .* \(process \d+\)"):
            ports.check([unit(held.getsockname()[1], protocol)], gather())


def test_a_port_of_what_has_just_ended_is_waited_for() -> None:
    """After a kill the kernel may take a moment to give a port back: nobody holds it, and the start goes on."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))  # bound alone, it shows in no table, as that of a process in its last moment
    end = threading.Timer(0.4, held.close)
    end.start()
    ports.check([unit(held.getsockname()[1])], gather())
    end.join()
