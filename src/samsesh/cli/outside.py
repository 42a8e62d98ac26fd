"""`samsesh ports` and `samsesh proxy-config`: what firewalls and web servers in front have to know."""

import os
from enum import StrEnum
from typing import Annotated

import typer

Firewall = StrEnum("Firewall", ["ufw", "nftables", "docker-user"])
Proxy = StrEnum(
    "Proxy",
    [
        "nginx",
        "apache",
        "caddy",
        "traefik",
        "haproxy",
        "nginx-proxy-manager",
        "synology",
        "cloudflared",
        "well-known",
    ],
)


def ports(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    firewall: Annotated[
        Firewall | None, typer.Option("--firewall", help="Print lines that open exactly the public ports.")
    ] = None,
) -> None:
    """List the ports of this server, or print firewall lines for them.

    Examples: `samsesh ports`, `samsesh ports --firewall ufw`.
    """
    from samsesh.cli.output import print_json, write
    from samsesh.firewall import lines
    from samsesh.ops import outside
    from samsesh.ops.server import preview_server

    server = preview_server(ctx.obj, os.environ)
    found = outside.openings(server)
    if firewall:
        write("\n".join(lines(firewall, server.settings.server.name, found)) + "\n")
    elif json:
        print_json([opening.data() for opening in found])
    else:
        from samsesh.cli.tables import print_table

        rows = [
            (one.ports("-"), one.protocol, one.service, "yes" if one.public else "no", one.why)
            for one in found
        ]
        print_table(("port", "protocol", "service", "public", "why"), rows)


def proxy_config(
    ctx: typer.Context,
    kind: Annotated[
        Proxy, typer.Argument(help="Your web server, or `well-known` for a bare domain elsewhere.")
    ],
    certificate: Annotated[
        str, typer.Option("--certificate", help="Path of the certificate chain (PEM) for all hosts.")
    ] = "",
    key: Annotated[str, typer.Option("--key", help="Path of its private key.")] = "",
    static: Annotated[
        bool, typer.Option("--static", help="With traefik: its static file, with ports and certificates.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="With well-known: for programs.")] = False,
) -> None:
    """Print a complete configuration, or the fields to fill in, for a web server of yours in front of this server.

    Examples: `samsesh proxy-config nginx > /etc/nginx/conf.d/samsesh.conf`, `samsesh proxy-config well-known`.
    """
    from samsesh.cli.output import print_json, warn, write
    from samsesh.errors import SettingsError
    from samsesh.ops import outside
    from samsesh.ops.server import preview_server

    if static and kind != "traefik":
        raise SettingsError("only Traefik has a static file of its own", "leave out --static")
    if json and kind != "well-known":
        raise SettingsError(f"{kind}'s configuration is no JSON", "leave out --json")
    server = preview_server(ctx.obj, os.environ)
    if json:
        print_json(outside.documents(server))
        return
    printed = (
        outside.well_known_text(server)
        if kind == "well-known"
        else outside.proxy_config(server, kind, certificate=certificate, key=key, static=static)
    )
    write(printed.text)
    for hint in printed.hints:
        warn(hint)
