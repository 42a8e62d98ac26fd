"""The engine that tests get: real, with Compose, and leaving other people's things alone."""

from pathlib import Path

import pytest

from docker.engine import Engine

pytestmark = pytest.mark.slow

COMPOSE = """
services:
  first:
    image: {image}
    command: ["sh", "-c", "trap 'exit 0' TERM; touch /tmp/ready; while :; do sleep 0.1; done"]
    healthcheck: {{test: ["CMD", "test", "-e", "/tmp/ready"], interval: 1s}}
    read_only: true
    tmpfs: [/tmp]
  second:
    image: {image}
    command: ["sh", "-c", "echo started behind the first"]
    depends_on: {{first: {{condition: service_healthy}}}}
networks: {{default: {{labels: {{samsesh.test: engine}}}}}}
"""


def test_compose_starts_by_health(engine: Engine, images: dict[str, str], tmp_path: Path) -> None:
    """Compose v2 or later is there, and waits for what is healthy."""
    assert int(engine.run("compose", "version", "--short").stdout.lstrip("v").split(".")[0]) >= 2
    (tmp_path / "compose.yaml").write_text(COMPOSE.format(image=images["python"]))
    try:
        said = engine.compose(tmp_path, "up", "--exit-code-from", "second").stdout
        assert "started behind the first" in said
    finally:
        engine.compose(tmp_path, "down", "--volumes")
