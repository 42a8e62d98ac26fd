"""Has a unit's image judge its new files, in a container for the moment that is as closed as its own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from samsesh.engines.compose.containers import CONTAINERS
from samsesh.engines.compose.docker import Docker
from samsesh.engines.compose.placement import SECRETS, data_of
from samsesh.judging import Judged, by_its_loader, by_its_log, scratch_ports
from samsesh.model import Judge, Unit


def judge_unit(
    docker: Docker, folder: Path, unit: Unit, judge: Judge, service: Mapping[str, Any], log: Path
) -> Judged:
    """`service`: as the compose.yaml in `folder` has it, which has the files to be judged."""
    container = CONTAINERS[unit.image]
    program, *words = judge.command
    options, port = scratch_ports(judge)
    name = f"{docker.project}-judge"
    argv = _run(folder, name, unit, service, [container.program or program, *words, *options])
    probe = replace(unit.probe, endpoint=replace(unit.probe.endpoint, port=port))

    def remove() -> None:
        docker.run("rm", "--force", name, what="deleting a container", ok=range(256))

    def answers() -> bool:
        asked = ("exec", name, *container.health(probe))
        return docker.run(*asked, what="asking Docker", ok=range(256)).code == 0

    remove()  # of a trial that was cut off
    try:
        if judge.ports:
            return by_its_log(unit, judge, argv, docker.env, log, answers)
        return by_its_loader(unit, judge, argv, docker.env)
    finally:
        remove()


def _run(
    folder: Path, name: str, unit: Unit, service: Mapping[str, Any], command: Sequence[str]
) -> list[str]:
    """`docker run` as Compose would do it, without the networks, ports, sockets and volumes of the running one."""
    program, *words = command
    if unit.name == "synapse":  # whose own modules are found by PYTHONPATH
        words = [word for word in words if word != "-I"]
    data = data_of(unit.name)
    mine = "uid={},gid={},mode=0700".format(*service["user"].split(":"))
    writable = {place.partition(":")[0]: place for place in (f"{data}:{mine}", *service["tmpfs"])}
    return [
        *("docker", "run", "--rm", "--pull=never", "--log-driver=none", f"--name={name}"),
        *("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true"),
        *(f"--cap-add={right}" for right in service.get("cap_add", [])),
        *(f"--user={service['user']}", "--workdir=/", f"--memory={service['mem_limit']}"),
        f"--network={service.get('network_mode', 'none')}",
        *(f"--env={variable}={value}" for variable, value in service["environment"].items()),
        *(
            f"--mount=type=bind,{_field(f'source={source}')},{_field(f'target={target}')},readonly"
            for source, target in _mounts(folder, service, data)
        ),
        *(f"--tmpfs={place}" for place in writable.values()),
        f"--entrypoint={program}",
        *(service["image"], *words),
    ]


def _mounts(folder: Path, service: Mapping[str, Any], data: Path) -> list[tuple[Path, Path]]:
    """(file or folder here, in the container) of configuration and secrets."""
    found = [(folder / "secrets" / secret, SECRETS / secret) for secret in service.get("secrets", [])]
    for mount in service["volumes"]:
        source, target, *how = mount.split(":")
        if how == ["ro"] and not Path(target).is_relative_to(data):
            found.append((folder / source, Path(target)))
    return found


def _field(text: str) -> str:
    """As in CSV, by which Docker reads a mount."""
    return '"' + text.replace('"', '""') + '"'
