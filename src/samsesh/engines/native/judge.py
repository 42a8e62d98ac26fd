"""Has a unit's program judge its new files, which are in a folder of their own meanwhile."""

import shutil
from dataclasses import replace

from samsesh.engines.native.files import probe_data
from samsesh.engines.native.start import answers
from samsesh.home import Home
from samsesh.judging import Judged, by_its_loader, by_its_log, scratch_ports
from samsesh.model import Judge, Unit
from samsesh.run import service_environment
from samsesh.write import make_dir, write_file


def judge_unit(home: Home, unit: Unit, judge: Judge) -> Judged:
    env = service_environment({"TZ": "UTC", **unit.env})
    try:
        make_dir(home.judged_dir)
        for file in judge.files:
            write_file(file.path, file.content, file.mode)
        if not judge.ports:
            return by_its_loader(unit, judge, judge.command, env)
        options, port = scratch_ports(judge)
        endpoint = replace(unit.probe.endpoint, port=port)
        probe = probe_data(unit.title, replace(unit.probe, endpoint=endpoint))
        log = home.judged_dir / "log"
        return by_its_log(unit, judge, [*judge.command, *options], env, log, lambda: answers(probe)[0])
    finally:
        shutil.rmtree(home.judged_dir, ignore_errors=True)
