"""Ports before a start: free, held, and held a moment longer by what has just ended."""

import os
import socket
import threading

import pytest

from samsesh import ports
from samsesh.checks import ephemeral
from samsesh.errors import SamseshError
from samsesh.facts import gather
from samsesh.firewall import Opening
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


def test_a_port_that_a_connection_has_is_told_with_its_holder() -> None:
    """The kernel gives ports of its range to any connection: whose it is can be seen, although it does not listen."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
        port = client.getsockname()[1]
        with pytest.raises(SamseshError, match=rf"port {port} .* in use by .* \(process {os.getpid()}\)"):
            ports.check([unit(port)], gather())
        held = ports.of_others({("tcp", port)}, ())
        assert len(held) == 1 and held[0].startswith(f"{port} (tcp) is held by ")
        assert ports.of_others({("tcp", port)}, [os.getpid()]) == []


def test_lists_of_ports_as_the_kernel_has_them() -> None:
    """Read and written without loss; an empty list is empty."""
    assert ports.numbers("8000,49160-49162\n") == {8000, 49160, 49161, 49162}
    assert ports.spans({49162, 49160, 8000, 49161, 8002}) == "8000,8002,49160-49162"
    assert ports.numbers("\n") == set() and ports.spans(()) == ""


def test_ports_that_connections_take() -> None:
    """Which, by which setting, and who has one now; what is reserved is fine."""
    relay = Opening(49160, 49200, "udp", "turn_relay", "coturn", True, "")
    told = ephemeral.judged([relay], ["49170 (udp) is held by firefox (process 12)"])
    assert told.status == "warning" and "49160-49200 (ports.turn_relay)" in told.summary
    assert "firefox" in told.summary and "49160-49200" in told.advice
    assert ephemeral.judged([], []).status == "ok"


def test_a_port_of_what_has_just_ended_is_waited_for() -> None:
    """After a kill the kernel may take a moment to give a port back: nobody holds it, and the start goes on."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))  # bound alone, it shows in no table, as that of a process in its last moment
    end = threading.Timer(0.4, held.close)
    end.start()
    ports.check([unit(held.getsockname()[1])], gather())
    end.join()
