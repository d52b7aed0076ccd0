"""gokart and kart_runtime: the same program; only the import differs. Output, five log files (and kart's record).

``kart_build SHAPE COUNT ENGINE [RECURSION_LIMIT]``; the limit is for gokart, which recurses along a chain.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import luigi

from bench_lib.graphs import dependencies

SHAPE, COUNT = sys.argv[1], int(sys.argv[2])
engine: Any = importlib.import_module(sys.argv[3])
TaskOnKart, build = engine.TaskOnKart, engine.build


class Work(TaskOnKart):  # type: ignore[misc, valid-type]
    """Task number `i`."""

    i = luigi.IntParameter()

    def requires(self) -> Any:
        """Return the dependencies in the shape."""
        return [Work(i=other) for other in dependencies(SHAPE, COUNT, self.i)]

    def run(self) -> None:
        """Store the number."""
        self.dump(self.i)


if __name__ == "__main__" and COUNT:
    if len(sys.argv) > 4:
        sys.setrecursionlimit(int(sys.argv[4]))
    build(Work(i=COUNT - 1), return_value=False)
