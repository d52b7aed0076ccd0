"""The program that a round runs, kills and runs again: it builds a pipeline and prints all values.

    python -m soak_lib.program PIPELINE WORKSPACE OPTIONS

OPTIONS is a JSON object of options of `build`. The last line is a JSON object: the values, the number of attempts, the
open descriptors, and the time of its clock.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from kart_runtime import TaskFinished, build
from soak_lib.pipelines import Step, _loaded, _pipeline, decode


def main() -> None:
    """Build, and print what came of it."""
    os.environ["SOAK_PROGRAM"] = str(os.getpid())  # its workers are part of it
    path, workspace, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    _shift_dates()
    if options["executor"] == "dask":
        _build_on_dask(path, workspace, options)
    else:
        _build(path, workspace, options)


def _build_on_dask(path: str, workspace: str, options: dict[str, Any]) -> None:
    from distributed import LocalCluster

    workers = options.pop("workers")
    with LocalCluster(n_workers=1, threads_per_worker=workers, processes=False, dashboard_address=":0") as cluster:
        _build(path, workspace, options | {"address": cluster.scheduler_address})


def _shift_dates() -> None:
    """Let `datetime.now` of the runtime follow the wrong clock of the round, as `time.time` does."""
    seconds = int(os.environ.get("SOAK_CLOCK", "0"))

    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.datetime.now(tz) + datetime.timedelta(seconds=seconds)

    for name, module in list(sys.modules.items()):
        if seconds and name.startswith("kart_runtime") and vars(module).get("datetime") is datetime.datetime:
            vars(module)["datetime"] = Shifted


def _build(path: str, workspace: str, options: dict[str, Any]) -> None:
    print("began", flush=True)
    last = len(_pipeline(path)["steps"]) - 1
    tasks = [Step(pipeline=path, number=number, workspace_directory=workspace) for number in range(last + 1)]
    attempts: list[Any] = []

    def note(event: Any) -> None:
        if isinstance(event, TaskFinished):
            attempts.append(event)

    build(tasks[last], return_value=False, on_event=note, **options)
    values = [decode(_loaded(task.output())) for task in tasks]
    descriptors = len(list(Path("/proc/self/fd").glob("*")))
    print(json.dumps({"values": values, "ran": len(attempts), "descriptors": descriptors, "time": time.time()}))


if __name__ == "__main__":
    main()
