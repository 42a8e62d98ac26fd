"""One locked Python package, fetched by the standard library alone: uv for the launcher, Node.js and Go for `artifacts/`.

Any Python from 3.8 on runs this before anything of ours is installed, so it imports nothing but `indexes.py`. It asks
where uv and pip would, over the simple repository API (PEP 503), for a wheel (PEP 427) that this machine can run (PEP
600, 656). What comes has to have a SHA-256 of the lock, so neither an index nor the way to it is trusted.
"""

from __future__ import annotations

import base64
import hashlib
import html.parser
import netrc
import os
import platform
import re
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import IO, Any, Callable, Iterator, Mapping, NamedTuple

from samsesh import indexes
from samsesh.indexes import Sources

ACCEPT = "application/vnd.pypi.simple.v1+html, text/html;q=0.5"
LARGEST_PAGE, LARGEST_WHEEL = 50_000_000, 400_000_000
PAUSES = (0, 1, 4)  # seconds before each try
PIECE = 1 << 16  # bytes between two words to `progress`

Progress = Callable[[str, int, int], None]  # what, bytes that have come, bytes in all (0: not known)


class Locked(NamedTuple):
    """The one package of a lock file: its normalized name, and the SHA-256 of each of its files, in hex."""

    project: str
    version: str
    sums: frozenset[str]


def locked(lock: Path) -> Locked:
    text = lock.read_text(encoding="utf-8")
    name, version = re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)[0]
    sums = re.findall(r"--hash=sha256:([0-9a-f]{64})", text)
    return Locked(_normalized(name), version, frozenset(sums))


def fetch(lock: Path, target: Path, environ: Mapping[str, str], progress: Progress = lambda *_: None) -> None:
    """Unpack the wheel of a lock file's one package into the folder `target`; its scripts are in `bin` there.

    Raises OSError with the reason for each place that was asked.
    """
    package, sources = locked(lock), indexes.read(environ)
    web = Web(sources, environ)
    places = [*sources.links, *(f"{index.rstrip('/')}/{package.project}/" for index in sources.indexes)]
    problems = [] if places else ["all package indexes are switched off (no-index)"]
    for place in places:
        problem = _take(package, place, web, target, progress)
        if not problem:
            return
        problems.append(f"{_shown(place)}: {problem}")
    raise OSError("\n".join(problems))


def _take(package: Locked, place: str, web: Web, target: Path, progress: Progress) -> str:
    """Unpack it from one place, or say why that cannot be."""
    try:
        for url in fitting(web.links(place), package):
            with tempfile.TemporaryFile(dir=target.parent) as archive:
                web.save(url, archive, package.sums, progress)
                _unpack(archive, target)
                return ""
    except (OSError, ValueError) as error:  # ValueError: no URL, no number, no zip file
        return str(getattr(error, "reason", None) or error)
    return f"no {package.project} {package.version} for this machine ({platform.machine()})"


def fitting(links: list[str], package: Locked) -> Iterator[str]:
    """URLs of wheels of this version for this machine, but for those that say that they have another checksum."""
    for link in links:
        url, _, fragment = link.partition("#")
        parts = urllib.parse.unquote(url.rsplit("/", 1)[-1]).split("-")
        claimed = re.search(r"sha256=([0-9a-f]{64})", fragment)
        if (
            not parts[-1].endswith(".whl")
            or len(parts) < 5
            or (claimed and claimed.group(1) not in package.sums)
        ):
            continue
        if (_normalized(parts[0]), parts[1]) != package[:2]:
            continue
        if any(map(_runs_here, parts[-1][: -len(".whl")].split("."))):
            yield url


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _runs_here(tag: str) -> bool:
    """Whether a wheel with that platform tag is for this machine."""
    built = re.fullmatch(r"(manylinux|musllinux|macosx)_(\d+)_(\d+)_(\w+)", tag)
    if not built or built.group(4) not in (platform.machine(), "universal2"):
        return False
    system, newest = _system()
    return built.group(1) == system and (int(built.group(2)), int(built.group(3))) <= newest


def _system() -> tuple[str, tuple[int, ...]]:
    """The kind of system, as tags name it, and the newest version that programs may be built for."""
    if sys.platform == "darwin":
        return "macosx", _number(platform.mac_ver()[0])
    try:
        return "manylinux", _number((os.confstr("CS_GNU_LIBC_VERSION") or "").split()[1])
    except (ValueError, IndexError):
        return "musllinux", (1, 99)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _unpack(archive: IO[bytes], target: Path) -> None:
    """What is in a wheel, with the modes that it has there; what it has as scripts goes to `bin`."""
    try:
        with zipfile.ZipFile(archive) as wheel:
            for entry in wheel.infolist():
                entry.filename = re.sub(r"^[^/]+\.data/scripts/", "bin/", entry.filename)
                path = Path(wheel.extract(entry, target))  # never outside
                runs = entry.external_attr >> 16 & 0o100 or entry.filename.startswith("bin/")
                if not entry.is_dir():
                    path.chmod(0o755 if runs else 0o644)
    except zipfile.BadZipFile as error:
        raise ValueError(f"no wheel: {error}") from None


def _shown(place: str) -> str:
    """An address without what it takes to log in."""
    return re.sub(r"//[^/@]*@", "//", place)


class _Page(html.parser.HTMLParser):
    """Collects where a page's links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]


class Web:
    """Pages and files, by the proxies, certificates and log-ins of the settings."""

    def __init__(self, sources: Sources, environ: Mapping[str, str]) -> None:
        self.sources = sources
        self.logins: dict[str, str] = {}  # host and port -> user:password, as addresses name them
        self.netrc = environ.get("NETRC") or f"{environ.get('HOME') or '/nonexistent'}/.netrc"
        proxies = urllib.request.getproxies()
        usual = sources.proxy or proxies.get("all", "")
        if usual and not usual.startswith("socks"):  # which urllib does not speak
            proxies = {"http": usual, "https": usual, **proxies}
        proxy = urllib.request.ProxyHandler(proxies)
        tls = _tls(sources)
        self.has_certificates = bool(sources.bundles) or indexes.has_certificates(tls)
        unchecked_tls = ssl.create_default_context()
        unchecked_tls.check_hostname, unchecked_tls.verify_mode = False, ssl.CERT_NONE
        self.checked = urllib.request.build_opener(proxy, urllib.request.HTTPSHandler(context=tls))
        self.unchecked = urllib.request.build_opener(
            proxy, urllib.request.HTTPSHandler(context=unchecked_tls)
        )

    def links(self, place: str) -> list[str]:
        """URLs that a page has links to; of a folder, its files."""
        if "://" not in place and Path(place).is_dir():
            return [path.absolute().as_uri() for path in sorted(Path(place).iterdir())]
        url = place if "://" in place else Path(place).absolute().as_uri()
        with self.opened(url) as answer:
            page = _Page()
            page.feed(answer.read(LARGEST_PAGE).decode("utf-8", "replace"))
            links = [urllib.parse.urljoin(answer.geturl(), link) for link in page.links]
        return [link for link in links if link.startswith("http") or url.startswith("file:")]

    def save(self, url: str, out: IO[bytes], sums: frozenset[str], progress: Progress) -> None:
        """Fetch a file that has one of these checksums."""
        name, sha256, size = url.rsplit("/", 1)[-1], hashlib.sha256(), 0
        with self.opened(url) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            for piece in iter(lambda: answer.read(PIECE), b""):
                size += len(piece)
                if size > LARGEST_WHEEL:
                    raise ValueError(f"{name} is larger than {LARGEST_WHEEL // 1_000_000} MB")
                sha256.update(piece)
                out.write(piece)
                progress(name, size, total)
        if sha256.hexdigest() not in sums:
            raise ValueError(
                f"{name} has a checksum that is not in the lock: it was altered or damaged on its way"
            )

    def opened(self, url: str) -> Any:
        """The answer to a request, which is made again after what may be better the next time."""
        parts = urllib.parse.urlsplit(url)
        login, _, host = parts.netloc.rpartition("@")
        if login:
            self.logins[host] = urllib.parse.unquote(login)
        trusted = {host, parts.hostname or ""} & set(self.sources.trusted_hosts)
        # Without any certificate, as on a bare Debian, checksums alone vouch for what comes.
        opener = self.checked if self.has_certificates and not trusted else self.unchecked
        plain = urllib.parse.urlunsplit(parts._replace(netloc=host, fragment=""))
        request = urllib.request.Request(plain, headers={"Accept": ACCEPT})  # noqa: S310 - files are the settings' own
        login = self.logins.get(host) or self._from_netrc(parts.hostname or "")
        if login:
            if not self.has_certificates and not trusted and parts.scheme == "https":
                raise ValueError("it wants a password, which needs certificates: install ca-certificates")
            word = base64.b64encode(login.encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {word}")
        for pause in PAUSES[: self.sources.retries + 1]:
            time.sleep(pause)
            try:
                return opener.open(request, timeout=self.sources.timeout)
            except urllib.error.HTTPError as error:
                error.close()
                problem = OSError(f"the answer was {error.code}")
                if error.code < 500 and error.code != 429:
                    break
            except OSError as error:
                problem = error
        raise problem

    def _from_netrc(self, host: str) -> str:
        try:
            user, _, password = netrc.netrc(self.netrc).authenticators(host) or ("", "", "")
        except (OSError, netrc.NetrcParseError):
            return ""
        return f"{user}:{password}" if user else ""


def _tls(sources: Sources) -> ssl.SSLContext:
    """TLS by the certificates of the system (SSL_CERT_FILE and SSL_CERT_DIR name others) and those of the settings."""
    tls = ssl.create_default_context()
    for path in sources.bundles:
        tls.load_verify_locations(*((None, path) if path.is_dir() else (path,)))
    if sources.client_certificate:
        tls.load_cert_chain(sources.client_certificate)
    return tls


def main() -> None:
    """`fetch LOCK FOLDER`; `settings`: print what uv is to know of pip's settings, as NAME=VALUE lines."""
    try:
        if sys.argv[1] == "fetch":
            fetch(Path(sys.argv[2]), Path(sys.argv[3]), os.environ)
        else:
            lines = (f"{name}={value}\n" for name, value in indexes.for_uv(os.environ).items())
            sys.stdout.writelines(lines)
    except OSError as error:
        sys.exit(str(error))
