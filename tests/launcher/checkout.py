"""A checkout with few packages and a program that tells how it was started."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from launcher.machine import ROOT, as_nobody

TELL = """
import json, os, sys
import samsesh, tomlkit
print(json.dumps({"argv": sys.argv[1:], "python": os.path.realpath(sys.executable), "prefix": sys.prefix,
    "version": sys.version_info[:2], "code": samsesh.__file__, "cached": samsesh.__cached__,
    "umask": os.umask(0), "launcher": os.environ.get("SAMSESH_LAUNCHER"), "stdin": sys.stdin.read()}))
"""


@dataclass
class Checkout:
    """A checkout to start from, in a folder of its own that every user may enter."""

    path: Path
    environments: Path
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str, nobody: bool = False, umask: str = "022") -> list[str]:
        start = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", str(self.path / "samsesh"), *words]
        return [*as_nobody(), *start] if nobody else start

    def start(
        self, *words: str, nobody: bool = False, umask: str = "022", stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run the launcher to its end."""
        return subprocess.run(
            self.command(*words, nobody=nobody, umask=umask),
            input=stdin,
            capture_output=True,
            text=True,
            env=self.env,
            timeout=300,
        )

    def tell(
        self, *words: str, nobody: bool = False, umask: str = "022", stdin: str = ""
    ) -> dict[str, object]:
        """What the program says of its start, which must succeed."""
        done = self.start(*words, nobody=nobody, umask=umask, stdin=stdin)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert isinstance(told, dict)
        return told

    def made(self) -> list[Path]:
        """The finished environments, wherever they are, but for the data folders of users."""
        return sorted(
            stamp.parent
            for top in (self.environments, self.path / ".venv")
            for stamp in top.rglob("complete")
        )

    def give_to_nobody(self) -> None:
        for path in (self.path, self.home):
            subprocess.run(["chown", "-R", "65534:65534", str(path)], check=ROOT)
