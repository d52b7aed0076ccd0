"""The program that a round runs, kills and runs again: it builds a pipeline and prints all values.

    python -m soak_lib.program PIPELINE WORKSPACE OPTIONS

OPTIONS is a JSON object of options of `build`. The last line is a JSON object: the values, the number of attempts, the
open descriptors, and the time of its clock.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from kart_runtime import TaskFinished, build
from soak_lib.pipelines import Step, _loaded, _pipeline, decode


def main() -> None:
    """Build, and print what came of it."""
    path, workspace, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
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
