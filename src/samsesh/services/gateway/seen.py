"""What the gateway saw of a request that came through a proxy, told to the doctor alone: by this a proxy is judged."""

from dataclasses import dataclass
from typing import Any

from samsesh.formats import Verbatim
from samsesh.model import Context, File

PATH = "/_samsesh/seen"  # below any path: some proxies pass only certain ones on
HEADER = "X-Samsesh-Doctor"
# A word a line, with Caddy's placeholder for what it is.
WORDS = {
    "client": "{http.vars.client_ip}",
    "peer": "{http.request.remote.host}",
    "forwarded": "{http.request.header.X-Forwarded-For}",
    "upgrade": "{http.request.header.Upgrade}",
    "uri": "{http.request.orig_uri}",
}


@dataclass(frozen=True)
class Seen:
    """One request: `client`, whose it is taken for; `peer`, who connected; its headers and undecoded path."""

    client: str
    peer: str
    forwarded: str
    upgrade: str
    uri: str


def key_file(context: Context) -> File:
    """What the doctor shows; in a file of its own, so that the configuration can be read by people."""
    path = context.place.config("gateway") / "doctor_key"
    return File(path, context.secrets.doctor_key.reveal().encode(), secret=True)


def route(context: Context) -> dict[str, Any]:
    """The answer, for who has the key."""
    body = "".join(f"{word} {placeholder}\n" for word, placeholder in WORDS.items())
    key = Verbatim(f"{{file.{key_file(context).path}}}")
    answer = {"handler": "static_response", "status_code": 200, "body": Verbatim(body)}
    return {
        "match": [{"path": [f"*{PATH}*"], "header": {HEADER: [key]}}],
        "handle": [answer],
        "terminal": True,
    }


def parse(text: str) -> Seen | None:
    """None where somebody else answered."""
    found = {word: value for word, _, value in (line.partition(" ") for line in text.splitlines())}
    return Seen(**found) if found.keys() == WORDS.keys() else None
