"""Caddy 2: a Caddyfile. By itself it gets certificates, redirects plain http, and believes no client's own headers."""

from samsesh.formats import Block, quoted, to_blocks
from samsesh.proxies.layout import Front, Layout, Rule


def render(layout: Layout) -> str:
    return to_blocks(
        [
            f"# {layout.about('caddy')}",
            *_options(layout),
            *_redirect(layout),
            *(part for front in layout.fronts for part in ("", _site(layout, front))),
        ]
    )


def _options(layout: Layout) -> Block:
    """Options of the whole Caddy, which stand at the beginning of a Caddyfile: only where they must be."""
    options = [
        *([f"http_port {layout.http}"] if layout.http != 80 else []),
        *([f"https_port {layout.https}"] if layout.https != 443 else []),
        *([f"email {quoted(layout.email)}"] if layout.email and not layout.certificate else []),
    ]
    return ["", ("", options)] if options else []


def _redirect(layout: Layout) -> Block:
    """Caddy leads to https by itself, but only to its usual port."""
    if layout.https == 443:
        return []
    plain = ", ".join(f"http://{host}" for host in layout.hosts)
    return ["", (plain, [f"redir https://{{host}}:{layout.https}{{uri}} 301"])]


def _site(layout: Layout, front: Front) -> tuple[str, Block]:
    addresses = ", ".join(f"https://{host}{_port(front.port)}" for host in front.hosts)
    files = [f"tls {quoted(layout.certificate)} {quoted(layout.key)}"] if layout.certificate else []
    return (
        addresses,
        [
            *files,
            *([f'header Strict-Transport-Security "max-age={layout.hsts}"'] if layout.hsts else []),
            ("request_body", [f"max_size {layout.size}"]),
            *(part for rule in front.rules for part in _handle(layout, rule)),
            *([] if front.everything else [("handle", [_rest(front)])]),
        ],
    )


def _rest(front: Front) -> str:
    return f"redir {front.otherwise} 302" if front.otherwise else "respond 404"


def _handle(layout: Layout, rule: Rule) -> Block:
    passed = (f"reverse_proxy {layout.upstream(rule)}", ["flush_interval -1"])
    if not rule.paths:
        return [("handle", [passed])]
    matcher = f"@{rule.name}"
    return [f"{matcher} path {' '.join(f'{path}*' for path in rule.paths)}", (f"handle {matcher}", [passed])]


def _port(port: int) -> str:
    return "" if port == 443 else f":{port}"
