"""FederationModule in a real Synapse, which does not start where it could not do its work."""

from pathlib import Path

import pytest

from synapse_module.homeserver import serving

pytestmark = pytest.mark.slow
MODULE = "samsesh.synapse_module.FederationModule"


@pytest.mark.parametrize(
    ("config", "more", "words"),
    [
        ({"deny": "bad.test"}, {}, "deny is a list of server names"),
        ({"deny": ["bad.test"], "allow": []}, {}, "has no option 'allow'"),
        ({"deny": ["bad.test"]}, {"federation_domain_whitelist": ["good.test"]}, "leave out of it those"),
    ],
)
def test_refuses(tmp_path: Path, config: object, more: dict[str, object], words: str) -> None:
    """A deny list that would not count ends the start, and the log says why."""
    with (
        pytest.raises(AssertionError),
        serving(tmp_path, modules=[{"module": MODULE, "config": config}], **more),
    ):
        pass
    assert words in (tmp_path / "log").read_text()


def test_starts(tmp_path: Path) -> None:
    """The Synapse that is installed asks its list as the module knows."""
    with serving(
        tmp_path,
        modules=[{"module": MODULE, "config": {"deny": ["bad.test"]}}],
        federation_domain_whitelist=None,
    ) as homeserver:
        assert homeserver.person().user_id
