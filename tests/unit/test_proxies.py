"""What a web server in front is told, by settings; what real ones do with it is in tests/proxies."""

from typing import Any

import pytest
import yaml

from samsesh.access import Access
from samsesh.cli.outside import Proxy
from samsesh.errors import SettingsError
from samsesh.formats import Block, quoted, to_blocks
from samsesh.ops.outside import RENDER, _certificates, _left_out, passed, proxy_paths
from samsesh.proxies import KINDS, OWN_CERTIFICATES, cloudflared, nginx_proxy_manager, synology, traefik
from samsesh.proxies.layout import Layout, layout
from samsesh.settings import Settings

FOUND = ("203.0.113.7",)
FILES = tuple(kind for kind in KINDS if kind not in OWN_CERTIFICATES)


def wanted(certificate: str = "", **sections: dict[str, Any]) -> Layout:
    usual = {"server": {"name": "example.org", "access": "domain"}, "tls": {"mode": "proxy"}}
    settings = Settings.model_validate({**usual, **sections})
    return layout(Access(settings, FOUND), v6=True, certificate=certificate, key=certificate)


def places(found: Layout) -> dict[tuple[str, int], list[str]]:
    """(host, port) -> the listeners that answer there."""
    return {
        (host, front.port): sorted(rule.name for rule in front.rules)
        for front in found.fronts
        for host in front.hosts
    }


def test_a_host_for_each() -> None:
    """The document's paths for calls, delegation at the bare domain, federation at its own port, too."""
    assert places(wanted()) == {
        ("chat.example.org", 443): ["web"],
        ("matrix.example.org", 443): ["api"],
        ("call.example.org", 443): ["call"],
        ("rtc.example.org", 443): ["livekit", "rtc_auth"],
        ("example.org", 443): ["domain"],
        ("matrix.example.org", 8448): ["federation"],
        ("example.org", 8448): ["federation"],
    }


def test_one_host() -> None:
    """All by path, but Element Call, which has its port; the gateway then has another for it."""
    found = wanted(hosts={"single": "chat.example.org", "delegation": "elsewhere"})
    assert places(found) == {
        ("chat.example.org", 443): ["api", "livekit", "rtc_auth", "web"],
        ("chat.example.org", 8082): ["call"],
        ("chat.example.org", 8448): ["federation"],
    }
    (call,) = (rule for front in found.fronts for rule in front.rules if rule.name == "call")
    assert call.port == 12789


def test_what_is_off_is_not_there() -> None:
    """No federation, no calls: neither hosts nor ports for them."""
    found = wanted(
        federation={"enabled": False}, calls={"provider": "off"}, hosts={"delegation": "elsewhere"}
    )
    assert places(found) == {("chat.example.org", 443): ["web"], ("matrix.example.org", 443): ["api"]}


@pytest.mark.parametrize("kind", KINDS)
def test_the_panel_is_published_only_if_asked(kind: str) -> None:
    """Its port is in no configuration, unless it has a host."""
    assert "8081" not in RENDER[kind](wanted())
    published = RENDER[kind](wanted(hosts={"admin": "panel.example.org"}))
    assert "8081" in published and "panel.example.org" in published


@pytest.mark.parametrize("kind", FILES)
def test_https_for_a_year_is_promised_where_it_is_meant(kind: str) -> None:
    """Browsers are told to come by https only, but by a trial, or where the settings say no."""
    trial = {"name": "example.org", "access": "domain", "trial": True}
    assert "31536000" in RENDER[kind](wanted())
    assert "31536000" not in RENDER[kind](wanted(server=trial))
    assert "31536000" not in RENDER[kind](wanted(tls={"mode": "proxy", "hsts": False}))


def test_how_certbot_is_asked() -> None:
    """By the folder that the configuration serves; nginx does not start with it before there are certificates."""
    for kind, serves, reload in (
        ("nginx", "root /var/www/html", "nginx -s reload"),
        ("apache", "DocumentRoot /var/www/html", "apachectl graceful"),
    ):
        get, order = _certificates(kind, wanted())
        assert "certbot certonly --webroot -w /var/www/html" in get and serves in RENDER[kind](wanted())
        assert order.index("certbot") < order.index("this configuration") < order.index(reload)


@pytest.mark.parametrize("kind", FILES)
def test_paths_of_certificates(kind: str) -> None:
    """Given ones are there; without them nginx and HAProxy have places to fill, the others get their own."""
    assert "/srv/own.pem" in RENDER[kind](wanted("/srv/own.pem"))
    expected = {"nginx": "/live/example.org/fullchain.pem", "haproxy": "/certs/example.org.pem"}
    assert expected.get(kind, "") in RENDER[kind](wanted())
    assert ("letsencrypt" in traefik.static(wanted())) and (
        "acme" not in traefik.static(wanted("/srv/own.pem"))
    )


@pytest.mark.parametrize(
    "text", ["/srv/{$HOME}.pem", "/srv/{env.HOME}.pem", "/srv/$host.pem", "/srv/{{x}}.pem", "/a\\b"]
)
def test_what_a_web_server_would_expand_is_refused(text: str) -> None:
    """Neither Caddyfiles nor nginx have a way to write these as they are: we say so before they publish something."""
    with pytest.raises(SettingsError, match="something else"):
        wanted(text)


@pytest.mark.parametrize("name", ["{$HOME}", "{env.HOME}", "$host", "{{x}}"])
def test_an_email_that_a_web_server_would_expand_is_refused(name: str) -> None:
    """It is an address of e-mail like any other, and no web server's."""
    with pytest.raises(SettingsError, match="email is"):
        wanted(tls={"mode": "proxy", "email": f"{name}@example.org"})


def test_certificate_and_key_belong_together() -> None:
    """One alone is refused; HAProxy has both in one file."""
    for kind in ("nginx", "caddy", "traefik"):
        with pytest.raises(SettingsError, match="belong together"):
            proxy_paths(kind, "/a.pem", "")
    with pytest.raises(SettingsError, match="one file"):
        proxy_paths("haproxy", "/a.pem", "/b.pem")
    for kind in OWN_CERTIFICATES:
        with pytest.raises(SettingsError, match="own pages"):
            proxy_paths(kind, "/a.pem", "/a.pem")
    assert proxy_paths("haproxy", "/a.pem", "") == ("/a.pem", "")


def test_every_kind_can_be_asked_for() -> None:
    """The command, the table of what renders and the list that advice names have the same kinds."""
    assert {*KINDS, "well-known"} == {str(kind) for kind in Proxy} and RENDER.keys() == set(KINDS)


def test_whole_hosts() -> None:
    """Who cannot tell paths apart is told one port a host: the one that answers all of its paths."""
    one = {"single": "chat.example.org", "call": "call.example.org", "delegation": "elsewhere"}
    apart = {(one.host, one.port): one.to for one in wanted().forwards}
    assert apart[("rtc.example.org", 443)] == 8083 and apart[("matrix.example.org", 443)] == 8008
    assert apart[("example.org", 443)] == apart[("example.org", 8448)] == 8008
    assert [(one.host, one.to) for one in wanted(hosts=one).forwards if one.port == 443] == [
        ("chat.example.org", 8080),
        ("call.example.org", 8082),
    ]


def test_fields_to_fill_in() -> None:
    """Each host's entry has the host, where it leads, WebSockets, the limits of size and time."""
    for module, fields in (
        (nginx_proxy_manager, ("Websockets Support  ", "client_max_body_size", "proxy_read_timeout 1d")),
        (synology, ("WebSocket", "Proxy read timeout  86400")),
    ):
        for entry in module.render(wanted()).split("\n\n")[1:]:
            assert all(field in entry for field in fields)
            assert "example.org" in entry and "127.0.0.1" in entry
    rules = yaml.safe_load(cloudflared.render(wanted()))["ingress"]
    assert {"hostname": "rtc.example.org", "service": "http://127.0.0.1:8083"} in rules
    assert rules[-1] == {"service": "http_status:404"}


def test_what_a_kind_cannot_serve() -> None:
    """A tunnel and Nginx Proxy Manager have port 443 only: what is at others is left out, with what to do."""
    found = wanted(hosts={"single": "chat.example.org", "delegation": "elsewhere"})
    assert {front.port for front in passed("cloudflared", found)} == {443}
    assert passed("synology", found) == found.fronts
    told = {
        port: "\n".join(
            _left_out("cloudflared", found, Settings.model_validate({"federation": {"port": port}}))
        )
        for port in ("https", "federation")
    }
    assert all("hosts.call" in text for text in told.values())
    assert [port for port, text in told.items() if "federation.port https" in text] == ["federation"]
    assert not _left_out("synology", found, Settings())


def test_traefik_names_what_there_is() -> None:
    """Each router's entry point, service and middlewares exist: Traefik leaves out a router where one does not."""
    found = wanted()
    http = yaml.safe_load(traefik.render(found))["http"]
    points = yaml.safe_load(traefik.static(found))["entryPoints"]
    for router in http["routers"].values():
        assert set(router["entryPoints"]) <= points.keys()
        assert router["service"] in {*http["services"], "noop@internal"}
        assert set(router.get("middlewares", ())) <= http["middlewares"].keys()


def test_blocks_and_words() -> None:
    """Comments and empty lines have no semicolon; a path with a space is one word."""
    block: Block = ["# why", "a 1", "", ("b", ["c"])]
    assert to_blocks(block, end=";") == "# why\na 1;\n\nb {\n    c;\n}\n"
    assert quoted("/a/b.pem") == "/a/b.pem"
    assert quoted('/a b/"c".pem') == '"/a b/\\"c\\".pem"'
