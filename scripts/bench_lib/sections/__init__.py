"""What is measured? Each section is a function that takes a `Bench` and fills its cells.

To add one: write a module here, name it in ``SECTIONS``, and give it a table in ``bench_lib.tables``.
"""

from __future__ import annotations

from collections.abc import Callable

from bench_lib.bench import Bench
from bench_lib.sections import dynamic, frames, graphs, parallel, processes, remote

SECTIONS: dict[str, Callable[[Bench], None]] = {
    "graphs": graphs.graphs,
    "growth": graphs.growth,
    "memory": graphs.memory,
    "imports": processes.imports,
    "hello": processes.hello,
    "frames": frames.frames,
    "parallel": parallel.parallel,
    "dynamic": dynamic.dynamic,
    "remote": remote.remote,
    "value": remote.values,
}
