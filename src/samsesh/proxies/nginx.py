"""nginx, 1.18 or newer: what goes into /etc/nginx/conf.d or sites-enabled (its documentation: ngx_http_proxy_module)."""

from samsesh.formats import Block, quoted, to_blocks
from samsesh.proxies.layout import Front, Layout, Rule

LONG = "1d"  # nginx cannot be told to wait for ever: long polls and calls are open for long


def render(layout: Layout) -> str:
    upgrade = ("map $http_upgrade $samsesh_connection", ["default upgrade", "'' ''"])
    return to_blocks(
        [
            f"# {layout.about('nginx')}",
            "",
            upgrade,
            *_redirect(layout),
            *(part for front in layout.fronts for part in _server(layout, front)),
        ],
        end=";",
    )


def _redirect(layout: Layout) -> Block:
    """Plain http leads to https; certbot's questions by http are answered from its usual folder.

    The first server of a port answers for every host: who names another is not led on.
    """
    ours = ("map $host $samsesh_host", ["default ''", *(f"{host} $host" for host in layout.hosts)])
    suffix = "" if layout.https == 443 else f":{layout.https}"
    challenges = ("location /.well-known/acme-challenge/", ["root /var/www/html"])
    return [
        "",
        ours,
        (
            "server",
            [
                *_listen(layout, layout.http, ""),
                f"server_name {' '.join(layout.hosts)}",
                challenges,
                (
                    "location /",
                    [
                        ("if ($samsesh_host = '')", ["return 404"]),
                        f"return 301 https://$samsesh_host{suffix}$request_uri",
                    ],
                ),
            ],
        ),
    ]


def _server(layout: Layout, front: Front) -> Block:
    certificate = layout.certificate or f"/etc/letsencrypt/live/{layout.name}/fullchain.pem"
    key = layout.key or f"/etc/letsencrypt/live/{layout.name}/privkey.pem"
    return [
        "",
        (
            "server",
            [
                *_listen(layout, front.port, " ssl http2"),
                f"server_name {' '.join(front.hosts)}",
                f"ssl_certificate {quoted(certificate)}",
                f"ssl_certificate_key {quoted(key)}",
                "ssl_protocols TLSv1.2 TLSv1.3",
                *(
                    [f'add_header Strict-Transport-Security "max-age={layout.hsts}" always']
                    if layout.hsts
                    else []
                ),
                "",
                f"client_max_body_size {layout.size}",
                "proxy_http_version 1.1",
                "# What a client says of itself in these is replaced.",
                "proxy_set_header Host $host:$server_port",
                "proxy_set_header X-Forwarded-For $remote_addr",
                "proxy_set_header X-Forwarded-Proto $scheme",
                "proxy_set_header X-Forwarded-Host $host:$server_port",
                'proxy_set_header Forwarded ""',
                "proxy_set_header Upgrade $http_upgrade",
                "proxy_set_header Connection $samsesh_connection",
                "# Everything is passed on as it comes: uploads, long polls, calls.",
                "proxy_request_buffering off",
                "proxy_buffering off",
                f"proxy_read_timeout {LONG}",
                f"proxy_send_timeout {LONG}",
                "",
                *(location for rule in front.rules for location in _locations(layout, rule)),
                *([] if front.everything else [("location /", [_rest(front)])]),
            ],
        ),
    ]


def _rest(front: Front) -> str:
    return f"return 302 {front.otherwise}" if front.otherwise else "return 404"


def _locations(layout: Layout, rule: Rule) -> Block:
    # Without a slash behind the address a path goes on untouched, with all its %2F.
    return [
        (f"location {path}", [f"proxy_pass http://{layout.upstream(rule)}"]) for path in rule.paths or ("/",)
    ]


def _listen(layout: Layout, port: int, how: str) -> Block:
    return [f"listen {port}{how}", *([f"listen [::]:{port}{how}"] if layout.v6 else [])]
