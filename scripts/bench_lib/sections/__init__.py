"""Sections: functions that take a `Bench` and fill its cells.

To add one, write a module here, add it to `SECTIONS`, and give it a table in `bench_lib.tables`.
"""

from __future__ import annotations

from collections.abc import Callable

from bench_lib.bench import Bench
from bench_lib.sections import display, dynamic, frames, graphs, history, parallel, processes, recording, remote

SECTIONS: dict[str, Callable[[Bench], None]] = {
    "graphs": graphs.graphs,
    "growth": graphs.growth,
    "memory": graphs.memory,
    "imports": processes.imports,
    "hello": processes.hello,
    "frames": frames.frames,
    "parallel": parallel.parallel,
    "dynamic": dynamic.dynamic,
    "history": history.history,
    "display": display.display,
    "recording": recording.recording,
    "remote": remote.remote,
    "value": remote.values,
}
