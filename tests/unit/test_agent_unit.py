"""Where there is an agent, and what it is given to do."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from samsesh.engines.native.placement import NativePlacement
from samsesh.facts import gather
from samsesh.home import Home
from samsesh.load import validate
from samsesh.model import Context
from samsesh.secrets import preview
from samsesh.services import agent, coturn

LAN = {"server": {"name": "chat.test", "access": "lan", "address": "chat.test"}}
BEHIND = {"server": {"name": "example.org", "access": "domain"}, "tls": {"mode": "proxy"}}
FILES = {"mode": "files", "certificate": "chain.pem", "certificate_key": "key.pem"}
TURN = {"certificate": "chain.pem", "certificate_key": "key.pem"}


def planned(
    tmp_path: Path, settings: dict[str, Any], *, relay: bool = True, unpacked: bool = False
) -> Context:
    issued = trustme.CA().issue_cert("chat.test")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "chain.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    home = Home(tmp_path)
    facts = replace(
        gather(),
        programs={"turnserver": "/usr/bin/turnserver"} if relay else {},
        versions={"turnserver": "4.6.1"},
        addresses=("192.0.2.7",),
        outward=("192.0.2.7",),
    )
    if unpacked:
        program = {"turnserver": "/cache/coturn-x86_64/turnserver", "python": "/env/bin/python"}
        facts = replace(facts, programs=program, environments={"turnserver": {"LD_LIBRARY_PATH": "/cache"}})
    valid = validate(settings, home)
    return Context(valid, preview(home), facts, NativePlacement(home, valid, facts))


def jobs(tmp_path: Path, settings: dict[str, Any], *, relay: bool = True) -> list[dict[str, Any]]:
    context = planned(tmp_path, settings, relay=relay)
    return agent.jobs(context, coturn.offer(context))


@pytest.mark.parametrize("settings", [{}, {"turn": TURN}])
def test_none_in_a_trial_on_this_machine(tmp_path: Path, settings: dict[str, Any]) -> None:
    """`local` has no certificates to hand on, and stays as it is with a relay's own."""
    assert jobs(tmp_path, settings) == []


def test_none_where_nobody_waits_for_one(tmp_path: Path) -> None:
    """Without a relay the gateway alone has them; behind a proxy not even it."""
    assert jobs(tmp_path, LAN, relay=False) == []
    assert jobs(tmp_path, BEHIND) == []


def test_the_relay_gets_the_gateways(tmp_path: Path) -> None:
    """Of its own authority, as a copy in the relay's folder."""
    (job,) = jobs(tmp_path, LAN)
    assert job["name"] == "coturn"
    assert job["host"] == "chat.test"
    assert job["own"] is True
    assert job["copy"] == str(tmp_path / "data/coturn/turns.pem")
    assert "certificate" not in job


def test_own_files_are_watched_for_both(tmp_path: Path) -> None:
    """The gateway loads them anew, and the relay gets a copy."""
    gateway, relay = jobs(tmp_path, {**LAN, "tls": FILES})
    assert gateway["admin"].endswith("caddy.sock")
    for job in (gateway, relay):
        assert (job["certificate"], job["key"]) == (str(tmp_path / "chain.pem"), str(tmp_path / "key.pem"))
    assert relay["copy"] == str(tmp_path / "data/coturn/turns.pem")
    assert gateway["copy"] == str(Home(tmp_path).copy_of("tls.certificate", "chain.pem"))


@pytest.mark.parametrize("settings", [LAN, BEHIND])
def test_a_relays_own_is_watched(tmp_path: Path, settings: dict[str, Any]) -> None:
    """`turn.certificate` counts over the gateway's; coturn gets a copy, and is told of a new one."""
    (job,) = jobs(tmp_path, {**settings, "turn": TURN})
    assert job["certificate"] == str(tmp_path / "chain.pem")
    assert job["pidfile"] == str(tmp_path / "data/coturn/turnserver.pid")
    assert job["copy"] == str(tmp_path / "data/coturn/turns.pem")
    assert "storage" not in job


def test_an_unpacked_relay_is_renewed_daily(tmp_path: Path) -> None:
    """In a trial, too; a relay that this machine has is its own business, and one that is off nobody's."""
    context = planned(tmp_path, {}, unpacked=True)
    (unit,) = agent.units(context, coturn.offer(context))
    (task,) = json.loads(unit.files[0].content)["daily"]
    words = ["--home", str(tmp_path), "renew-relay", "--cache", "/cache"]
    assert task["command"] == ["/env/bin/python", "-I", "-m", "samsesh", *words]
    assert task["stamp"] == "/cache/coturn-x86_64.packages"
    assert agent.daily(planned(tmp_path, {})) == []
    assert agent.daily(planned(tmp_path, {"turn": {"enabled": False}}, unpacked=True)) == []
