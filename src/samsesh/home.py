"""The home folder: where everything of one server lives, its lock, its audit log and what is remembered of it."""

import fcntl
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from samsesh import owners
from samsesh.errors import USAGE, SamseshError, SettingsError
from samsesh.write import append_line, make_dir, write_file

FORMAT = 1  # of the home folder; raised when an older program could not read it
SERVICE_USER = "samsesh"
# What root alone can write: of each home what root confirmed, and what root's Docker follows. Below /var/lib, where
# Docker itself keeps its data: /etc may be read-only, /run is empty after a reboot.
ROOTS = Path("/var/lib/samsesh-root")
LONGEST_SOCKET_DIR = 80  # a socket's path has at most 107 bytes; our longest socket name has 23
LOCK_SECONDS = 900
# What supervisord (comments), PostgreSQL (,) or Caddy ({}, |) read as something else in a path; nothing escapes it.
UNREADABLE = re.compile(r"[,{}|]|\s[;#]|\s$")


def default_home(environ: Mapping[str, str]) -> Path:
    """SAMSESH_HOME, else /var/lib/samsesh as root, else the user's data folder."""
    if given := environ.get("SAMSESH_HOME"):
        return named_home(Path(given))
    if os.geteuid() == 0:
        return Path("/var/lib/samsesh")
    data = environ.get("XDG_DATA_HOME") or str(Path("~/.local/share").expanduser())
    return Path(data).absolute() / "samsesh"


def named_home(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise SamseshError(
            f"{path} is in the home of a user who is not there", "name another folder"
        ) from None


@dataclass(frozen=True)
class Home:
    """Paths below one home folder, and the operations that concern it as a whole."""

    path: Path

    @property
    def id(self) -> str:
        """Short name of this home among others on the machine."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:10]

    @property
    def settings_file(self) -> Path:
        return self.path / "samsesh.toml"

    @property
    def env_file(self) -> Path:
        return self.path / ".env"

    @property
    def secrets_dir(self) -> Path:
        return self.path / "secrets"

    @property
    def config_dir(self) -> Path:
        return self.path / "config"

    @property
    def data_dir(self) -> Path:
        return self.path / "data"

    @property
    def logs_dir(self) -> Path:
        return self.path / "logs"

    @property
    def backups_dir(self) -> Path:
        return self.path / "backups"

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def roots_folder(self) -> Path:
        """Of this home, what root alone can write."""
        return ROOTS / self.id

    @property
    def started(self) -> bool:
        """Whether a database exists, so that the server name is permanent."""
        return "server_name" in self.state()

    @property
    def empty(self) -> bool:
        """Nothing in it but backups and what a first command leaves: a server can begin or be restored here."""
        left_over = {"backups", "lock", "audit.log", "run"}
        return not self.path.is_dir() or not {entry.name for entry in self.path.iterdir()} - left_over

    def must_be_there(self) -> None:
        if self.empty:
            raise SamseshError(
                f"there is no server in {self.path}",
                "make one with `samsesh up`, or name its folder: --home DIR",
            )

    def runtime_dir(self) -> Path:
        """Folder for sockets and pids: in the home where the path is short enough, else a private one in /tmp."""
        inside = self.path / "run"
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_DIR:
            return inside
        return Path("/tmp") / f"samsesh-{os.geteuid()}-{self.id}"  # noqa: S108 - ownership is checked in make_runtime_dir

    def make_runtime_dir(self) -> Path:
        """Make the runtime folder 0700; refuse one that somebody else made first."""
        path = self.runtime_dir()
        make_dir(path)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise SamseshError(
                f"{path} belongs to somebody else or is open to others", f"remove {path}, then try again"
            )
        return path

    def prepare(self) -> None:
        """Make the home folder, or say why it cannot be used."""
        self.make_folder()
        self.check_format()

    def check_path(self) -> None:
        """Refuse a folder whose name the programs would misread."""
        if UNREADABLE.search(str(self.path)) or not str(self.path).isprintable():
            raise SamseshError(
                f"a server cannot work in the folder {str(self.path)!r}: its programs read , {{ }} | and a space "
                "before ; or # or at the end as something else, and take no character that cannot be seen",
                "choose another with --home DIR or SAMSESH_HOME",
            )

    def make_folder(self) -> None:
        self.check_path()
        make_dir(self.path)
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise SamseshError(
                f"the home folder {self.path} is not writable for {user_name()}",
                "choose another with --home DIR or SAMSESH_HOME",
            )

    def check_format(self) -> None:
        """Refuse a home that a newer program made, and the half that a command left which was cut off."""
        made_by = self.state()
        if cut_off := made_by.get("unfinished"):
            again = "samsesh restore FILE" if cut_off == "restore" else "samsesh destroy"
            raise SamseshError(f"the {cut_off} of {self.path} was cut off", f"run it again: {again}")
        if made_by.get("format", FORMAT) > FORMAT:
            raise SamseshError(
                f"{self.path} was made by a newer Samsesh ({made_by.get('samsesh', 'unknown')})",
                "use that version or a newer one; this one has changed nothing",
            )

    def named(self, path: str) -> Path:
        """What the settings name, relative to this home."""
        return self.path / Path(path).expanduser()

    def operator_file(self, path: str) -> Path:
        """A file that the settings name; it has to be there."""
        found = self.named(path)
        if not found.is_file():
            raise SettingsError(
                f"the settings name the file {found}, which is not there",
                "put it there, correct the path, or remove it",
            )
        return found

    def state(self) -> dict[str, Any]:
        """What is remembered of this home: format, server_name, versions of what ran last."""
        try:
            found = json.loads(self.state_file.read_bytes())
        except FileNotFoundError:
            return {}
        except PermissionError:
            raise SamseshError(
                f"{self.state_file} is not readable for {user_name()}", "run the command as its owner"
            ) from None
        except ValueError:
            raise SamseshError(f"{self.state_file} is damaged", "restore the home from a backup") from None
        return found if isinstance(found, dict) else {}

    def remember(self, **facts: Any) -> None:
        from samsesh import __version__

        new = {**self.state(), "unfinished": None, "format": FORMAT, "samsesh": __version__, **facts}
        known = {name: value for name, value in new.items() if value is not None}
        write_file(self.state_file, json.dumps(known, indent=1, sort_keys=True) + "\n")

    def audit(self, action: str, result: str = "ok", **facts: str) -> None:
        """One line for what was done to this home: never a secret."""
        entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "user": caller(), "action": action}
        append_line(self.path / "audit.log", json.dumps({**entry, **facts, "result": result}))

    @contextmanager
    def change(
        self, action: str, waiting: Callable[[str], None] | None = None, **facts: str
    ) -> Iterator[None]:
        """Hold this home for one change, and leave an audit line of how it went."""
        with self.lock(action, waiting):
            try:
                yield
            except BaseException:
                self.audit(action, "failed", **facts)
                raise
            self.audit(action, **facts)

    @contextmanager
    def lock(self, what: str, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold this home: one change at a time. A second one waits, and is told so; after 15 minutes it gives up."""
        if not self.path.is_dir():
            self.must_be_there()
        path = self.path / "lock"
        with _open_lock(path) as handle:
            end = time.monotonic() + LOCK_SECONDS
            told = False
            while not _try_lock(handle.fileno()):
                holder = path.read_text().strip() or "another command"
                if waiting and not told:
                    waiting(f"waiting for another command on this home: {holder}")
                    told = True
                if time.monotonic() > end:
                    raise SamseshError(
                        f"this home is still held by {holder}", "wait for it to end, or end it", code=USAGE
                    )
                time.sleep(0.1)
            with suppress(OSError):  # for people only; a full disk must not keep `down` from working
                os.ftruncate(handle.fileno(), 0)
                os.pwrite(handle.fileno(), f"{what} (process {os.getpid()})".encode(), 0)
            try:
                yield
            finally:
                os.ftruncate(handle.fileno(), 0)


def _open_lock(path: Path) -> Any:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "a+")
    except OSError as error:
        raise SamseshError(
            f"cannot lock {path.parent}: {error.strerror}", "check who owns that folder"
        ) from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def user_name(uid: int | None = None) -> str:
    """Name of a user, of ours by default, or the number of one without a name."""
    return owners.name(os.geteuid() if uid is None else uid)


def caller() -> str:
    """Who gave the command: the user behind sudo, or ours."""
    return os.environ.get("SUDO_USER") or os.environ.get("SAMSESH_CALLER") or user_name()


def was_root() -> bool:
    """Whether root gave the command, and we have become the user of the services since."""
    return os.geteuid() != 0 and "SAMSESH_CALLER" in os.environ
