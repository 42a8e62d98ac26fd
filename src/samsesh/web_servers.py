"""Which web server has a port of this machine: by the process that holds it, by what it answers, or by what runs here."""

import http.client
import ssl
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from samsesh import ports
from samsesh.model import Endpoint

DSM = Path("/usr/syno")  # on a Synology NAS
PAGE = 4096  # bytes that are read of an answer


@dataclass(frozen=True)
class WebServer:
    """Its name, and what `samsesh proxy-config` calls it; "" where that has nothing for it."""

    name: str
    kind: str = ""


NGINX, APACHE = WebServer("nginx", "nginx"), WebServer("Apache", "apache")
TRAEFIK, HAPROXY = WebServer("Traefik", "traefik"), WebServer("HAProxy", "haproxy")
SYNOLOGY = WebServer("Synology's nginx", "synology")
CLOUDFLARE = WebServer("Cloudflare", "cloudflared")
# Names of processes, and first words of the header `Server`.
WORDS = {
    "nginx": NGINX,
    "openresty": WebServer("OpenResty (Nginx Proxy Manager)", "nginx-proxy-manager"),
    "apache": APACHE,
    "apache2": APACHE,
    "httpd": APACHE,
    "caddy": WebServer("Caddy", "caddy"),
    "haproxy": HAPROXY,
    "traefik": TRAEFIK,
    "cloudflare": CLOUDFLARE,
    "cloudflared": CLOUDFLARE,
    "lighttpd": WebServer("lighttpd"),
}
# Those that leave out the header are known by their own pages for hosts that they do not know: (status, text).
PAGES = {
    (404, b"404 page not found"): TRAEFIK,
    (503, b"No server is available to handle this request"): HAPROXY,
}


def before(port: int) -> WebServer | None:
    """The one that has a port of this machine now."""
    return at_port(port, ports.holder(Endpoint(port=port)))


def at_port(port: int, holder: str = "") -> WebServer | None:
    """`holder`: what `ports.holder` says of who holds it."""
    by_process = (WORDS[word] for word in holder.split() if word in WORDS)
    return _here(next(by_process, None) or _by_answer(port))


def running() -> WebServer | None:
    """Any that runs on this machine: for who knows no better, and while our own gateway does not run."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if found := WORDS.get(path.read_text().strip()):
                return _here(found)
    return None


def _here(found: WebServer | None) -> WebServer | None:
    return SYNOLOGY if found == NGINX and DSM.is_dir() else found


def judged(status: int, headers: Mapping[str, str], page: bytes) -> WebServer | None:
    """By an answer of HTTP; names of headers in lower case."""
    if word := headers.get("server", "").lower().partition("/")[0].strip():
        return WORDS.get(word.split()[0])
    return next((one for (code, text), one in PAGES.items() if code == status and text in page), None)


def _by_answer(port: int) -> WebServer | None:
    """By https, whatever its certificate, and by plain http.

    First without a host, which most refuse themselves: what stands behind them has a name of its own.
    """
    anything = ssl.create_default_context()
    anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
    for skip_host in (True, False):
        for link in (
            http.client.HTTPSConnection("127.0.0.1", port, timeout=1, context=anything),
            http.client.HTTPConnection("127.0.0.1", port, timeout=1),
        ):
            with closing(link), suppress(OSError, http.client.HTTPException):
                link.putrequest("GET", "/", skip_host=skip_host)
                link.endheaders()
                answer = link.getresponse()
                headers = {name.lower(): value for name, value in answer.getheaders()}
                if found := judged(answer.status, headers, answer.read(PAGE)):
                    return found
    return None
