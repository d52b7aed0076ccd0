"""One task that yields many requirements: ``dynamic ENGINE COUNT MODE EXECUTOR WORKERS``.

Reports the number of calls of its `run`, and CPU and wall seconds of the build.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import luigi

from bench_lib.child import report
from bench_lib.workers import engines

ENGINE, COUNT, MODE, EXECUTOR, WORKERS = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
Base: Any = engines.base(ENGINE)
Parameter: Any = luigi.IntParameter
entered: list[int] = []
ran: list[int] = []


class Part(Base):  # type: ignore[misc]
    """A task that is yielded."""

    i = Parameter()

    def run(self) -> None:
        """Store the number."""
        ran.append(self.i)
        self.dump(self.i)


class Whole(Base):  # type: ignore[misc]
    """The task that yields."""

    count = Parameter()

    def run(self) -> Iterator[Any]:
        """Yield the requirements, and store their number."""
        entered.append(self.count)
        parts = [Part(i=i) for i in range(self.count)]
        if MODE == "one list":
            yield parts
        else:
            for part in parts:  # noqa: UP028  # engines send values back, which an iterator of a list does not take
                yield part
        self.dump(self.count)


if __name__ == "__main__":
    wall, cpu = time.perf_counter(), time.process_time()
    engines.build(ENGINE, Whole(count=COUNT), EXECUTOR, WORKERS)
    report(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu, entered=len(entered))
    if sorted(ran) != list(range(COUNT)):
        raise SystemExit(f"wrong: {len(ran)} parts ran")
