"""Makes a certificate that nobody signed, with its key in the same file: `python -m samsesh.agent.stand_in FILE HOST`.

A program of its own, which ends: what it imports is larger than the agent.
"""

import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from samsesh.write import write_file

DAYS = 30


def made(host: str) -> bytes:
    """Certificate and key (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "not signed yet")])
    try:
        other: x509.GeneralName = x509.IPAddress(ip_address(host))
    except ValueError:
        other = x509.DNSName(host)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([other]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return certificate.public_bytes(pem) + key.private_bytes(pem, *plain)


if __name__ == "__main__":
    write_file(Path(sys.argv[1]), made(sys.argv[2]))
