"""Certificates and their keys on the disk: the one in force, whether both fit, and how long it counts."""

import re
import ssl
import time
from calendar import timegm
from dataclasses import dataclass
from pathlib import Path

OWN = "local"  # the folder of the gateway's own authority in Caddy's storage
UTC_TIME, GENERALIZED_TIME, SEQUENCE, VERSION = 0x17, 0x18, 0x30, 0xA0


@dataclass(frozen=True)
class Pair:
    """Files of a certificate (PEM, with its chain) and its private key."""

    certificate: Path
    key: Path

    def signature(self) -> tuple[tuple[int, int, int], ...]:
        """Another one whenever one of the files is another. Raises OSError where one is not there."""
        found = [path.stat() for path in (self.certificate, self.key)]
        return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)

    def problem(self) -> str:
        """Why the two cannot be used; empty where they can."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self.certificate, self.key, password=lambda: ""
            )
        except ssl.SSLError as error:
            if "MISMATCH" in (error.reason or ""):
                return f"{self.key} is not the key of {self.certificate}"
            return f"{self.certificate} and {self.key} cannot be read ({error.reason or 'no PEM'})"
        except OSError as error:
            return f"{self.certificate} or {self.key}: {error.strerror or error}"
        return ""

    def content(self) -> bytes:
        """Both in one file, in which programs look for both: so they never differ."""
        files = dict.fromkeys((self.certificate, self.key))  # once, where one has both already
        return b"".join(path.read_bytes().rstrip() + b"\n" for path in files)

    def until(self) -> float:
        """Unix time at which the certificate ends; 0 where it is none."""
        try:
            text = self.certificate.read_text(encoding="ascii", errors="replace")
            first = text.index("-----BEGIN CERTIFICATE-----")
            end = text.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
            return not_after(ssl.PEM_cert_to_DER_cert(text[first:end]))
        except (OSError, ValueError, IndexError):
            return 0.0


def newest(storage: Path, host: str, *, own: bool) -> Pair | None:
    """The certificate of a host in Caddy's storage: of its own authority, or else the newest, whoever signed it.

    Its folders: certificates/<issuer>/<host>/<host>.crt and .key (certmagic, storage.go); an issuer is "local", or the
    host and path of its ACME directory.
    """
    name = safe(host)
    found: list[tuple[int, Pair]] = []
    try:
        issuers = [path for path in (storage / "certificates").iterdir() if (path.name == OWN) == own]
    except OSError:
        return None
    for issuer in issuers:
        folder = issuer / name
        pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
        try:
            found.append((pair.certificate.stat().st_mtime_ns, pair))
        except OSError:
            continue
    return max(found, key=lambda one: one[0])[1] if found else None


def safe(host: str) -> str:
    """A host name or address as Caddy names its folder (certmagic, KeyBuilder.Safe)."""
    name = host.lower().strip()
    for old, new in ((" ", "_"), ("+", "_plus_"), ("*", "wildcard_"), (":", "-"), ("..", "")):
        name = name.replace(old, new)
    return re.sub(r"[^\w@.-]", "", name, flags=re.ASCII)


def not_after(der: bytes) -> float:
    """The end of a certificate's validity (RFC 5280, 4.1). Raises ValueError or IndexError for what is none."""
    start, _ = _content(der, 0, SEQUENCE)
    place, _ = _content(der, start, SEQUENCE)
    if der[place] == VERSION:
        place = _end(der, place)
    for _ in range(3):  # serial number, signature algorithm, issuer
        place = _end(der, place)
    place, _ = _content(der, place, SEQUENCE)
    place = _end(der, place)  # notBefore
    begin, end = _content(der, place, der[place])
    text = der[begin:end].decode("ascii")
    if der[place] == UTC_TIME:  # years with two digits, until 2049
        text = ("19" if text >= "50" else "20") + text
    elif der[place] != GENERALIZED_TIME:
        raise ValueError("no time")
    return float(timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))


def _content(der: bytes, place: int, tag: int) -> tuple[int, int]:
    """Beginning and end of what an element holds (X.690, 8.1)."""
    if der[place] != tag:
        raise ValueError(f"{der[place]:#x} is not {tag:#x}")
    length, place = der[place + 1], place + 2
    if length & 0x80:
        count = length & 0x7F
        length, place = int.from_bytes(der[place : place + count]), place + count
    return place, place + length


def _end(der: bytes, place: int) -> int:
    return _content(der, place, der[place])[1]
