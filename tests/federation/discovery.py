"""Finds a homeserver as another implementation would: the spec's Server-Server API, "Resolving server names"."""

import http.client
import json
import re
import socket
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import dns.message
import dns.query
import dns.rdatatype


@dataclass(frozen=True)
class Found:
    """Where to connect, and as whom: the Host header, and the name that the certificate must have."""

    host: str
    port: int
    header: str
    certificate: str


class Resolver:
    """`dns_server`: asked for SRV records; `trust`: the authorities."""

    def __init__(self, dns_server: str, trust: ssl.SSLContext) -> None:
        self._dns = dns_server
        self._trust = trust

    def find(self, name: str, *, well_known: bool = True) -> Found:
        host, port = _split(name)
        if _literal(host):  # step 1
            return Found(host, port or 8448, name, host)
        if port:  # step 2
            return Found(host, port, name, host)
        if well_known and (delegated := self._well_known(host)):  # step 3
            return self._delegated(delegated)
        if target := self._srv(host):  # steps 4 and 5
            return Found(*target, name, host)
        return Found(host, 8448, name, host)  # step 6

    def _delegated(self, name: str) -> Found:
        host, port = _split(name)
        if _literal(host):
            return Found(host, port or 8448, name, host)
        if port:
            return Found(host, port, name, host)
        if target := self._srv(host):
            return Found(*target, name, host)
        return Found(host, 8448, name, host)

    def _well_known(self, host: str) -> str:
        try:
            status, body = self.get(Found(host, 443, host, host), "/.well-known/matrix/server")
        except OSError:
            return ""
        return str(json.loads(body)["m.server"]) if status == 200 else ""

    def _srv(self, host: str) -> tuple[str, int] | None:
        for service in ("_matrix-fed", "_matrix"):
            asked = dns.message.make_query(f"{service}._tcp.{host}", dns.rdatatype.SRV)
            answer, _ = dns.query.udp_with_fallback(asked, self._dns, timeout=3)
            for records in answer.answer:
                best: Any = min(records, key=lambda record: record.priority)
                return best.target.to_text(omit_final_dot=True), best.port
        return None

    def get(self, found: Found, path: str) -> tuple[int, bytes]:
        """Status and body; the path goes out as it is."""
        link = http.client.HTTPSConnection(found.host, found.port, timeout=10)
        link.sock = self.connect(found)
        try:
            link.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
            link.putheader("Host", found.header)
            link.endheaders()
            answer = link.getresponse()
            return answer.status, answer.read()
        finally:
            link.close()

    def connect(self, found: Found) -> ssl.SSLSocket:
        plain = socket.create_connection((found.host, found.port), timeout=10)
        try:
            return self._trust.wrap_socket(plain, server_hostname=found.certificate)
        except OSError:
            plain.close()
            raise


def _split(name: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(\[[^]]*\]|[^:]*)(?::(\d+))?", name)
    assert match, name
    return match[1].strip("[]"), int(match[2]) if match[2] else None


def _literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
