"""kart_runtime and gokart: five tasks that pass on a data frame; only the import differs.

``frames FORMAT ROWS ENGINE [MB]``; MB is the size of kart_runtime's cache of values, else its default.

Prints CPU and wall seconds of the build. The frame is created before, and all libraries are loaded.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

import luigi
import pandas as pd
import polars as pl
import pyarrow.feather
import pyarrow.parquet  # noqa: F401  # loaded by the engines on first use

from bench_lib.child import report
from bench_lib.workers import sample_frame

FORMAT, ROWS = sys.argv[1], int(sys.argv[2])
engine: Any = importlib.import_module(sys.argv[3])
build = engine.build
TYPE: Any = pl.DataFrame if FORMAT.startswith("polars-") else pd.DataFrame
SUFFIX = FORMAT.removeprefix("polars-")
Base: Any = engine.TaskOnKart[TYPE]
frames: list[Any] = []


class First(Base):  # type: ignore[misc]
    """Task that stores the frame first."""

    def output(self) -> Any:
        """Return a target of the format."""
        return self.make_target(f"first.{SUFFIX}")

    def run(self) -> None:
        """Store the frame that was created before the clock started."""
        self.dump(frames[0])


class Next(Base):  # type: ignore[misc]
    """Task that loads the frame of the task before, changes one column and stores it."""

    i = luigi.IntParameter()

    def requires(self) -> Any:
        """Return the previous task."""
        return Next(i=self.i - 1) if self.i > 1 else First()

    def output(self) -> Any:
        """Return a target of the format."""
        return self.make_target(f"next.{SUFFIX}")

    def run(self) -> None:
        """Load, change, store."""
        self.dump(sample_frame.step(self.load()))


if __name__ == "__main__":
    frames.append(sample_frame.make(ROWS, FORMAT))
    total = int(frames[0]["count"].sum())
    last = Next(i=sample_frame.STEPS)
    wall, cpu = time.perf_counter(), time.process_time()
    build(last, return_value=False, **({"value_cache_mb": int(sys.argv[4])} if len(sys.argv) > 4 else {}))
    report(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)
    sample_frame.check(total, last.output().load())
