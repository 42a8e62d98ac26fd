"""The images of containers, in one table: pinned, and replaced by a mirror or by name in the settings.

Digests are in `pins.toml` (`scripts/lock --releases`): with one, it is that image or none, from a mirror too. What the
settings name is pulled as it is named.

Where a version is the one that the native engine locks, a test compares them.
"""

from dataclasses import dataclass
from typing import Any

from samsesh import pins
from samsesh.artifacts import element_call, element_web, livekit
from samsesh.engines.compose import image
from samsesh.settings import Images

HUB = "docker.io"  # images without a registry in their name are Docker Hub's


@dataclass(frozen=True)
class Image:
    """One image that containers run from. `service` is its name in Compose; empty for what ours is built from."""

    name: str  # in our settings, with _ for -
    service: str
    registry: str  # where it is published; empty: it is built, not pulled
    path: str
    tag: str
    documented: str

    @property
    def default(self) -> str:
        """As Docker is told it: Docker Hub's own need no registry."""
        host = "" if self.registry in ("", HUB) else f"{self.registry}/"
        return f"{host}{self.path}:{self.tag}"

    def at(self, registry: str) -> str:
        return f"{registry.rstrip('/')}/{self.path}:{self.tag}"

    @property
    def digest(self) -> str:
        """`sha256:...` of its manifest or index of manifests; empty where it is not known, and for ours."""
        return pins.read().digest(self.default) if self.registry else ""


def table() -> tuple[Image, ...]:
    """Every image. No registry could be asked when these were chosen: which tags were seen elsewhere is said here."""
    return (
        Image("postgres", "postgres", HUB, "postgres", "18.6", "https://hub.docker.com/_/postgres"),
        # The tag of this release follows the scheme of those before it (v1.162.0); it was not seen itself.
        Image(
            *("synapse", "synapse", "ghcr.io", "element-hq/synapse", "v1.163.2"),
            "https://github.com/element-hq/synapse/tree/develop/docker",
        ),
        Image("caddy", "gateway", HUB, "caddy", "2.11.7", "https://hub.docker.com/_/caddy"),
        # Tags around it were seen (v1.12.10, v1.12.26 to v1.12.30), this one was not.
        Image(
            *("element-web", "element", "ghcr.io", "element-hq/element-web", f"v{element_web.VERSION}"),
            "https://github.com/element-hq/element-web/blob/develop/docs/install.md#docker",
        ),
        Image(
            *("element-call", "element-call", "ghcr.io", "element-hq/element-call"),
            f"v{element_call.version()}",
            "https://github.com/element-hq/element-call/blob/livekit/docs/self-hosting.md",
        ),
        Image(
            *("livekit", "livekit", HUB, "livekit/livekit-server", f"v{livekit.VERSION}"),
            "https://docs.livekit.io/transport/self-hosting/vm/",
        ),
        # -r0 is never built anew, the plain 4.18.0 is.
        Image(
            *("coturn", "coturn", HUB, "coturn/coturn", "4.18.0-r0"),
            "https://github.com/coturn/coturn/tree/master/docker/coturn",
        ),
        Image("samsesh", "lk-jwt-service, agent, splitter", "", "samsesh", image.version(), "this program"),
        Image("python", "", HUB, "python", "3.13-slim-bookworm", "https://hub.docker.com/_/python"),
    )


def reference(name: str, images: Images) -> str:
    """What to pull for an image of the table."""
    found = next(row for row in table() if row.name == name)
    return _reference(found, images)


def _reference(row: Image, images: Images) -> str:
    if named := _named(row, images):
        return named
    tagged = row.at(images.registry) if images.registry and row.registry else row.default
    return f"{tagged}@{row.digest}" if row.digest else tagged


def _named(row: Image, images: Images) -> str:
    named: str = getattr(images, row.name.replace("-", "_"))
    return named


def rows(images: Images) -> list[dict[str, Any]]:
    """For `samsesh images --json`."""
    return [
        {
            "name": row.name,
            "image": _reference(row, images),
            "default": row.default,
            "digest": row.digest,
            "service": row.service,
            "overridden": bool(_named(row, images) or (images.registry and row.registry)),
        }
        for row in table()
    ]
