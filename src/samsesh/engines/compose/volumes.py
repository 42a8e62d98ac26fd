"""Prepares named volumes before everything else starts, in a container of our image: `UID GID FOLDER...`.

A new one, which root has or, empty, a user of the image, is given to the user of the services; what somebody else has
put something into is left alone and told. The standard library only.
"""

import os
import sys
from pathlib import Path


def main() -> None:
    uid, gid, folders = int(sys.argv[1]), int(sys.argv[2]), [Path(word) for word in sys.argv[3:]]
    tops = list(dict.fromkeys(Path(*folder.parts[:3]) for folder in folders))  # /volumes/NAME
    for top in tops:
        owner = top.stat().st_uid
        if owner not in (0, uid) and _holds_something(top, owner):
            sys.exit(
                f"the volume {top.name} belongs to the user {owner}, and the services run as {uid}: "
                f"nothing was changed. Set server.uid to {owner}, or give the volume to {uid} (chown -R)"
            )
        if owner != uid or top.stat().st_gid != gid:
            os.chown(top, uid, gid)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    for folder in folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _holds_something(top: Path, owner: int) -> bool:
    """Looked at as its owner: without that right root cannot look into a folder that is closed."""
    os.seteuid(owner)
    try:
        return any(top.iterdir())
    except PermissionError:  # closed to its owner, too
        return True
    finally:
        os.seteuid(0)


if __name__ == "__main__":
    main()
