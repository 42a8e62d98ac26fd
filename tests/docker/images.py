"""All images of the table in one engine: the stand-ins, and our own, built from its context."""

import fcntl
import os
import re
import subprocess
import tempfile
from pathlib import Path

from docker.engine import CACHE, LABEL, Engine, open_lock
from docker.standin import PYTHON, StandIn, tagged, uv
from docker.standins import caddy, coturn, element_call, element_web, livekit, postgres, python, synapse
from samsesh.engines.compose import image
from samsesh.engines.compose.images import reference, table
from samsesh.settings import Images
from samsesh.write import write_file

STAND_INS: tuple[StandIn, ...] = tuple(
    module.STAND_IN
    for module in (python, postgres, caddy, livekit, coturn, element_web, element_call, synapse)
)


def ensure_all(engine: Engine) -> dict[str, str]:
    """Name in the table -> image. The first time takes some minutes, later ones a second."""
    return {**{found.name: found.ensure(engine) for found in STAND_INS}, "samsesh": ensure_ours(engine)}


def wanted(engine: Engine) -> Images:
    """The section [images] of the settings of a server in this engine: none of its own images is run or replaced."""
    # What is pinned by its digest is named by its tag: the stand-in's digest is another.
    pinned = {row.name.replace("-", "_"): tagged(engine, row.name) for row in table() if row.digest}
    if not engine.registry:
        return Images(**pinned)
    ours = f"{engine.registry}/{reference('samsesh', Images())}-stand-in"
    return Images(registry=engine.registry, samsesh=ours, **pinned)


def commands(engine: Engine) -> dict[str, str]:
    """Environment in which commands under test find the engine, and its images."""
    docker = {name: value for name, value in engine.env.items() if name.startswith("DOCKER_")}
    named = wanted(engine).model_dump(exclude_unset=True)
    return {**docker, **{f"SAMSESH_IMAGES_{name.upper()}": value for name, value in named.items() if value}}


def ensure_ours(engine: Engine) -> str:
    """Our own image, on the stand-in of its base, built without a network as its Dockerfile says."""
    name = reference("samsesh", wanted(engine))
    python.STAND_IN.ensure(engine)
    base = python.STAND_IN.built
    built = f"samsesh-test/samsesh-image:{image.version()}-{base.partition(':')[2]}"
    with open_lock("image-samsesh") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not engine.exists(built):
            with tempfile.TemporaryDirectory(prefix="context-", dir=CACHE) as folder:
                for path, content in image.context().items():
                    write_file(Path(folder) / path, content, 0o644)
                fetch_wheels(Path(folder))
                options = ["--build-arg", f"PYTHON={base}", "--build-arg", "PIP_NO_INDEX=1", "--force-rm"]
                options += ["--label", f"{LABEL}=ours"]
                engine.run("build", "--network", "none", *options, "--tag", built, folder, timeout=900)
    engine.run("tag", built, name)
    return name


def fetch_wheels(context: Path) -> None:
    """The packages of image.lock for the Python of the bases, each with its checksum compared."""
    # What only some Pythons need is fetched anyway: the one that fetches is not the one of the bases.
    lock = context / "wheels/any.lock"
    lock.write_text(
        re.sub(r" ; python_full_version [^ ]+ '[0-9.]+'(?= \\\n)", "", (context / "image.lock").read_text())
    )
    machine = os.uname().machine
    glibc = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in range(18, 37))]
    platforms = [word for tag in glibc for word in ("--platform", f"{tag}_{machine}")]
    exact = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--python-version", PYTHON]
    command = [uv(), "tool", "run", "pip", "download", "--quiet", "--dest", str(context / "wheels")]
    done = subprocess.run(
        [*command, *exact, *platforms, "-r", str(lock)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
