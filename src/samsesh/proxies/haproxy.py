"""HAProxy, 2.4 or newer: sections for /etc/haproxy/haproxy.cfg (its Configuration Manual)."""

from samsesh.formats import quoted
from samsesh.proxies.layout import Layout, Rule

LONG = "1d"  # HAProxy wants a limit: long polls and calls are open for long
HOST = "req.hdr(host),field(1,:),lower"
Section = tuple[str, list[str]]


def render(layout: Layout) -> str:
    sections = [_defaults(), _http(layout), *_https(layout), *_backends(layout)]
    note = "# If front ends of yours have these ports, move the rules of these into them: two would take turns.\n"
    lines = [f"# {layout.about('haproxy')}\n{note}"]
    for head, body in sections:
        lines += [f"\n{head}\n", *(f"    {line}\n" for line in body)]
    return "".join(lines)


def _defaults() -> Section:
    limits = ["timeout connect 5s", "timeout http-request 20s", "timeout http-keep-alive 5m"]
    waits = [f"timeout {what} {LONG}" for what in ("client", "server", "tunnel")]
    return "defaults samsesh", ["mode http", "option clitcpka", *limits, *waits]


def _http(layout: Layout) -> Section:
    suffix = "" if layout.https == 443 else f":{layout.https}"
    return (
        "frontend samsesh-http from samsesh",
        [
            *_binds(layout, layout.http, ""),
            f"http-request redirect location https://%[{HOST}]{suffix}%[pathq] code 301 if {_hosts(layout.hosts)}",
            "http-request return status 404",
        ],
    )


def _https(layout: Layout) -> list[Section]:
    """A frontend for each port. The file has certificate and key, one behind the other."""
    file = quoted(layout.certificate or f"/etc/haproxy/certs/{layout.name}.pem")
    tls = f" ssl crt {file} alpn h2,http/1.1 ssl-min-ver TLSv1.2"
    hsts = f"http-response set-header Strict-Transport-Security max-age={layout.hsts}"
    return [
        (
            f"frontend samsesh-https-{port} from samsesh",
            [
                *_binds(layout, port, tls),
                "# What a client says of itself in these is replaced.",
                "http-request set-header X-Forwarded-For %[src]",
                "http-request set-header X-Forwarded-Proto https",
                "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
                "http-request del-header Forwarded",
                *([hsts] if layout.hsts else []),
                *_redirects(layout, port),
                *_uses(layout, port),
                "default_backend samsesh-nowhere",
            ],
        )
        for port in layout.ports
    ]


def _redirects(layout: Layout, port: int) -> list[str]:
    """Asked before all backends, so what these take is left out."""
    return [
        f"http-request redirect location {front.otherwise} code 302 if {_hosts(front.hosts)} "
        f"!{{ path_beg {' '.join(path for rule in front.rules for path in rule.paths)} }}"
        for front in layout.fronts
        if front.port == port and front.otherwise
    ]


def _uses(layout: Layout, port: int) -> list[str]:
    return [
        f"use_backend samsesh-{rule.name} if {_hosts(front.hosts)}"
        + (f" {{ path_beg {' '.join(rule.paths)} }}" if rule.paths else "")
        for front in layout.fronts
        if front.port == port
        for rule in front.rules
    ]


def _backends(layout: Layout) -> list[Section]:
    rules = {rule.name: rule for front in layout.fronts for rule in front.rules}
    nowhere = ("backend samsesh-nowhere from samsesh", ["http-request return status 404"])
    return [*(_backend(layout, rule) for rule in rules.values()), nowhere]


def _backend(layout: Layout, rule: Rule) -> Section:
    return f"backend samsesh-{rule.name} from samsesh", [f"server gateway {layout.upstream(rule)}"]


def _hosts(hosts: tuple[str, ...]) -> str:
    return f"{{ {HOST} {' '.join(hosts)} }}"


def _binds(layout: Layout, port: int, how: str) -> list[str]:
    return [f"bind 0.0.0.0:{port}{how}", *([f"bind [::]:{port}{how} v6only"] if layout.v6 else [])]
