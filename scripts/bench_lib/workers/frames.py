"""kart_runtime and gokart: a data frame through five tasks; only the import differs.

``frames FORMAT ROWS ENGINE [BYTES]``; BYTES is how much kart_runtime may hand on in memory, else its default.

Says CPU and wall seconds of the build. The frame is made before, and all libraries are loaded.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

import luigi
import pandas as pd
import pyarrow.feather
import pyarrow.parquet  # noqa: F401  # what the engines load when they first need it

from bench_lib.child import say
from bench_lib.workers import a_frame

FORMAT, ROWS = sys.argv[1], int(sys.argv[2])
engine: Any = importlib.import_module(sys.argv[3])
TaskOnKart, build = engine.TaskOnKart, engine.build
made: list[pd.DataFrame] = []


class First(TaskOnKart):  # type: ignore[misc, valid-type]
    """What stores the frame first."""

    def output(self) -> Any:
        """Return a target of the format."""
        return self.make_target(f"first.{FORMAT}")

    def run(self) -> None:
        """Store the frame that was made before the clock started."""
        self.dump(made[0])


class Next(TaskOnKart):  # type: ignore[misc, valid-type]
    """What loads the frame of the task before, changes one column and stores it."""

    i = luigi.IntParameter()

    def requires(self) -> Any:
        """Return the task before."""
        return Next(i=self.i - 1) if self.i > 1 else First()

    def output(self) -> Any:
        """Return a target of the format."""
        return self.make_target(f"next.{FORMAT}")

    def run(self) -> None:
        """Load, change, store."""
        self.dump(a_frame.step(self.load()))


if __name__ == "__main__":
    made.append(a_frame.make(ROWS))
    total = int(made[0]["count"].sum())
    last = Next(i=a_frame.STEPS)
    wall, cpu = time.perf_counter(), time.process_time()
    build(last, return_value=False, **({"hand_off": int(sys.argv[4])} if len(sys.argv) > 4 else {}))
    say(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)
    a_frame.check(total, last.output().load())
