"""Apache httpd, 2.4.47 or newer: a file of sites-available (its documentation: mod_proxy, mod_headers, mod_rewrite)."""

import re

from samsesh.formats import quoted
from samsesh.proxies.layout import Front, Layout, Rule

LONG = 86_400  # seconds: long polls and calls are open for long
MODULES = ("ssl", "proxy", "proxy_http", "headers", "rewrite", "http2")
USUAL = (80, 443)  # at which an installed Apache listens by itself


def render(layout: Layout) -> str:
    ports = [port for port in dict.fromkeys((layout.http, *layout.ports)) if port not in USUAL]
    lines = [
        f"# {layout.about('apache')}",
        f"# Before it: a2enmod {' '.join(MODULES)}",
        *(f"Listen {port}" for port in ports),
        *_site(layout.http, layout.hosts, _redirecting(layout)),
    ]
    for front in layout.fronts:
        lines += _site(front.port, front.hosts, _serving(layout, front))
    return "\n".join(lines) + "\n"


def _site(port: int, hosts: tuple[str, ...], body: list[str]) -> list[str]:
    names = [f"ServerName {hosts[0]}", *(f"ServerAlias {host}" for host in hosts[1:])]
    return ["", f"<VirtualHost *:{port}>", *(f"    {line}" for line in (*names, *body)), "</VirtualHost>"]


def _redirecting(layout: Layout) -> list[str]:
    """Plain http leads to https; certbot's questions by http are answered from its usual folder.

    The first site of a port answers for every host: who names another is not led on. The path is taken as it was sent.
    """
    suffix = "" if layout.https == 443 else f":{layout.https}"
    hosts = "|".join(re.escape(host) for host in layout.hosts)
    return [
        "DocumentRoot /var/www/html",
        "AllowEncodedSlashes NoDecode",
        "RewriteEngine On",
        "RewriteRule ^/\\.well-known/acme-challenge/ - [L]",
        f'RewriteCond "%{{HTTP_HOST}} %{{THE_REQUEST}}" "^({hosts})(?::[0-9]+)? \\S+ (/[^? ]*)" [NC]',
        f"RewriteRule ^ https://%1{suffix}%2 [R=301,NE,L]",
        "RewriteRule ^ - [R=404,L]",
    ]


def _serving(layout: Layout, front: Front) -> list[str]:
    certificate = layout.certificate or f"/etc/letsencrypt/live/{layout.name}/fullchain.pem"
    key = layout.key or f"/etc/letsencrypt/live/{layout.name}/privkey.pem"
    hsts = f'Header always set Strict-Transport-Security "max-age={layout.hsts}"'
    return [
        "SSLEngine On",
        f"SSLCertificateFile {quoted(certificate)}",
        f"SSLCertificateKeyFile {quoted(key)}",
        "SSLProtocol -all +TLSv1.2 +TLSv1.3",
        "Protocols h2 http/1.1",
        *([hsts] if layout.hsts else []),
        "# Apache 2.4 has no limit on what it passes on, later ones do; the gateway has its own.",
        f"LimitRequestBody {layout.size}",
        "# Names of rooms and events have %2F in paths, which are passed on as they are.",
        "AllowEncodedSlashes NoDecode",
        "ProxyRequests Off",
        "ProxyPreserveHost On",
        f"ProxyTimeout {LONG}",
        "# What a client says of itself in these is dropped; Apache itself then adds the client's address and host.",
        "RequestHeader unset X-Forwarded-For",
        "RequestHeader unset X-Forwarded-Host",
        "RequestHeader unset Forwarded",
        "RequestHeader set X-Forwarded-Proto https",
        *(line for rule in front.rules for line in _passes(layout, rule)),
        *([] if front.everything else [_rest(front)]),
    ]


def _rest(front: Front) -> str:
    return f"RedirectMatch 302 ^ {front.otherwise}" if front.otherwise else "RedirectMatch 404 ^"


def _passes(layout: Layout, rule: Rule) -> list[str]:
    how = "nocanon upgrade=websocket flushpackets=on"
    return [f"ProxyPass {path} http://{layout.upstream(rule)}{path} {how}" for path in rule.paths or ("/",)]
