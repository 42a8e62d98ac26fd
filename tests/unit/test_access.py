"""Where people reach a server, by its settings alone."""

import pytest

from samsesh.access import Access
from samsesh.settings import Settings

LOOPBACK = ("127.0.0.1", "::1")


def access(**sections: dict[str, object]) -> Access:
    server = {"name": "example.org", "access": "domain"} | sections.pop("server", {})
    return Access(Settings.model_validate({"server": server, **sections}), ("203.0.113.7",))


def test_a_host_for_each_service() -> None:
    """Without further settings, each service has a name of its own below the server's, and https at the usual port."""
    found = access()
    assert found.url("web") == "https://chat.example.org"
    assert found.url("api") == "https://matrix.example.org"
    assert found.url("call") == "https://call.example.org"
    assert found.url("rtc_auth") == "https://rtc.example.org/livekit/jwt"
    assert found.url("livekit", "ws") == "wss://rtc.example.org/livekit/sfu"
    hosts = ("chat", "matrix", "call", "rtc")
    assert found.names() == (*(f"{name}.example.org" for name in hosts), "example.org")


def test_the_panel_stays_on_this_machine_unless_it_is_published() -> None:
    """Published, it has a host of its own, and loopback answers as before: what asks the gateway there goes on."""
    closed, opened = access(), access(hosts={"admin": "admin.example.org"})
    assert closed.url("admin") == "http://localhost:8081"
    assert opened.url("admin") == "https://admin.example.org" and "admin.example.org" in opened.names()
    for one in (closed, opened):
        assert one.site("admin").port == 8081 and one.bound("admin", LOOPBACK) == LOOPBACK
    behind = access(hosts={"admin": "admin.example.org"}, tls={"mode": "proxy"}, proxy={"bind": "10.0.0.2"})
    assert behind.bound("admin", LOOPBACK) == (*LOOPBACK, "10.0.0.2")
    assert behind.bound("web", LOOPBACK) == ("10.0.0.2",)


@pytest.mark.parametrize("mode", ["local", "lan", "domain", "proxy"])
def test_the_admin_api_is_for_this_machine_alone(mode: str) -> None:
    """Off unless asked for; then in plain http on loopback, however the server is reached, without a certificate."""
    more: dict[str, dict[str, object]] = {"server": {"access": "domain" if mode == "proxy" else mode}}
    if mode == "proxy":
        more |= {
            "tls": {"mode": "proxy"},
            "proxy": {"bind": "10.0.0.2"},
            "hosts": {"admin": "admin.example.org"},
        }
    assert "admin_api" not in access(**more).sites()
    opened = access(**more, synapse={"admin_api": True})
    assert opened.url("admin_api") == "http://localhost:8009"
    assert opened.bound("admin_api", LOOPBACK) == LOOPBACK
    assert "localhost" not in opened.names()


@pytest.mark.parametrize("mode", ["auto", "proxy"])
def test_other_servers_are_told_the_port_that_is_set(mode: str) -> None:
    """federation.port counts behind a proxy, too, which has both ports."""
    for port, wanted in (("https", 443), ("federation", 8448)):
        found = access(tls={"mode": mode}, federation={"port": port})
        assert found.federation_server == f"matrix.example.org:{wanted}"


def test_without_a_domain_each_service_has_a_port() -> None:
    """`lan` and `ip`: https at the ports of the table, at the address that was found or named."""
    found = access(server={"name": "home", "access": "lan"})
    assert found.url("web") == "https://203.0.113.7:8080" and found.certificates == "internal"
    assert found.url("livekit", "ws") == "wss://203.0.113.7:7880"
    named = access(server={"name": "home", "access": "lan", "address": "chat.lan"})
    assert named.url("api") == "https://chat.lan:8008"
    public = access(server={"name": "203.0.113.9", "access": "ip", "trial": True})
    assert public.url("api") == "https://203.0.113.9:8008" and public.certificates == "acme"


def test_local_is_plain_and_on_loopback() -> None:
    found = Access(Settings(), ("203.0.113.7",))
    assert {site.host for site in found.sites().values()} == {"localhost"} and not found.certificates
    assert all(found.bound(name, LOOPBACK) == LOOPBACK for name in found.sites())
    assert found.addresses == ("127.0.0.1",) and not found.federates


def test_where_servers_are_not_expected() -> None:
    """In `lan` nobody needs a certificate for the server name: people come by the address."""
    found = access(server={"name": "chat.home.arpa", "access": "lan", "trial": True})
    assert found.names() == ("203.0.113.7", "chat.home.arpa")
    assert found.expected() == ("203.0.113.7",)
