"""What is not the public internet: the same to previews and federation, the relay, and the authorization service."""

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from relay import configured, context
from samsesh.rtc.config import read
from samsesh.rtc.guard import Guard
from samsesh.services.synapse.config import PRIVATE_RANGES

CLOUDS = {  # where their machines ask what only they may know
    "most": "169.254.169.254",
    "Amazon": "fd00:ec2::254",
    "Amazon's containers": "169.254.170.2",
    "Azure": "168.63.129.16",
    "Azure, by NAT64": "64:ff9b::a83f:8110",
    "Google": "fd20:ce::254",
    "Oracle": "192.0.0.192",
    "Alibaba": "100.100.100.200",
    "Tencent": "169.254.0.23",
    "OpenStack": "fe80::a9fe:a9fe",
}
OTHERS = ("10.0.0.1", "2001::1", "2002:a00:1::", "3fff::1", "100::1", "64:ff9b:1::a00:1", "::1", "ff02::1")
PUBLIC = ("9.9.9.9", "168.63.129.15", "168.63.129.17", "2620:fe::fe", "2001:200::1")


def denied_by_relay(tmp_path: Path, address: str) -> bool:
    _, conf = configured(context(tmp_path, "4.18.0", []))
    found: Any = ip_address(address)
    ranges = [tuple(map(ip_address, one.split("-"))) for one in conf["denied-peer-ip"]]
    return any(first.version == found.version and first <= found <= last for first, last in ranges)


@pytest.mark.parametrize("address", [*CLOUDS.values(), *OTHERS, *PUBLIC])
def test_every_list_has_it(address: str, tmp_path: Path) -> None:
    """What clouds tell their own machines, and everything private, no stranger reaches through any of our programs."""
    private = address not in PUBLIC
    assert any(ip_address(address) in ip_network(one) for one in PRIVATE_RANGES) == private
    assert denied_by_relay(tmp_path, address) == private
    guard = Guard(
        read(
            {
                "LIVEKIT_URL": "wss://x",
                "LIVEKIT_FULL_ACCESS_HOMESERVERS": "x",
                "LIVEKIT_KEY": "k",
                "LIVEKIT_SECRET": "s",
            }
        )
    )
    assert guard.permits(address) != private
