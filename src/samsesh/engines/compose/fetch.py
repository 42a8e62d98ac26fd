"""Images that a plan needs: ours is built, the others are pulled."""

from samsesh.engine import Say
from samsesh.engines.compose import image, images, render
from samsesh.engines.compose.docker import Docker
from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.model import Plan
from samsesh.settings import Settings

BUILD_SECONDS, PULL_SECONDS = 1800.0, 1800.0


def names_of(plan: Plan) -> list[str]:
    """Of the images in the table that containers of this plan run from."""
    return list(dict.fromkeys(["samsesh", *(unit.image for unit in plan.units)]))


def get_images(docker: Docker, home: Home, settings: Settings, plan: Plan, say: Say) -> None:
    """One after the other: what is there stays where the next one fails."""
    for name in names_of(plan):
        reference = images.reference(name, settings.images)
        if docker.has_image(reference):
            continue
        if name == "samsesh" and not settings.images.samsesh:
            say("building our image")
            _build(docker, image.packed(home.path / render.IMAGE), reference, settings)
            continue
        if settings.artifacts.offline:
            raise SamseshError(
                f"the image {reference} is not there, and nothing is to be fetched (artifacts.offline)",
                f"bring it: docker save on another machine, docker load here; or name yours: images.{name}",
            )
        _pull(docker, reference, say)


def _build(docker: Docker, context: bytes, reference: str, settings: Settings) -> None:
    """From a tar on standard input: no file is followed that somebody else could change."""
    python = images.reference("python", settings.images)
    args = [f"--build-arg={one}" for one in (f"PYTHON={python}", *render.BUILD_ARGS)]
    what = "building our image"
    docker.follow("build", *args, "--tag", reference, "-", stdin=context, what=what, timeout=BUILD_SECONDS)


def _pull(docker: Docker, reference: str, say: Say) -> None:
    say(f"pulling {reference}")
    try:
        docker.follow("pull", reference, what=f"pulling {reference}", timeout=PULL_SECONDS)
    except SamseshError as error:
        raise SamseshError(
            f"the image {reference} could not be pulled",
            "what was pulled is kept: run the command again; a mirror: samsesh config set images.registry HOST",
            detail=error.detail or error.message,
        ) from None
