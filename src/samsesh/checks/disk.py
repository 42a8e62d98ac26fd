"""Room on every disk that the home is on."""

import os
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from samsesh.diagnosis import Patient, Result, Status, aside
from samsesh.errors import SamseshError

TITLE = "room on the disk"
GROUPS = ("basics", "preflight")
MB = 1024 * 1024
FAILED, WARNING = 512 * MB, 2048 * MB  # bytes free; PostgreSQL stops without
WARNING_SHARE = 0.1
FEW_INODES = 1000


@dataclass(frozen=True)
class Disk:
    """One file system. `files` is 0 where it does not count them (btrfs)."""

    path: Path
    free: int
    size: int
    files_free: int
    files: int

    def status(self) -> Status:
        if self.free < FAILED or (self.files and self.files_free < FEW_INODES):
            return "failed"
        few = self.files and self.files_free < self.files * WARNING_SHARE
        return "warning" if self.free < WARNING or self.free < self.size * WARNING_SHARE or few else "ok"

    def __str__(self) -> str:
        share = 100 * self.free // self.size if self.size else 0
        files = f", {100 * self.files_free // self.files} % of its files" if self.files else ""
        return f"{self.path}: {self.free // MB} MB free ({share} %{files})"


async def check(patient: Patient) -> Result:
    home = patient.server.home
    folders = (home.path, home.data_dir, home.logs_dir, home.backups_dir, *sorted(home.data_dir.glob("*")))
    with suppress(SamseshError):  # an engine that does not answer is told of elsewhere
        folders += tuple(await aside(patient.server.engine.disks))
    return judged(await aside(lambda: disks(folders)))


def disks(folders: tuple[Path, ...]) -> list[Disk]:
    """The file systems of these folders, each once."""
    found: dict[int, Disk] = {}
    for path in folders:
        if path.is_dir() and (device := path.stat().st_dev) not in found:
            now = os.statvfs(path)
            free, size = now.f_bavail * now.f_frsize, now.f_blocks * now.f_frsize
            found[device] = Disk(path, free, size, now.f_favail, now.f_files)
    return list(found.values())


def judged(found: list[Disk]) -> Result:
    seen = "\n".join(map(str, found))
    for status, words in (("failed", "almost no room is left"), ("warning", "room is getting short")):
        if bad := [disk for disk in found if disk.status() == status]:
            path = bad[0].path
            advice = (
                f"make room; what is large: du -xh --max-depth=2 {shlex.quote(str(path))} | sort -h | tail\n"
                "old backups can go elsewhere: samsesh backup list"
            )
            return Result("failed" if status == "failed" else "warning", f"{words}: {bad[0]}", seen, advice)
    return Result("ok", seen.replace("\n", "; "))
