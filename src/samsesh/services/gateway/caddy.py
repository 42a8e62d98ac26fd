"""Caddy's configuration as data: which servers, for which hosts, with which certificates."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from samsesh import names
from samsesh.access import LOCAL, Access, Site
from samsesh.formats import Verbatim
from samsesh.model import Context, Endpoint, Offer, Route
from samsesh.services.gateway import seen, tls
from samsesh.services.gateway.errors import error_routes, intercept_routes
from samsesh.services.gateway.handlers import ending_connections, redirect, route_json
from samsesh.services.gateway.well_known import well_known
from samsesh.settings import Settings

SMALLEST_LIMIT = 200 * 65_536  # Synapse takes as much for a transaction of federation
READY = "/_samsesh/ready"
YEAR = 31_536_000
NOT_OURS = {"handle": [{"handler": "error", "status_code": 404}]}  # for hosts that are none of ours
BEHIND = {"domain": 1, "web": 2}  # listeners that answer what others of the same host left


def caddy_json(context: Context, offer: Offer) -> dict[str, Any]:
    admin = context.place.listen("caddy")
    http: dict[str, Any] = {"grace_period": "5s", "servers": _servers(context, offer)}
    if context.access.certificates:
        ports = context.settings.ports
        http |= {"http_port": ports.of("http"), "https_port": ports.of("https")}
    return {
        "admin": {"listen": f"unix/{admin.socket}|0600", "config": {"persist": False}},
        "logging": {
            "logs": {"default": {"writer": {"output": "stderr"}, "encoder": log_encoder(), "level": "WARN"}}
        },
        "storage": {"module": "file_system", "root": str(context.place.data("gateway"))},
        "apps": {"http": http, **tls.apps(context)},
    }


def listeners(context: Context, offer: Offer) -> list[str]:
    """Those that are there in this mode and have a route."""
    used = {route.listener for route in _all_routes(context, offer)}
    if context.access.proxied:
        used -= {"domain", "panel"}  # a proxy asks the listener that has the same at its own port
    return [name for name in context.access.sites() if name in used]


def _all_routes(context: Context, offer: Offer) -> tuple[Route, ...]:
    """Those of the services, the documents of discovery, and the panel's once more where it is published."""
    routes = (*offer.routes, *well_known(context, offer))
    return (*routes, *(replace(route, listener="panel") for route in routes if route.listener == "admin"))


def redirects(context: Context) -> bool:
    """Whether the plain http port leads to https."""
    return bool(context.access.certificates) and context.access.mode in ("ip", "domain")


def _servers(context: Context, offer: Offer) -> dict[str, Any]:
    """One of Caddy's servers for each port; several of our listeners may share one by host and path."""
    access, routes = context.access, _all_routes(context, offer)
    by_port: dict[int, list[str]] = {}
    for name in listeners(context, offer):
        by_port.setdefault(port(context, name), []).append(name)
    servers = {names_[0]: _server(context, offer, names_, routes) for names_ in by_port.values()}
    if redirects(context):
        servers["http"] = _redirecting(context, offer)
        if access.mode == "ip":
            servers["https"] = _leading_to_web(context)
    return servers


def port(context: Context, listener: str) -> int:
    """The port at which the gateway is open for a listener; behind a proxy it is another than people's."""
    if context.access.proxied:
        return context.settings.ports.of(context.access.inner(listener))
    return context.access.site(listener).port


def largest_body(settings: Settings) -> int:
    """Bytes of the largest request that is taken; Synapse hangs up above."""
    return max(names.size(settings.media.upload_size), SMALLEST_LIMIT)


def log_encoder() -> dict[str, Any]:
    """UTC, as every log of ours begins with. Without queries: LiveKit's tokens and invitations stand in them."""
    query = {"filter": "regexp", "regexp": r"\?.*", "value": "?..."}
    fields = {"request>uri": query, "request>headers>Referer": {"filter": "delete"}}
    console = {"format": "console", "time_format": "2006-01-02 15:04:05.000", "level_format": "upper"}
    return {"format": "filter", "wrap": console, "fields": fields}


def _server(
    context: Context, offer: Offer, listeners_: list[str], routes: tuple[Route, ...]
) -> dict[str, Any]:
    """The server of one port, with the routes of all its listeners."""
    first, number = listeners_[0], port(context, listeners_[0])
    ready = Route(first, (READY,), answer=(200, "ready"))
    return {
        **_open(context, first, number),
        "read_header_timeout": "20s",
        "idle_timeout": "5m",
        "routes": [
            ending_connections(always=context.access.proxied),
            *_strict_transport(context, number),
            {"handle": [{"handler": "request_body", "max_size": largest_body(context.settings)}]},
            route_json(ready),
            *intercept_routes(offer.error_pages),
            *([seen.route(context)] if context.access.proxied else []),
            *_routes(context, listeners_, routes),
            NOT_OURS,
        ],
        "errors": {"routes": error_routes(offer.error_pages)},
    }


def _routes(context: Context, listeners_: list[str], routes: tuple[Route, ...]) -> list[dict[str, Any]]:
    """All routes of a port. Where listeners share it, by host; where they share that, too, by path."""
    if context.access.proxied:
        return _of_host(context.access, listeners_[0], routes)
    sites = {name: context.access.site(name) for name in listeners_}
    if len(listeners_) == 1:
        return [route_json(route) for _, route in _in_order(sites, routes)]
    return [route_json(route, site.host, site.path) for site, route in _in_order(sites, routes)]


def _of_host(access: Access, listener: str, routes: tuple[Route, ...]) -> list[dict[str, Any]]:
    """The routes of a port behind a proxy: of all that share the listener's host, and its own also without its path.

    Some proxies only pass whole hosts on, all paths to one port; others leave out the path by which they chose it.
    """
    own, sites = access.site(listener), access.sites()
    shared = {
        name: site
        for name, site in sites.items()
        if name != "panel" and (site.host, site.port) == (own.host, own.port)
    }
    if not own.path:
        bare = (
            _of_bare_domain(sites["domain"].host, routes) if listener == "api" and "domain" in sites else []
        )
        return [*bare, *(route_json(route, prefix=site.path) for site, route in _in_order(shared, routes))]
    below = {name: site for name, site in shared.items() if site.path}
    return [
        *(route_json(route, prefix=site.path) for site, route in _in_order(below, routes)),
        *(route_json(route) for _, route in _in_order({listener: own}, routes)),
    ]


def _of_bare_domain(host: str, routes: tuple[Route, ...]) -> list[dict[str, Any]]:
    """What is answered at the server name itself: to other servers, the documents, and the way to the chat."""
    servers = [route for route in routes if route.listener == "federation" and route.paths]
    people = sorted((one for one in routes if one.listener == "domain"), key=lambda one: one.order)
    return [route_json(route, host) for route in (*servers, *people)]


def _in_order(sites: Mapping[str, Site], routes: tuple[Route, ...]) -> Iterator[tuple[Site, Route]]:
    """The routes of these listeners as they are asked: those below a path first, what answers everything last."""
    for name in sorted(sites, key=lambda name: (not sites[name].path, BEHIND.get(name, 0))):
        below = any(other in BEHIND and sites[other].host == sites[name].host for other in sites)
        for route in sorted((one for one in routes if one.listener == name), key=lambda one: one.order):
            if below and name in ("api", "federation") and route.paths in ((), ("/",)):
                continue  # at its own host the API answers everything; here there are pages behind it
            yield sites[name], route


def _open(context: Context, listener: str, number: int) -> dict[str, Any]:
    """Where a server listens, and what it speaks there."""
    access = context.access
    addresses = context.place.public(access.bound(listener, context.facts.loopback), number)
    listening: dict[str, Any] = {
        "listen": [_address(endpoint) for endpoint in addresses],
        "automatic_https": {"disable": True},
    }
    if access.certificates and access.site(listener).host != LOCAL:
        https = number == context.settings.ports.of("https")
        # Who comes to it with plain http is led to https.
        wrappers = [{"wrapper": "http_redirect"}, {"wrapper": "tls"}]
        listening |= {
            "protocols": ["h1", "h2", *(["h3"] if https else [])],
            "tls_connection_policies": tls.policies(access, listener),
            "listener_wrappers": wrappers,
        }
        if https and context.splits_https:
            listening |= _behind_splitter(context, listening["listen"], wrappers)
        return listening
    if access.proxied:
        trusted = {"source": "static", "ranges": context.place.trusted(context.settings.proxy.trusted)}
        listening |= {"trusted_proxies": trusted, "trusted_proxies_strict": 1}
    return {**listening, "protocols": ["h1", "h2c"]}


def _behind_splitter(context: Context, listen: list[str], wrappers: list[dict[str, str]]) -> dict[str, Any]:
    """HTTP/3 is still ours; what comes over TCP the splitter hands on, at a socket where nobody else gets in.

    Only there does Caddy take a client's address by the PROXY protocol, from whoever connects.
    """
    return {
        "listen": [f"unix/{context.place.listen('gateway-https').socket}|0600", *listen],
        "listen_protocols": [["h1", "h2"], *(["h3"] for _ in listen)],
        "listener_wrappers": [{"wrapper": "proxy_protocol", "timeout": "5s"}, *wrappers],
    }


def _strict_transport(context: Context, number: int) -> list[dict[str, Any]]:
    access = context.access
    settings = context.settings
    wanted = access.mode == "domain" and access.certificates == "acme" and settings.tls.hsts
    trial = settings.tls.staging or settings.server.trial
    if not wanted or trial or number != settings.ports.of("https"):
        return []
    header = {"Strict-Transport-Security": [f"max-age={YEAR}"]}
    return [{"handle": [{"handler": "headers", "response": {"set": header, "deferred": True}}]}]


def _redirecting(context: Context, offer: Offer) -> dict[str, Any]:
    """Plain http, where browsers come first; Caddy answers the certificate authority's questions there by itself.

    Only our own hosts are led on: who could name another would have us send people there.
    """
    number = context.settings.ports.of("http")
    addresses = context.place.public(context.access.bound("web", context.facts.loopback), number)
    https = context.settings.ports.of("https")
    suffix = "" if https == 443 else f":{https}"
    same = redirect(Verbatim(f"https://{{http.request.host}}{suffix}{{http.request.uri}}"))
    return {
        "listen": [_address(endpoint) for endpoint in addresses],
        "automatic_https": {"disable": True},
        "protocols": ["h1"],
        "routes": [
            route_json(Route("http", (READY,), answer=(200, "ready"))),
            {"match": [{"host": list(context.access.names())}], "handle": [same], "terminal": True},
            NOT_OURS,
        ],
        "errors": {"routes": error_routes(offer.error_pages)},
    }


def _leading_to_web(context: Context) -> dict[str, Any]:
    """The https port of a server without a domain."""
    return {
        **_open(context, "web", context.settings.ports.of("https")),
        "routes": [{"handle": [redirect(Verbatim(context.access.url("web") + "{http.request.uri}"))]}],
    }


def _address(endpoint: Endpoint) -> str:
    """With its family: else Go takes `[::]` for both."""
    family = "tcp6" if ":" in endpoint.host else "tcp4"
    return f"{family}/{names.in_url(endpoint.host)}:{endpoint.port}"
