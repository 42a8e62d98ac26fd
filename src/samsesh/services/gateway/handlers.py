"""One route of the gateway as Caddy's handlers (its documentation: JSON Config Structure, http.handlers)."""

from collections.abc import Mapping
from typing import Any

from samsesh.formats import Verbatim
from samsesh.model import Endpoint, Route
from samsesh.services.gateway import language

CLIENT, ADDRESS = "X-Forwarded-For", Verbatim("{http.vars.client_ip}")
HTTP1 = {"protocol": "http/1.1"}
OTHERS = ("Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP")  # by which others tell an address

# Web clients are megabytes of text. Only for files: what people say never shares an answer with what others chose.
# What is compressed beside a file (compress.py) is handed out as it is; the rest is compressed when it is asked for.
ONCE = {"precompressed": {"br": {}, "gzip": {}}, "precompressed_order": ["br", "gzip"]}
PAGES = ("web", "call")  # what stands behind these listeners, in containers, has nothing but files
COMPRESSED = {"handler": "encode", "encodings": {"zstd": {}, "gzip": {}}, "prefer": ["zstd", "gzip"]}


def route_json(route: Route, host: str = "", prefix: str = "") -> dict[str, Any]:
    """A route as Caddy takes it; with `host` or `prefix`, for requests to that host or below that path only."""
    handlers: list[dict[str, Any]] = []
    if prefix:
        handlers.append({"handler": "rewrite", "strip_path_prefix": prefix})
    if route.headers and route.answer is None:
        handlers.append(_headers(route.headers))
    if route.before is not None:
        handlers.append(_ask(*route.before))
    if route.upstream is not None:
        if route.strip:
            handlers.append({"handler": "rewrite", "strip_path_prefix": route.strip})
        handlers += [*([COMPRESSED] if route.listener in PAGES else []), _proxy(route.upstream)]
    elif route.root is not None:
        handlers.extend(_files(route))
    elif route.answer is not None:
        status, body = route.answer
        headers = {name: [value] for name, value in route.headers.items()}
        handlers.append(
            {"handler": "static_response", "status_code": status, "body": body, "headers": headers}
        )
    match = {
        **({"host": [host]} if host else {}),
        **({"path": [prefix + path for path in route.paths or ("/*",)]} if route.paths or prefix else {}),
    }
    return {**({"match": [match]} if match else {}), "handle": handlers, "terminal": True}


def _headers(headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "handler": "headers",
        "response": {"set": {name: [value] for name, value in headers.items()}, "deferred": True},
    }


def _proxy(upstream: Endpoint) -> dict[str, Any]:
    """Answers are passed on as they come (long polls, streams); no limit on how long one may take.

    What stands behind believes the first X-Forwarded-For (Synapse, our services) or other headers (LiveKit), so it is
    told one address: the client's as Caddy found it, by its connection or by what a trusted proxy says.
    """
    dial = f"unix/{upstream.socket}" if upstream.socket else f"{upstream.host}:{upstream.port}"
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": dial}],
        "headers": {"request": {"set": {CLIENT: [ADDRESS]}, "delete": list(OTHERS)}},
        "flush_interval": -1,
        "load_balancing": {"try_duration": "5s", "try_interval": "200ms"},  # a restart behind us is no error
        "transport": {
            "protocol": "http",
            "keep_alive": {"idle_timeout": "90s", "max_idle_conns_per_host": 64},
        },
    }


def _ask(upstream: Endpoint, path: str) -> dict[str, Any]:
    """A question with the request's query before it is passed on (what a Caddyfile calls forward_auth)."""
    return {
        **_proxy(upstream),
        "rewrite": {"method": "GET", "uri": Verbatim(f"{path}?{{http.request.uri.query}}")},
        "headers": {"request": {"set": {CLIENT: [ADDRESS]}, "delete": [*OTHERS, "Connection", "Upgrade"]}},
        "handle_response": [{"match": {"status_code": [2]}, "routes": [{"handle": [{"handler": "vars"}]}]}],
    }


def _files(route: Route) -> list[dict[str, Any]]:
    folder = f"/{language.LANGUAGE}" if route.languages else ""
    rewrites = [
        {"match": [{"path": [path]}], "handle": [{"handler": "rewrite", "uri": Verbatim(folder + target)}]}
        for path, target in route.rewrite.items()
    ]
    if route.languages:
        rewrites = [*language.routes(route.languages), *rewrites]
    files: dict[str, Any] = {"handler": "file_server", "root": str(route.root), "index_names": ["index.html"]}
    if not route.template:
        files |= ONCE
    else:
        templates = {"handler": "templates", "file_root": str(route.root)}
        rewrites.append({"handle": [templates]})
    if route.strip:
        return [COMPRESSED, {"handler": "rewrite", "strip_path_prefix": route.strip}, files]
    if not rewrites:
        return [COMPRESSED, files]
    return [COMPRESSED, {"handler": "subroute", "routes": [*rewrites, {"handle": [files]}]}]


def redirect(target: str) -> dict[str, Any]:
    """To another place (Verbatim where it has placeholders); for now, since a browser would keep another for ever."""
    return {"handler": "static_response", "status_code": 302, "headers": {"Location": [target]}}


def ending_connections(*, always: bool) -> dict[str, Any]:
    """Connections of HTTP/1.1 end with what is answered: errors, or everything but web sockets.

    What stands behind may answer before it has read a request's body; Caddy 2.11 then takes the rest of that body for
    the next request. On a connection that a proxy shares among its clients, one could so speak for another.
    """
    statuses = [2, 3, 4, 5] if always else [4, 5]
    response = {"set": {"Connection": ["close"]}, "deferred": True, "require": {"status_code": statuses}}
    return {"match": [HTTP1], "handle": [{"handler": "headers", "response": response}]}
