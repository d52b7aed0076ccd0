"""Many tasks and many builds in one process: what grows with them, beside what each must leave.

    python -m soak_lib.flat {tasks,builds,ready} SMALL LARGE

Each kind runs in two sizes, in a process of its own each. The last line is a JSON object: processor time for each task,
descriptors, threads, handlers of logging, objects and memory, of both sizes. It fails if the large size leaves more
descriptors, threads or handlers, if a task takes more than 1.6 times as long, or more than 12 KB of memory.
"""

from __future__ import annotations

import gc
import json
import logging
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import luigi

from kart_runtime import TaskOnKart, build

_SLOWER, _BYTES = 1.6, 12_000


class Small(TaskOnKart[int]):
    """A task that takes no time."""

    number: Any = luigi.IntParameter()

    def run(self) -> None:
        """Store the number."""
        self.dump(self.number)


class All(TaskOnKart[int]):
    """A task that needs many."""

    count: Any = luigi.IntParameter()

    def requires(self) -> Any:
        """Return the small tasks."""
        return [Small(number=number, workspace_directory=self.workspace_directory) for number in range(self.count)]

    def run(self) -> None:
        """Store the count."""
        self.dump(self.count)


def _work(kind: str, count: int, workspace: str) -> None:
    options: dict[str, Any] = {"progress": False, "return_value": False}
    if kind == "builds":
        for _ in range(count):
            build(Small(number=0, workspace_directory=workspace, rerun=True), **options)
    elif kind == "tasks":
        build(All(count=count, workspace_directory=workspace), **options)
    else:
        build(All(count=count, workspace_directory=workspace), executor="threads", workers=4, **options)


def measure(kind: str, count: int) -> dict[str, float]:
    """Return what a number of tasks or builds takes and leaves, without what the first one does."""
    where = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        _work(kind, 10, f"{folder}/first")
        gc.collect()
        before, began, wall = _state(), time.process_time(), time.perf_counter()
        _work(kind, count, f"{folder}/all")
        seconds, wall = time.process_time() - began, time.perf_counter() - wall
        gc.collect()
        after = _state()
    grown = {f"more_{name}": after[name] - before[name] for name in before}
    return {"count": count, "seconds": round(wall, 2), "us_each": round(seconds / count * 1e6, 1), **grown}


def _state() -> dict[str, float]:
    handlers = sum(
        len(getattr(logger, "handlers", ())) for logger in (logging.root, *logging.root.manager.loggerDict.values())
    )
    return {
        "descriptors": len(list(Path("/proc/self/fd").glob("*"))),
        "threads": threading.active_count(),
        "handlers": handlers,
        "objects": len(gc.get_objects()),
        "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def problems(small: dict[str, float], large: dict[str, float]) -> list[str]:
    """Return what grows with the number of tasks, and should not."""
    found = [
        f"{large[name]:+.0f} {name.removeprefix('more_')} after {large['count']:,}"
        for name in ("more_descriptors", "more_threads", "more_handlers")
        if large[name] > 0
    ]
    if large["us_each"] > _SLOWER * small["us_each"]:
        found.append(f"{large['us_each']} us each for {large['count']:,}, {small['us_each']} us for {small['count']:,}")
    each = 1024 * large["more_peak_kb"] / large["count"]
    if each > _BYTES:
        found.append(f"{each:,.0f} bytes of memory each")
    return found


def main() -> None:
    """Measure both sizes, each in a process of its own."""
    kind, sizes = sys.argv[1], sys.argv[2:]
    if len(sizes) == 1:
        print(json.dumps(measure(kind, int(sizes[0]))))
        return
    command = [sys.executable, "-m", "soak_lib.flat", kind]
    texts = [subprocess.run([*command, size], stdout=subprocess.PIPE, check=True, text=True).stdout for size in sizes]
    small, large = (json.loads(text.splitlines()[-1]) for text in texts)
    print(json.dumps({"small": small, "large": large}))
    found = problems(small, large)
    if found:
        sys.exit(f"{kind}: {'; '.join(found)}")


if __name__ == "__main__":
    main()
