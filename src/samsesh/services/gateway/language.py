"""Which of the pages' languages a visitor reads: what the address says (and a cookie keeps), else the browser."""

from typing import Any

from samsesh.formats import Verbatim

CHOSEN = "lang"  # in an address: /register?lang=fa
COOKIE = "language"
YEAR = 31_536_000
LANGUAGE = "{samsesh.language}"  # Caddy's placeholder that has it afterwards
SOURCE = f"{{http.request.uri.query.{CHOSEN}}}|{{http.request.cookie.{COOKIE}}}|{{http.request.header.Accept-Language}}"


def routes(languages: tuple[str, ...]) -> list[dict[str, Any]]:
    """Caddy's routes that find it out, and keep what was chosen. The first language is for who asks for none."""
    one = f"({'|'.join(languages)})"
    # Browsers send their user's languages in order (RFC 9110, 12.5.4): the first that is ours counts.
    patterns = (rf"^{one}\|", rf"^[^|]*\|{one}\|", rf"^[^|]*\|[^|]*\|(?:.*?,)??\s*{one}\b.*")
    mapped = {
        "handler": "map",
        "source": Verbatim(SOURCE),
        "destinations": [Verbatim(LANGUAGE)],
        "mappings": [{"input_regexp": pattern, "outputs": [Verbatim("${1}")]} for pattern in patterns],
        "defaults": [languages[0]],
    }
    cookie = f"{COOKIE}={{http.request.uri.query.{CHOSEN}}}; Path=/; Max-Age={YEAR}; SameSite=Lax"
    return [
        # A cache between us and the visitor must not hand out the other language.
        {"handle": [mapped, _add("Vary", "Accept-Language, Cookie")]},
        {"match": [{"query": {CHOSEN: list(languages)}}], "handle": [_add("Set-Cookie", Verbatim(cookie))]},
    ]


def _add(header: str, value: str) -> dict[str, Any]:
    return {"handler": "headers", "response": {"add": {header: [value]}}}
