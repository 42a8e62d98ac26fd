"""A clean Debian of its own, made by debootstrap once and unpacked for every test."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

RELEASE = "bookworm"
PACKAGES = "python3"  # no pip, no venv, no certificates
CACHE = Path("/var/cache/samsesh-test")
# How this machine reaches package registries is no part of what is tested.
PASSED_ON = re.compile(
    r"(.*_)?(CERT|SSL|CA)(_.*)?|.*_PROXY|(PIP|UV)_.*(INDEX|MIRROR|CERT|TIMEOUT).*", re.IGNORECASE
)
PASSED_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")


@dataclass
class Chroot:
    """An unpacked system; each command in it has a mount namespace of its own, so nothing stays mounted."""

    root: Path

    def run(
        self, *command: str, user: str = "root", folder: str = "/", timeout: float = 300, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        mounts = 'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$@"'
        there = ["sh", "-c", 'cd "$0" && exec "$@"', folder, *command]
        passed = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
        home = "/root" if user == "root" else f"/home/{user}"
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", mounts, self.root, f"--userspec={user}", self.root, *there],
            env={
                **passed,
                "HOME": home,
                "USER": user,
                "LOGNAME": user,
                "PATH": os.defpath + ":/usr/sbin:/sbin",
                **environ,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def processes(self) -> dict[int, str]:
        """Process ids and command lines of what runs inside."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (folder / "root").readlink() == self.root:
                    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(folder.name)] = words.decode(errors="replace")
        return found

    def end(self) -> None:
        """Kill what still runs inside."""
        until = time.monotonic() + 20
        while (left := self.processes()) and time.monotonic() < until:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)


def unpacked(folder: Path) -> Iterator[Chroot]:
    """A clean system below `folder`, gone afterwards."""
    root = folder / "root"
    root.mkdir()
    subprocess.run(["tar", "-xpf", str(archive()), "-C", str(root)], check=True, timeout=120)
    for name in PASSED_FILES:
        if Path(name).exists():
            (root / name[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, root / name[1:])
    system = Chroot(root.resolve())
    try:
        yield system
    finally:
        system.end()


def archive() -> Path:
    """The system as an archive, made the first time: about a minute."""
    machine = os.uname().machine
    made = CACHE / f"{RELEASE}-python3-{machine}.tar"
    if not made.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        root = CACHE / "making"
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(root), mirror()],
            check=True,
            capture_output=True,
            timeout=900,
        )
        half = made.with_suffix(".half")
        subprocess.run(["tar", "-cf", str(half), "-C", str(root), "."], check=True, timeout=300)
        half.rename(made)
        shutil.rmtree(root)
    return made


def mirror() -> str:
    """Where this machine's own apt gets Debian from."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "IDENTIFIER: Packages", "LABEL: Debian"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()[0]
