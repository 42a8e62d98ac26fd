"""Images by their digests, in a real engine: the one that is meant, from any registry, or none."""

from pathlib import Path

import pytest

from docker.engine import Engine
from docker.registry import serving
from samsesh import pins
from samsesh.engines.compose import fetch, images
from samsesh.engines.compose.docker import Docker
from samsesh.errors import SamseshError
from samsesh.formats import to_yaml
from samsesh.settings import Images

pytestmark = pytest.mark.slow


def test_a_pinned_image_comes_from_a_mirror_or_not_at_all(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the digest of the table a mirror's image is pulled, found again and named by the doctor; a mirror that has
    another under the tag is refused. Without a digest the engine knows what the tag led to.
    """
    for name in ("DOCKER_HOST", "DOCKER_CONFIG"):
        monkeypatch.setenv(name, engine.env[name])
    monkeypatch.setattr(pins, "TABLE", tmp_path / "pins.toml")
    docker = Docker("samsesh-test-digests", tmp_path)
    with serving() as registry:
        mirror = Images(registry=f"localhost:{registry.server_port}")

        def pull(sha256: str) -> str:
            row = f'"postgres:18.6" = {{sha256 = "{sha256}", source = "this test"}}'
            pins.TABLE.write_text(f"[files]\n[images]\n{row}\n")
            reference = images.reference("postgres", mirror)
            fetch._pull(docker, reference, lambda text: None)
            return reference

        with pytest.raises(SamseshError, match="could not be pulled"):
            pull("1" * 64)
        try:
            pinned = pull(registry.digest.removeprefix("sha256:"))
            assert pinned.endswith(registry.digest)
            assert docker.has_image(pinned) and docker.digest_of(pinned) == registry.digest
            service = {"image": pinned, "command": ["/file"], "pull_policy": "never", "network_mode": "none"}
            (tmp_path / "compose.yaml").write_bytes(to_yaml({"services": {"one": service}}))
            engine.compose(tmp_path, "create")  # Compose finds it, too
            engine.compose(tmp_path, "down")
            tagged = pull("")
            assert docker.has_image(tagged) and docker.digest_of(tagged) == registry.digest
        finally:
            engine.run("image", "rm", f"localhost:{registry.server_port}/postgres:18.6", check=False)
            engine.run(
                "image", "rm", f"localhost:{registry.server_port}/postgres@{registry.digest}", check=False
            )
