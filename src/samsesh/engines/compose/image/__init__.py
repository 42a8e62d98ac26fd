"""Our own image: nothing of ours is published, so it is built where it runs, from this program's own code.

The context is flat: Dockerfile, image.lock (what the code needs, with hashes), samsesh/ (the code), wheels/ (empty, or
filled by whoever builds without a network).
"""

import hashlib
import io
import tarfile
from pathlib import Path

import samsesh
from samsesh.write import write_file

HERE = Path(__file__).parent
CODE = Path(samsesh.__file__).parent
LEFT_OUT = ("__pycache__", "web")  # web: pages that images of their own bring
READABLE = 0o644
WHEELS_README = "wheels/README"
WHEELS = (
    "To build without a network, put the wheels of image.lock here, for this image's Python and processor:\n"
    "    pip download --require-hashes --no-deps --only-binary :all: -r ../image.lock\n"
    "then build with --build-arg PIP_NO_INDEX=1.\n"
)


def context() -> dict[str, bytes]:
    """Every file that the image is built from: path in the context -> content."""
    code = {
        f"samsesh/{path.relative_to(CODE).as_posix()}": path.read_bytes()
        for path in sorted(CODE.rglob("*"))
        if path.is_file() and not set(LEFT_OUT) & set(path.relative_to(CODE).parts)
    }
    own = {name: (HERE / name).read_bytes() for name in ("Dockerfile", "image.lock")}
    return {**own, **code, WHEELS_README: WHEELS.encode()}


def version() -> str:
    """The image's tag: another one for every other program, so that no container runs what is out of date."""
    found = hashlib.sha256()
    for name, content in sorted(context().items()):
        found.update(f"{name} {len(content)}\n".encode() + content)
    return f"{samsesh.__version__.replace('+', '-')}-{found.hexdigest()[:12]}"


def explain_wheels(folder: Path) -> None:
    """In the home: where whoever builds without a network puts wheels."""
    write_file(folder / WHEELS_README, WHEELS, READABLE)


def packed(folder: Path) -> bytes:
    """The context as a tar, with the wheels that are in a folder: the build compares their checksums."""
    wheels = {f"wheels/{path.name}": path.read_bytes() for path in sorted((folder / "wheels").glob("*.whl"))}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in {**wheels, **context()}.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), READABLE
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()
