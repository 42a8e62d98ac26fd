#!/usr/bin/env python3
"""Measures a server in containers: how soon it is ready again, its memory, and the size of our image.

    python scripts/bench_compose.py [--times 3]

python is that of the tests' environment. The engine is a real one, upstream's images are the tests' stand-ins. Prints
JSON; where there is no Docker it says so (to standard error) and prints {}.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from conftest import Stack, free_offset
from docker.engine import Engine, running
from docker.images import commands, ensure_all
from docker.standins import python

SETTLE_SECONDS = 15
MB, MIB = 1e6, 1024**2  # images are told of as registries do, memory as in the other figures


def measure(engine: Engine, folder: Path, times: int) -> dict[str, float]:
    images = ensure_all(engine)
    options = ("--engine", "compose")
    server = Stack(folder / "home", free_offset(), commands(engine), options=options, web="element-web")
    try:
        server.up()  # the first time makes the database
        taken = []
        for _ in range(times):
            stop(server)
            began = time.perf_counter()
            server.up()
            taken.append(time.perf_counter() - began)
        time.sleep(SETTLE_SECONDS)  # start-up work ends, then memory is that of an idle server
        sizes = {one["name"]: one["memory_bytes"] / MIB for one in server.status()["services"]}
    finally:
        stop(server)
    return {
        "Compose, stopped to ready, s": statistics.median(taken),
        "idle memory of all containers, MB": sum(sizes.values()),
        **{f"idle memory of {name}'s container, MB": size for name, size in sorted(sizes.items())},
        "size of our image, MB": size_of(engine, images["samsesh"]),
        "size of our image without its base, MB": size_of(engine, images["samsesh"])
        - size_of(engine, python.STAND_IN.built),
    }


def stop(server: Stack) -> None:
    done = server.cli("down")
    if done.returncode:
        raise SystemExit(f"samsesh down: {done.stderr}")


def size_of(engine: Engine, image: str) -> float:
    return int(engine.run("image", "inspect", "--format", "{{.Size}}", image).stdout) / MB


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=3)
    times = parser.parse_args().times
    folder = Path(tempfile.mkdtemp(prefix="samsesh-bench-"))
    folder.chmod(0o711)
    found: dict[str, float] = {}
    try:
        with running() as engine:
            found = measure(engine, folder, times)
    except pytest.skip.Exception as reason:
        print(f"nothing is measured in containers: {reason}", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({name: round(value, 3) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
