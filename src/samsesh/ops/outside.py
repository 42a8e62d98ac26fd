"""What stands between this server and the world: its ports, firewalls, web servers in front. Nothing is changed."""

import os
from dataclasses import dataclass, replace
from typing import Any

from samsesh import firewall, ports
from samsesh.errors import SettingsError
from samsesh.firewall import Opening
from samsesh.model import Context, Endpoint, Plan, Route
from samsesh.ops import programs
from samsesh.ops.server import Server, placement
from samsesh.plan import make_plan
from samsesh.proxies import (
    ONLY_HTTPS,
    OWN_CERTIFICATES,
    apache,
    caddy,
    cloudflared,
    haproxy,
    nginx,
    nginx_proxy_manager,
    synology,
    traefik,
)
from samsesh.proxies.layout import Front, Layout, layout
from samsesh.services import gateway
from samsesh.services.gateway.well_known import well_known
from samsesh.settings import Settings

RENDER = {
    "nginx": nginx.render,
    "apache": apache.render,
    "caddy": caddy.render,
    "traefik": traefik.render,
    "haproxy": haproxy.render,
    "nginx-proxy-manager": nginx_proxy_manager.render,
    "synology": synology.render,
    "cloudflared": cloudflared.render,
}
RELOAD = {"nginx": "nginx -s reload", "apache": "apachectl graceful"}
HINTS = {
    "apache": (
        "Apache listens at 80 and 443 by itself; where it does so at another port of these, too, leave out its Listen",
    ),
    "nginx-proxy-manager": (
        "in a container of its own it does not find this machine at 127.0.0.1: set proxy.bind to an address of this "
        "machine that it reaches, and proxy.trusted to its network",
    ),
    "synology": (
        "if the NAS is another machine: proxy.bind is this machine's address, proxy.trusted the address of the NAS",
    ),
    "cloudflared": (
        "calls do not pass a tunnel: their media and TURN go straight to this machine, by server.address and its open "
        "ports (all: samsesh ports)",
        "Cloudflare takes no file above 100 MB in its free plan, and ends an answer that takes longer than 100 s",
    ),
}


def whole(server: Server) -> tuple[Context, Plan]:
    """The plan with every program that is wanted, also what the next `up` has yet to get."""
    facts, settings = server.facts, server.settings
    awaited = {name: name for name in programs.wanted(settings) if name not in facts.missing}
    facts = replace(facts, programs={**awaited, **facts.programs})
    context = Context(settings, server.secrets, facts, placement(server.home, settings, facts))
    return context, make_plan(context)


def openings(server: Server) -> tuple[Opening, ...]:
    """Every port of this server, public ones first."""
    context, plan = whole(server)
    offer, facts = plan.offer, context.facts
    if "element-call" in facts.programs and "element-call" not in facts.bundles:
        offer = replace(offer, routes=(*offer.routes, Route("call")))  # its pages are got later
    binds: list[tuple[str, Endpoint]] = [*gateway.binds(context, offer)]
    for unit in plan.units:
        binds += unit.binds if unit.name != "gateway" else ()
    return firewall.openings(context.access, binds)


def exposed(server: Server) -> list[Opening]:
    """Ports that the kernel may give to a connection of another program before we have them."""
    free = set(ports.passing()) - ports.reserved()
    return [one for one in openings(server) if not free.isdisjoint(one.numbers)]


@dataclass(frozen=True)
class Printed:
    """A configuration, and what a person should know beside it."""

    text: str
    hints: tuple[str, ...]


def proxy_config(
    server: Server, kind: str, *, certificate: str = "", key: str = "", static: bool = False
) -> Printed:
    """The whole configuration of one of `proxies.KINDS` for exactly this server. `static`: Traefik's other file."""
    _needs_domain(server)
    certificate, key = proxy_paths(kind, certificate, key)
    access = replace(server.access, settings=_proxied(server.settings))
    wanted = layout(access, v6="::1" in server.facts.loopback, certificate=certificate, key=key)
    asked = replace(wanted, fronts=passed(kind, wanted))
    text = traefik.static(asked) if static else RENDER[kind](asked)
    hints = (
        *_not_yet(server.settings),
        *_certificates(kind, wanted),
        *_left_out(kind, wanted, server.settings),
    )
    return Printed(text, (*hints, *HINTS.get(kind, ())))


def passed(kind: str, wanted: Layout) -> tuple[Front, ...]:
    """What a kind of proxy can serve of a layout."""
    return tuple(front for front in wanted.fronts if kind not in ONLY_HTTPS or front.port == wanted.https)


def _left_out(kind: str, wanted: Layout, settings: Settings) -> list[str]:
    """What to do where a kind cannot serve a port."""
    names = {
        rule.name for front in wanted.fronts if front not in passed(kind, wanted) for rule in front.rules
    }
    ways = {
        "call": "give Element Call a host of its own: samsesh config set hosts.call HOST",
        "federation": "tell other servers to come by https: samsesh config set federation.port https",
    }
    if settings.federation.port == "https":
        del ways["federation"]
    return [f"{kind} has no port but {wanted.https}: {way}" for name, way in ways.items() if name in names]


def _needs_domain(server: Server) -> None:
    settings = server.settings
    if settings.server.access != "domain":
        fixed = server.home.started and settings.server.name == "localhost"
        raise SettingsError(
            f"a web server in front serves a domain, and server.access is {settings.server.access}",
            "its name is part of every account and stays, so begin anew under a domain: samsesh destroy"
            if fixed
            else "samsesh config set server.name example.org server.access domain",
        )


def _proxied(settings: Settings) -> Settings:
    """The same settings as they will be."""
    return settings.model_copy(update={"tls": settings.tls.model_copy(update={"mode": "proxy"})})


def proxy_paths(kind: str, certificate: str, key: str) -> tuple[str, str]:
    if kind in OWN_CERTIFICATES and (certificate or key):
        raise SettingsError(
            f"{kind} is given certificates by its own pages", "leave out --certificate and --key"
        )
    if kind == "haproxy":
        if key and key != certificate:
            raise SettingsError(
                "HAProxy reads the certificate and its key from one file",
                f"join them (cat {certificate or 'CERTIFICATE'} {key} > FILE), and give it: --certificate FILE",
            )
    elif bool(certificate) != bool(key):
        raise SettingsError(
            "a certificate and its key belong together", "give both: --certificate FILE --key FILE"
        )
    return (os.path.abspath(certificate) if certificate else "", os.path.abspath(key) if key else "")  # noqa: PTH100 - absolute, links kept


def _not_yet(settings: Settings) -> list[str]:
    if settings.tls.mode == "proxy":
        return []
    return ["tls.mode is not proxy yet: samsesh config set tls.mode proxy, then samsesh up"]


def _certificates(kind: str, wanted: Layout) -> list[str]:
    """Where they are expected, and for which names."""
    names = ", ".join(wanted.hosts)
    if wanted.certificate:
        return [f"the certificate is for: {names}"]
    if kind == "haproxy":
        file = f"/etc/haproxy/certs/{wanted.name}.pem"
        return [f"the certificate and its key, for {names}, are expected in one file: {file}"]
    if kind in ("nginx", "apache"):
        domains = " ".join(f"-d {host}" for host in wanted.hosts)
        get = f"certbot certonly --webroot -w /var/www/html --cert-name {wanted.name} {domains}"
        return [
            f"certificates are expected where certbot puts them; to have them there: {get}",
            f"the first time in this order, since {kind} does not start without them: certbot, while {kind} serves "
            f"/var/www/html at port 80 as it is installed; then this configuration; then: {RELOAD[kind]}",
        ]
    return []


def documents(server: Server) -> list[dict[str, Any]]:
    """What the web server of the bare domain has to answer: path, status, headers, body."""
    _needs_domain(server)
    context, plan = whole(server)
    return [
        {"path": route.paths[0], "status": status, "headers": dict(route.headers), "body": body}
        for route in well_known(context, plan.offer)
        if route.listener == "api" and route.answer and (status := route.answer[0]) == 200
        for body in [route.answer[1]]
    ]


def well_known_text(server: Server) -> Printed:
    """The documents for people, with lines for nginx that pass the questions on to this server."""
    name, base = server.access.host("domain"), server.access.url("api")
    lines = [f"# What https://{name} has to answer, for {server.settings.server.name}.\n"]
    for document in documents(server):
        lines.append(f"\n# https://{name}{document['path']}\n")
        lines += [f"# {header}: {value}\n" for header, value in document["headers"].items()]
        lines.append(document["body"])
    lines += [
        "\n# Or let your web server pass these questions on. nginx, in the server block of that name:\n",
        "# location /.well-known/matrix/ {\n",
        f"#     proxy_pass {base};\n",
        "#     proxy_ssl_server_name on;\n",
        "# }\n",
    ]
    hints = (
        ()
        if server.settings.hosts.delegation == "elsewhere"
        else (
            "hosts.delegation is here: this server answers these itself; "
            "if another does: samsesh config set hosts.delegation elsewhere",
        )
    )
    return Printed("".join(lines), hints)
