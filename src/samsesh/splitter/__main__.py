"""`python -m samsesh.splitter FILE`: what `samsesh splitter` becomes, without the memory of the whole program."""

import asyncio
import sys
from pathlib import Path

from samsesh.errors import SamseshError
from samsesh.splitter.serve import read, serve
from samsesh.text import printable

if __name__ == "__main__":
    try:
        asyncio.run(serve(read(Path(sys.argv[1]))))
    except SamseshError as error:
        sys.stderr.write(printable(f"samsesh: {error.message}\n  {error.hint}\n"))
        sys.exit(error.code)
