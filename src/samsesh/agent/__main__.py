"""`python -m samsesh.agent FILE`: what `samsesh agent` becomes, without the memory of the whole program."""

import signal
import sys
from pathlib import Path

from samsesh.agent.serve import serve
from samsesh.errors import SamseshError
from samsesh.text import printable

if __name__ == "__main__":
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit()
    )  # process 1 of a container ends on no signal by itself
    try:
        serve(Path(sys.argv[1]))
    except SamseshError as error:
        sys.stderr.write(printable(f"samsesh: {error.message}\n  {error.hint}\n"))
        sys.exit(error.code)
