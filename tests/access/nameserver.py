"""A name server for a network namespace of the tests, run as a program: NAMES.json holds {"name": ["address", ...]}.

It reads the file anew for each question, so that a test changes what is published by writing it.
"""

import json
import socket
import sys
from ipaddress import ip_address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


def answer(question: bytes, known: dict[str, list[str]]) -> bytes:
    asked = dns.message.from_wire(question)
    reply = dns.message.make_response(asked)
    reply.flags |= dns.flags.AA | dns.flags.RA
    one = asked.question[0]
    found = known.get(one.name.to_text(omit_final_dot=True).lower())
    if found is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    version = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}.get(one.rdtype)
    addresses = [address for address in found or () if ip_address(address).version == version]
    if addresses:
        reply.answer.append(dns.rrset.from_text(one.name, 1, one.rdclass, one.rdtype, *addresses))
    return reply.to_wire()


def main() -> None:
    path = Path(sys.argv[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            question, client = server.recvfrom(4096)
            server.sendto(answer(question, json.loads(path.read_text())), client)


if __name__ == "__main__":
    main()
