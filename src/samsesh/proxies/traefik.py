"""Traefik 3: its dynamic configuration for the file provider, and the static one with ports and certificates."""

from typing import Any

from samsesh.formats import without_header
from samsesh.proxies.layout import Front, Layout, Rule

RESOLVER = "letsencrypt"
STORE = "/etc/traefik/acme.json"
FILE = "/etc/traefik/samsesh.yml"


def render(layout: Layout) -> str:
    """The file below providers.file; `static` says what must stand in Traefik's own."""
    routers: dict[str, Any] = {"samsesh-http": _redirecting(layout)}
    services: dict[str, Any] = {}
    middlewares = _middlewares(layout)
    for front in layout.fronts:
        for rank, rule in enumerate(front.rules):
            name = f"samsesh-{rule.name}-{front.port}"
            routers[name] = _router(layout, front, rule, rank)
            services[f"samsesh-{rule.name}"] = _service(layout, rule)
        if front.otherwise:
            routers["samsesh-otherwise"] = _leading(layout, front)
    data: dict[str, Any] = {
        "http": {"routers": routers, "services": services, "middlewares": middlewares},
        "tls": {"options": {"samsesh": {"minVersion": "VersionTLS12"}}},
    }
    if layout.certificate:
        data["tls"]["certificates"] = [{"certFile": layout.certificate, "keyFile": layout.key}]
    note = "# Traefik's own file needs what `samsesh proxy-config traefik --static` prints.\n"
    return f"# {layout.about('traefik')}\n{note}" + without_header(data)


def static(layout: Layout) -> str:
    """traefik.yml. Without these limits of time uploads and long polls would be cut off."""
    # Names of Matrix have %2F and %23 in paths; Traefik 3.6.4 to 3.6.6 refuse them unless told.
    encoded = {
        f"allowEncoded{what}": True for what in ("Slash", "Hash", "Percent", "QuestionMark", "Semicolon")
    }
    times = {"respondingTimeouts": {"readTimeout": 0, "writeTimeout": 0, "idleTimeout": "5m"}}
    points: dict[str, Any] = {_point(layout.http): {"address": f":{layout.http}"}}
    for port in layout.ports:
        points[_point(port)] = {
            "address": f":{port}",
            "transport": times,
            "http": {"encodedCharacters": encoded},
        }
    data: dict[str, Any] = {"entryPoints": points, "providers": {"file": {"filename": FILE, "watch": True}}}
    if not layout.certificate:
        account = {"email": layout.email} if layout.email else {}
        acme = {**account, "storage": STORE, "httpChallenge": {"entryPoint": _point(layout.http)}}
        data["certificatesResolvers"] = {RESOLVER: {"acme": acme}}
    note = (
        "# Traefik 3.6.4 or later. If entry points of yours have these ports, give them these options, and write their\n"
        "# names in the other file.\n"
    )
    return f"# {layout.about('traefik')}\n{note}" + without_header(data)


def _router(layout: Layout, front: Front, rule: Rule, rank: int) -> dict[str, Any]:
    paths = " || ".join(f"PathPrefix(`{path}`)" for path in rule.paths)
    return {
        "entryPoints": [_point(front.port)],
        "rule": _hosts(front.hosts) + (f" && ({paths})" if paths else ""),
        "priority": 1000 - rank,
        "service": f"samsesh-{rule.name}",
        **({"middlewares": ["samsesh-hsts"]} if layout.hsts else {}),
        "tls": _tls(layout),
    }


def _redirecting(layout: Layout) -> dict[str, Any]:
    return {
        "entryPoints": [_point(layout.http)],
        "rule": _hosts(layout.hosts),
        "middlewares": ["samsesh-https"],
        "service": "noop@internal",
    }


def _leading(layout: Layout, front: Front) -> dict[str, Any]:
    """What no rule takes, to another place."""
    return {
        "entryPoints": [_point(front.port)],
        "rule": _hosts(front.hosts),
        "priority": 1,
        "middlewares": ["samsesh-otherwise"],
        "service": "noop@internal",
        "tls": _tls(layout),
    }


def _tls(layout: Layout) -> dict[str, Any]:
    return {"options": "samsesh", **({} if layout.certificate else {"certResolver": RESOLVER})}


def _service(layout: Layout, rule: Rule) -> dict[str, Any]:
    target = [{"url": f"http://{layout.upstream(rule)}"}]
    return {
        "loadBalancer": {
            "servers": target,
            "passHostHeader": True,
            "responseForwarding": {"flushInterval": "-1ms"},
        }
    }


def _middlewares(layout: Layout) -> dict[str, Any]:
    scheme = {"scheme": "https", "port": str(layout.https), "permanent": True}
    url = next((front.otherwise for front in layout.fronts if front.otherwise), "")
    leads = {"samsesh-otherwise": {"redirectRegex": {"regex": "^.*$", "replacement": url}}} if url else {}
    hsts = {"headers": {"stsSeconds": layout.hsts}}
    return {
        "samsesh-https": {"redirectScheme": scheme},
        **({"samsesh-hsts": hsts} if layout.hsts else {}),
        **leads,
    }


def _hosts(hosts: tuple[str, ...]) -> str:
    return "(" + " || ".join(f"Host(`{host}`)" for host in hosts) + ")"


def _point(port: int) -> str:
    """The name of an entry point."""
    return f"samsesh-{port}"
