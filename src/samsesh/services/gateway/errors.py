"""What the gateway answers when something went wrong: a page to people, Matrix's JSON to programs.

Browsers ask for `text/html` when somebody opens an address; what runs in their pages does not, nor do apps and servers.
"""

from typing import Any

from samsesh.formats import Verbatim
from samsesh.model import ErrorPages
from samsesh.services.gateway import language
from samsesh.services.gateway.handlers import HTTP1

PERSON = {"header": {"Accept": ["*text/html*"]}}
MATRIX = {"path": ["/_matrix/*", "/_synapse/*"]}
LEFT = ("Content-Encoding", "Content-Length", "Etag", "Last-Modified")  # of the answer that a page replaces


def intercept_routes(pages: ErrorPages | None) -> list[dict[str, Any]]:
    """Before all other routes: errors of what stands behind the gateway become the gateway's own, for people.

    Synapse has pages itself, for log-ins by another site for example: those say more and stay.
    """
    if pages is None:
        return []
    json = {"headers": {"Content-Type": ["application/json*"]}}
    return [
        {"match": [{**PERSON, **MATRIX}], "handle": [_intercept(json)]},
        {"match": [{**PERSON, "not": [MATRIX]}], "handle": [_intercept({})]},
    ]


def _intercept(match: dict[str, Any]) -> dict[str, Any]:
    error = {"handler": "error", "status_code": Verbatim("{http.intercept.status_code}")}
    response = {"match": {"status_code": [4, 5], **match}, "routes": [{"handle": [error]}]}
    return {"handler": "intercept", "handle_response": [response]}


def error_routes(pages: ErrorPages | None) -> list[dict[str, Any]]:
    """For errors of the gateway's own. Connections of HTTP/1.1 end with them: see `ending_connections`."""
    close = {"handler": "headers", "response": {"set": {"Connection": ["close"]}}}
    people = [{"match": [PERSON], "handle": _page(pages), "terminal": True}] if pages else []
    return [{"match": [HTTP1], "handle": [close]}, *people, {"handle": [error_answer()]}]


def _page(pages: ErrorPages) -> list[dict[str, Any]]:
    """The page of a status in the visitor's language, whatever was asked for."""
    kind = "{samsesh.error}"
    mappings = [{"input_regexp": f"^{one.replace('x', '.')}$", "outputs": [one]} for one in pages.kinds]
    mapped = {
        "handler": "map",
        "source": Verbatim("{http.error.status_code}"),
        "destinations": [Verbatim(kind)],
        "mappings": mappings,
    }
    headers = {name: [value] for name, value in pages.headers.items()}
    files = {"handler": "file_server", "root": str(pages.root), "canonical_uris": False}
    return [
        {"handler": "subroute", "routes": language.routes(pages.languages)},
        mapped,
        {
            "handler": "headers",
            "response": {"delete": list(LEFT), "set": headers, "add": {"Vary": ["Accept"]}},
        },
        {"handler": "rewrite", "uri": Verbatim(f"/{language.LANGUAGE}/{kind}.html")},
        files,
    ]


def error_answer() -> dict[str, Any]:
    """What the gateway itself refuses or cannot pass on, in Matrix's words, and readable for web clients."""
    body = Verbatim(r'\{"errcode":"M_UNKNOWN","error":"{http.error.status_text}"\}')
    headers = {"Access-Control-Allow-Origin": ["*"], "Content-Type": ["application/json"]}
    return {
        "handler": "static_response",
        "status_code": Verbatim("{http.error.status_code}"),
        "body": body,
        "headers": headers,
    }
