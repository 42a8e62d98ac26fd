"""A name server of the tests, over UDP and TCP: in this process, or as a program of a network namespace.

    python nameserver.py ADDRESS RECORDS.json     says "ready", then runs until it is ended

It reads the file anew for each question, so that a test changes what is published by writing it.
"""

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Records = dict[str, dict[str, list[str]]]  # name -> type -> values; the type SILENCE: never answered
SILENCE = "silence"
Now = Callable[[], Records]


def answer(data: bytes, records: Records) -> bytes:
    """The answer to one question, as it goes over the wire; empty where there is to be none."""
    asked = dns.message.from_wire(data)
    question = asked.question[0]
    reply = dns.message.make_response(asked)
    reply.flags |= dns.flags.AA | dns.flags.RA
    known = records.get(question.name.to_text(omit_final_dot=True).lower())
    if known and SILENCE in known:
        return b""
    if known is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    for found in dict.fromkeys((dns.rdatatype.to_text(question.rdtype), "CNAME")):
        if known and known.get(found):
            reply.answer.append(dns.rrset.from_text(question.name, 1, "IN", found, *known[found]))
    return reply.to_wire()


def serve(address: str, records: Now) -> None:
    """Answer at port 53 of an address, in threads."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, 53))
    tcp = socket.create_server((address, 53))
    for work, link in ((_over_udp, udp), (_over_tcp, tcp)):
        threading.Thread(target=work, args=(link, records), daemon=True).start()


def _over_udp(link: socket.socket, records: Now) -> None:
    while True:
        data, peer = link.recvfrom(4096)
        if reply := answer(data, records()):
            link.sendto(reply, peer)


def _over_tcp(listener: socket.socket, records: Now) -> None:
    while True:
        link, _ = listener.accept()
        with link:
            reply = answer(link.recv(4096)[2:], records())  # two bytes of length come first
            if reply:
                link.sendall(len(reply).to_bytes(2, "big") + reply)


def publish(path: Path, records: Records) -> None:
    """Records in the place of all that were."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(records))
    new.replace(path)


@contextmanager
def running(prefix: tuple[str, ...], address: str, path: Path) -> Iterator[None]:
    """A name server as a program, where commands with this prefix are; it answers from the file."""
    command = [*prefix, sys.executable, __file__, address, str(path)]
    with Popen(command, stdin=DEVNULL, stdout=PIPE, text=True) as server:
        assert server.stdout
        try:
            assert server.stdout.readline() == "ready\n"
            yield
        finally:
            server.terminate()


def main() -> None:
    address, path = sys.argv[1], Path(sys.argv[2])
    serve(address, lambda: json.loads(path.read_text()))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
