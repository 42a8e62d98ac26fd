"""Has Synapse's own loader read a homeserver.yaml, and the registrations of application services that it names.

As a program: `python -m samsesh.synapse_module.judge FILE`. If Synapse would start with it, it ends with 0 and prints a
line `unread KEY` for each key that the loader never looked at, with the known key that is nearest behind it, if any. Else
it ends with 1 and prints `KEY: reason`, without a key where none is known. It connects to nothing, and writes nothing
but the folder of media where that is missing.
"""

import ctypes
import difflib
import sys
from collections.abc import Iterator
from typing import Any

PR_SET_NO_NEW_PRIVS = 38
LATER = frozenset({"database.args", "password_config.policy"})  # tables that Synapse looks at when it runs


class Table(dict[str, Any]):
    """A table of the configuration, and those within it: which keys were looked at, whether they are there or not.

    `last`: a list that all tables share, of the path that was looked at last.
    """

    def __init__(self, data: dict[str, Any], last: list[str], path: str = "") -> None:
        super().__init__({key: _watched(value, last, _below(path, key)) for key, value in data.items()})
        self.given, self.seen = frozenset(data), set[object]()
        self._last, self._path = last, path

    def _look(self, key: object) -> None:
        self.seen.add(key)
        self._last[:] = [_below(self._path, key)]

    def __getitem__(self, key: str) -> Any:
        self._look(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._look(key)
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._look(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self._look(key)
        return super().pop(key, *default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        self._look(key)
        return super().setdefault(key, default)

    def __iter__(self) -> Iterator[str]:  # who goes through all of it takes whatever there is
        self.seen |= self.given
        return super().__iter__()

    def keys(self) -> Any:
        self.seen |= self.given
        return super().keys()

    def values(self) -> Any:
        self.seen |= self.given
        return super().values()

    def items(self) -> Any:
        self.seen |= self.given
        return super().items()

    def unread(self) -> Iterator[tuple[str, str]]:
        """(path of a key, the known one nearest to it); none within a table that was handed on to other code whole."""
        if self._path in LATER:
            return
        known = [str(key) for key in self.seen - self.given]
        for key in self.given - self.seen:
            yield _below(self._path, key), "".join(difflib.get_close_matches(str(key), known, n=1))
        for value in dict.values(self):
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, Table) and part.seen:
                    yield from part.unread()


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _watched(value: Any, last: list[str], path: str) -> Any:
    if isinstance(value, dict):
        return Table(value, last, path)
    if isinstance(value, list):
        return [_watched(part, last, f"{path}.{number}") for number, part in enumerate(value)]
    return value


def judge(path: str) -> tuple[bool, list[str]]:
    """Whether Synapse takes it, and the lines to print."""
    from synapse.config._base import ConfigError

    last: list[str] = []
    try:
        return True, [f"unread {key} {near}".rstrip() for key, near in _load(path, last)]
    except ConfigError as error:
        reasons, cause = [error.msg], error.__cause__
        while cause is not None:
            reasons.append(str(cause))
            cause = cause.__cause__
        return False, [_refusal(".".join(error.path or last), ": ".join(reasons))]
    except Exception as error:  # noqa: BLE001 - modules, and sections of Synapse's own, fail in any way
        return False, [_refusal("".join(last), f"{type(error).__name__}: {error}")]


def _load(path: str, last: list[str]) -> list[tuple[str, str]]:
    """As Synapse's main process does it (synapse/app/homeserver.py), until it would connect to anything."""
    from synapse.config._base import ConfigError, read_config_files
    from synapse.config.appservice import load_appservices
    from synapse.config.homeserver import HomeServerConfig

    table = Table(read_config_files([path]), last)
    config = HomeServerConfig([path])
    config.parse_config_dict(table, config_dir_path="/", data_dir_path="/")
    last.clear()
    config.validate_config()
    if config.worker.worker_app:
        raise ConfigError("this server runs Synapse as one process, without workers", ("worker_app",))
    files = config.appservice.app_service_config_files
    for number, file in enumerate(files, 1):
        last[:] = [file]
        load_appservices(config.server.server_name, files[:number])
    return list(table.unread())


def _refusal(where: str, reason: str) -> str:
    text = f"{where}: {reason}" if where else reason
    return f"{text} (a program: install the package xmlsec1)" if "xmlsec1" in text else text  # SAML needs it


def main(path: str) -> int:
    # What modules do when they are imported is as closed as in the server itself.
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    taken, lines = judge(path)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0 if taken else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
