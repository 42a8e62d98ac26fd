"""Certificates of the operator's own (`tls.mode = "files"`), judged before the gateway gets them.

A handshake in memory shows what a stranger's client would say of each host; `cryptography`, which comes with Synapse, is
asked for names and dates only.
"""

import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SOON = 14 * 86_400  # seconds before its end that a certificate should have been replaced
DAY = 86_400
SELF_SIGNED, NO_ISSUER = (18, 19), (20, 21)  # X509_V_ERR_...: known to nobody; the one above is not there
EXPIRED, NOT_YET, WRONG_HOST, WRONG_ADDRESS = 10, 9, 62, 64


@dataclass(frozen=True)
class Problem:
    """What is wrong, and what to do. `grave`: nobody would get in."""

    told: str
    advice: str
    grave: bool = True


def judge(
    certificate: Path, key: Path, hosts: Iterable[str], *, more_roots: tuple[Path, ...] = (), now: float = 0
) -> list[Problem]:
    """Everything that is wrong with a chain and its key for these hosts; nothing where all is well."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        return [_unreadable(certificate, key, error)]
    found: dict[tuple[str, str], Problem] = {}
    for host in hosts:
        for problem in _stranger(server, host, certificate, more_roots):
            found[problem.told, problem.advice] = problem
    problems = list(found.values())
    if not problems and (left := ends(certificate) - (now or time.time())) < SOON:
        told = f"the certificate in {certificate} ends in {days(left)}"
        problems.append(
            Problem(told, "renew it; the gateway reads it anew when the file changes", grave=False)
        )
    return problems


def days(seconds: float) -> str:
    number = max(0, int(seconds // DAY))
    return f"{number} day{'' if number == 1 else 's'}"


def ends(certificate: Path) -> float:
    """Unix time of the first certificate's end; raises ValueError where there is none."""
    from cryptography import x509

    return x509.load_pem_x509_certificates(certificate.read_bytes())[0].not_valid_after_utc.timestamp()


def described(certificate: Path) -> tuple[str, str]:
    """(names that the first certificate is for, who issued the last one); for people."""
    from cryptography import x509

    chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    names: list[str] = []
    with suppress(x509.ExtensionNotFound):
        found = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(one.value) for one in found]
    return ", ".join(names) or "no name", chain[-1].issuer.rfc4514_string()


def _no_password() -> str:
    raise ValueError("it is locked by a password")


def _unreadable(certificate: Path, key: Path, error: Exception) -> Problem:
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return Problem(
            f"the key in {key} does not belong to the certificate in {certificate}",
            "name the two that were made together: tls.certificate, tls.certificate_key",
        )
    if "password" in str(error):
        return Problem(f"the key in {key} is locked by a password", "name one that is not")
    if isinstance(error, PermissionError):
        return Problem(
            f"{certificate} or {key} is not readable for the server", "let its user read both files"
        )
    return Problem(
        f"{certificate} and {key} are not a certificate chain and its key in PEM form",
        "name the right files: tls.certificate (the whole chain), tls.certificate_key",
    )


def _stranger(
    server: ssl.SSLContext, host: str, certificate: Path, more_roots: tuple[Path, ...]
) -> list[Problem]:
    """What a client that knows nothing of us finds wrong: the authority, and whatever is wrong beside it."""
    client = ssl.create_default_context()
    for path in more_roots:
        client.load_verify_locations(path)
    found: list[Problem] = []
    for _ in range(2):
        try:
            shake_hands(client, server, host)
        except ssl.SSLCertVerificationError as error:
            found.append(_said(error, host, certificate))
            if error.verify_code not in (*SELF_SIGNED, *NO_ISSUER):
                break
            client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
            client.load_verify_locations(certificate)  # and now as if it were known
        except ssl.SSLError as error:
            told = f"the certificate in {certificate} cannot be used: {error.reason}"
            return [Problem(told, "take another one")]
        else:
            break
    return found


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    """TLS between two ends in memory, until both are content; raises the client's error."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends_ = (
        client.wrap_bio(back, there, server_hostname=host),
        server.wrap_bio(there, back, server_side=True),
    )
    done: set[int] = set()
    for _ in range(8):  # TLS 1.3 takes two turns
        for number, end in enumerate(ends_):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
                done.add(number)
        if len(done) == len(ends_):
            return
    raise ssl.SSLError("no handshake")


def _said(error: ssl.SSLCertVerificationError, host: str, certificate: Path) -> Problem:
    names, issuer = described(certificate)
    if error.verify_code in (WRONG_HOST, WRONG_ADDRESS) or "mismatch" in str(error):
        return Problem(
            f"the certificate in {certificate} is not for {host}, but for {names}",
            "take one that names every host of this server, or one with a wildcard for all below the domain",
        )
    if error.verify_code == EXPIRED:
        return Problem(f"the certificate in {certificate} has expired", "renew it")
    if error.verify_code == NOT_YET:
        return Problem(
            f"the certificate in {certificate} is not valid yet",
            "see whether the clock of this machine is right",
        )
    if error.verify_code in NO_ISSUER:
        return Problem(
            f"the chain in {certificate} ends with a certificate by {issuer}, which nobody knows",
            "add the certificates between (often: fullchain.pem); an authority of your own is named in federation.ca",
        )
    if error.verify_code in SELF_SIGNED:
        return Problem(
            f"the certificate in {certificate} is by {issuer}, an authority that nobody knows",
            "take one that the world knows (tls.mode acme); or name that of your own authority in federation.ca",
        )
    return Problem(
        f"the certificate in {certificate} does not count: {error.verify_message}", "take another one"
    )
