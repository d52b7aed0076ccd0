"""The program that a round runs, kills and runs again: it builds a pipeline and prints all values.

    python -m soak_lib.program PIPELINE WORKSPACE OPTIONS

OPTIONS is a JSON object of options of `build`. The last line is a JSON object: the values, the number of attempts, the
open descriptors, and the time of its clock. `$SOAK_BROKEN` makes the store of files lose the end of some of them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from kart_runtime import TaskFinished, build
from kart_runtime.storage.stores import local
from soak_lib.pipelines import Step, _loaded, _pipeline, decode


def _break_store() -> None:
    """Let a file appear under its name before it is whole: each third one stays cut, which nobody is told."""
    commit, counter = local._Write.commit, iter(range(1, 1_000_000))

    def broken(write: Any) -> None:
        if next(counter) % 3 == 0:
            os.truncate(write.temporary, os.path.getsize(write.temporary) // 2)
        commit(write)

    local._Write.commit = broken  # type: ignore[method-assign]


def main() -> None:
    """Build, and print what came of it."""
    path, workspace, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    if os.environ.get("SOAK_BROKEN"):
        _break_store()
    print("began", flush=True)
    last = len(_pipeline(path)["steps"]) - 1
    tasks = [Step(pipeline=path, number=number, workspace_directory=workspace) for number in range(last + 1)]
    attempts: list[Any] = []

    def note(event: Any) -> None:
        if isinstance(event, TaskFinished):
            attempts.append(event)

    build(tasks[last], return_value=False, on_event=note, **options)
    values = [decode(_loaded(task.output())) for task in tasks]
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    print(json.dumps({"values": values, "ran": len(attempts), "descriptors": descriptors, "time": time.time()}))


if __name__ == "__main__":
    main()
