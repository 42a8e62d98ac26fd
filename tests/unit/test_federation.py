"""Federation in the settings: what Synapse, the gateway and the authorization service are told."""

import json
import ssl
from dataclasses import fields
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from pydantic import ValidationError

from samsesh import operator_files
from samsesh.access import Access
from samsesh.engines.native.placement import NativePlacement
from samsesh.errors import SettingsError
from samsesh.facts import gather
from samsesh.home import Home
from samsesh.model import Context, Plan
from samsesh.networks import without
from samsesh.plan import make_plan
from samsesh.rtc import config as rtc_config
from samsesh.secrets import Secret, Secrets
from samsesh.services.synapse.config import PRIVATE_RANGES
from samsesh.settings import Settings

DOMAIN = {"name": "one.test", "access": "domain", "trial": True}


def planned(folder: Path, **sections: Any) -> Plan:
    settings = Settings(**{"server": DOMAIN, "calls": {"provider": "element-call"}, **sections})
    facts = gather()
    facts = type(facts)(
        **{
            **{field.name: getattr(facts, field.name) for field in fields(facts)},
            "programs": {**facts.programs, "livekit-server": "/usr/bin/livekit-server"},
        }
    )
    secrets = Secrets(**{field.name: Secret("a secret") for field in fields(Secrets)})
    return make_plan(Context(settings, secrets, facts, NativePlacement(Home(folder), settings, facts)))


def synapse(plan: Plan) -> Any:
    return yaml.safe_load(plan.unit("synapse").files[0].content)


def rtc(plan: Plan) -> rtc_config.Config:
    """As the service reads it, but for what is in files, which are not there."""
    env = {**plan.unit("rtc-auth").env, "LIVEKIT_KEY_FILE": "", "LIVEKIT_KEY": "a", "LIVEKIT_SECRET": "b"}
    return rtc_config.read({**env, "SAMSESH_RTC_MEMBERS": "", "SAMSESH_RTC_MEMBERS_KEY_FILE": ""})


def test_only_these_servers(tmp_path: Path) -> None:
    """An allow list has this server itself and never who is denied; the calls' service has the same one."""
    wanted = {"allow": ["two.test", "three.test"], "deny": ["three.test"]}
    plan = planned(tmp_path, federation=wanted)
    assert synapse(plan)["federation_domain_whitelist"] == ["one.test", "two.test"]
    config = rtc(plan)
    assert [config.takes(name) for name in ("one.test", "two.test", "three.test", "four.test")] == [
        *(True, True, False, False)
    ]


def test_never_these_servers(tmp_path: Path) -> None:
    """A deny list is our module's, and the calls' service has it, too."""
    plan = planned(tmp_path, federation={"deny": ["bad.test"]})
    told = synapse(plan)
    assert "federation_domain_whitelist" not in told
    assert told["modules"][-1] == {
        "module": "samsesh.synapse_module.FederationModule",
        "config": {"deny": ["bad.test"]},
    }
    config = rtc(plan)
    assert (config.takes("two.test"), config.takes("bad.test")) == (True, False)


def test_other_servers_behind_a_translator() -> None:
    """On a host that reaches IPv4 by NAT64, what is public there is asked, and what is private is not."""
    blocked = [ip_network(one) for one in PRIVATE_RANGES]
    for address, private in (
        ("64:ff9b::8.8.8.8", False),
        ("64:ff9b::10.0.0.1", True),
        ("64:ff9b::127.0.0.1", True),
    ):
        assert any(ip_address(address) in network for network in blocked) is private


def test_a_server_called_localhost_is_an_island() -> None:
    """Nobody could find it, and it bothers nobody."""
    access = Access(Settings.model_validate({"server": {"access": "lan"}}), ("10.99.0.2",))
    assert not access.federates and not access.federation_server and "federation" not in access.sites()


@pytest.mark.parametrize(
    "sections",
    [{"server": {}}, {"federation": {"enabled": False, "deny": ["bad.test"]}}],
    ids=["local", "off"],
)
def test_an_island(tmp_path: Path, sections: Any) -> None:
    """Without federation nobody is asked, nobody is answered, and calls are this server's people's."""
    plan = planned(tmp_path, **sections)
    assert synapse(plan)["federation_domain_whitelist"] == []
    assert not any(
        "federation" in one["names"] for two in synapse(plan)["listeners"] for one in two["resources"]
    )
    assert not plan.offer.well_known_server
    assert plan.unit("rtc-auth").env["SAMSESH_RTC_ALLOW_HOMESERVERS"] == synapse(plan)["server_name"]


def test_private_networks_are_federation_s_alone(tmp_path: Path) -> None:
    """Servers in a named private network are asked; previews and pushes go there no more than before."""
    plan = planned(tmp_path, federation={"networks": ["10.99.0.0/24", "fd00:99::/64"]})
    told = synapse(plan)
    assert told["ip_range_blacklist"] == told["url_preview_ip_range_blacklist"] == PRIVATE_RANGES
    assert "ip_range_whitelist" not in told
    for network in ("10.99.0.0/24", "fd00:99::/64"):
        assert network not in told["federation_ip_range_blacklist"]
    assert "10.98.0.0/16" in told["federation_ip_range_blacklist"]
    assert plan.unit("rtc-auth").env["SAMSESH_RTC_ALLOW_PRIVATE"] == "10.99.0.0/24,fd00:99::/64"


@pytest.mark.parametrize(
    ("hole", "left"),
    [
        ("10.0.0.0/8", ["fc00::/7"]),
        ("0.0.0.0/0", ["fc00::/7"]),
        ("10.0.0.0/9", ["10.128.0.0/9", "fc00::/7"]),
        ("192.168.0.0/16", ["10.0.0.0/8", "fc00::/7"]),
        ("fd00::/8", ["10.0.0.0/8", "fc00::/8"]),
    ],
)
def test_networks_without_one(hole: str, left: list[str]) -> None:
    """What is taken out is out, and nothing else."""
    assert without(["10.0.0.0/8", "fc00::/7"], [hole]) == left


def test_a_private_authority_is_beside_the_system_s(tmp_path: Path) -> None:
    """Synapse trusts the system's authorities and the operator's; so does the calls' service."""
    first, second = trustme.CA().cert_pem.bytes(), trustme.CA().cert_pem.bytes()
    (tmp_path / "ours.pem").write_bytes(first + second)
    plan = planned(tmp_path, federation={"ca": "ours.pem"})
    unit = plan.unit("synapse")
    (bundle,) = [file for file in unit.files if str(file.path) == unit.env["SSL_CERT_FILE"]]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=bundle.content.decode())
    system = len(ssl.create_default_context().get_ca_certs())
    assert len(context.get_ca_certs()) == system + 2
    assert first in bundle.content and second in bundle.content
    unit = plan.unit("rtc-auth")
    (own,) = [file for file in unit.files if str(file.path) == unit.env["SAMSESH_RTC_CA"]]
    assert own.content == first + second


def test_a_file_that_has_no_certificates(tmp_path: Path) -> None:
    """It is refused by the name of the setting before anything starts; what only looks goes on without it."""
    (tmp_path / "ours.pem").write_text("a key, perhaps")
    assert "SSL_CERT_FILE" not in planned(tmp_path, federation={"ca": "ours.pem"}).unit("synapse").env
    settings = Settings.model_validate({"server": DOMAIN, "federation": {"ca": "ours.pem"}})
    with pytest.raises(SettingsError, match=r"federation\.ca"):
        operator_files.check(operator_files.read(Home(tmp_path), settings))


@pytest.mark.parametrize(
    ("sections", "server", "certificate"),
    [
        ({}, "matrix.one.test:443", "matrix.one.test"),
        ({"federation": {"port": "federation"}}, "matrix.one.test:8448", "matrix.one.test"),
        ({"hosts": {"single": "one.test"}}, "one.test:443", "one.test"),
        ({"server": {**DOMAIN, "name": "one.test:8448"}}, "one.test:8448", "one.test"),
        ({"server": {**DOMAIN, "name": "one.test:443"}}, "one.test:443", "one.test"),
        (
            {"server": {"name": "203.0.113.7", "access": "ip", "trial": True}},
            "203.0.113.7:8448",
            "203.0.113.7",
        ),
        ({"server": {"name": "[2001:db8::7]", "access": "lan"}}, "[2001:db8::7]:8448", "2001:db8::7"),
        ({"server": {"name": "chat.lan", "access": "lan"}}, "chat.lan:8448", "chat.lan"),
    ],
)
def test_where_other_servers_are_sent(sections: Any, server: str, certificate: str) -> None:
    """What other servers are told, or go to by themselves, is where this one has a certificate for the name."""
    access = Access(Settings(**{"server": DOMAIN, **sections}), ("10.99.0.2",))
    assert access.federation_server == server
    assert certificate in access.names()


def test_a_port_in_the_name_that_nothing_answers() -> None:
    """A server name whose port is not open is refused."""
    with pytest.raises(ValidationError, match=r"ports\.federation"):
        Settings.model_validate({"server": {**DOMAIN, "name": "one.test:8449"}})
    Settings.model_validate({"server": {**DOMAIN, "name": "one.test:8449"}, "ports": {"federation": 8449}})


def test_federation_shares_a_port_with_pages(tmp_path: Path) -> None:
    """With a port in the name that is https's, other servers are answered there before the pages of that host."""
    plan = planned(tmp_path, server={**DOMAIN, "name": "one.test:443"})
    told = json.loads(plan.unit("gateway").files[0].content)
    (server,) = [
        one for one in told["apps"]["http"]["servers"].values() if "tcp4/0.0.0.0:443" in one["listen"]
    ]
    ours = [
        route["match"][0].get("path", [])
        for route in server["routes"]
        if "one.test" in route.get("match", [{}])[0].get("host", [])
    ]
    assert "/_matrix/federation/*" in ours[0]
    assert [paths for paths in ours if not paths] == [[]]
    assert not ours[-1]


@pytest.mark.parametrize(("mode", "rules"), [("token", [{"action": "allow"}]), ("open", [])])
def test_who_publishes_rooms(tmp_path: Path, mode: str, rules: Any) -> None:
    """People of this server can put rooms into its directory, unless anybody can make an account."""
    told = synapse(planned(tmp_path, registration={"mode": mode}))
    assert told["room_list_publication_rules"] == rules
    assert told["allow_public_rooms_over_federation"] is False
