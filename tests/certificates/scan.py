"""What a TLS port takes, by sslscan, else by openssl's client with one version after the other."""

import re
import shutil
import subprocess
from dataclasses import dataclass

from programs import need

VERSIONS = {"TLSv1.0": "-tls1", "TLSv1.1": "-tls1_1", "TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}
SANE = re.compile(r"TLS_(AES|CHACHA20)_\w+|ECDHE-(ECDSA|RSA)-(AES\d+-GCM-SHA\d+|CHACHA20-POLY1305(-SHA256)?)")


@dataclass(frozen=True)
class Taken:
    versions: frozenset[str]
    ciphers: frozenset[str]

    @property
    def weak(self) -> set[str]:
        return {cipher for cipher in self.ciphers if not SANE.fullmatch(cipher)}


def scan(port: int, host: str) -> Taken:
    if sslscan := shutil.which("sslscan"):
        only = ("--no-renegotiation", "--no-compression", "--no-heartbleed", "--no-fallback", "--no-groups")
        shown = ("--no-colour", "--no-failed", "--timeout=6", *only)
        command = [sslscan, *shown, f"--sni-name={host}", f"127.0.0.1:{port}"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
        versions = re.findall(r"^((?:SSL|TLS)v[\d.]+)\s+enabled", told, re.MULTILINE)
        ciphers = re.findall(r"^(?:Accepted|Preferred)\s+\S+\s+\d+ bits\s+(\S+)", told, re.MULTILINE)
        assert "Testing SSL server" in told, told
        return Taken(frozenset(versions), frozenset(ciphers))
    found = {version: _agreed(port, host, option) for version, option in VERSIONS.items()}
    return Taken(
        frozenset(version for version, cipher in found.items() if cipher),
        frozenset(cipher for cipher in found.values() if cipher),
    )


def _agreed(port: int, host: str, option: str) -> str:
    command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-servername", host, option]
    weakest = ("-cipher", "ALL:@SECLEVEL=0")
    told = subprocess.run(
        [*command, *weakest], input="", capture_output=True, text=True, timeout=30, check=False
    )
    found = re.search(r"Cipher is (\S+)", told.stdout)
    return found[1] if found and found[1] != "(NONE)" else ""
