"""Which numbers do the cells give? Medians, costs per task, ratios, the exponent of growth; None where there is none.

Called by ``tables`` and ``goals``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from bench_lib.bench import Cells, Measurement
from bench_lib.peers import DEEP_GOKART, GOKART
from bench_lib.sections import remote
from bench_lib.sections.graphs import column

MEASURABLE = 0.01  # CPU ms per task: below it the difference of two processes is noise, and a ratio would mean nothing
NOISE = 50  # CPU ms of a whole run
KIB = 1024


def sound(cells: Cells, section: str, name: str, row: str) -> Measurement | None:
    """Return a cell that has numbers."""
    cell = cells.get((section, name, row))
    return None if cell is None or cell.failure or not cell.samples else cell


def median_of(cell: Measurement, what: str) -> float:
    """Return the median over the samples of ``cpu``, ``wall`` or ``memory``."""
    return median(float(getattr(sample, what)) for sample in cell.samples)


def said(cells: Cells, section: str, name: str, row: str, what: str) -> float | None:
    """Return the median of what a program has measured itself."""
    cell = sound(cells, section, name, row)
    values: list[float] = [sample.said[what] for sample in cell.samples if what in sample.said] if cell else []
    return median(values) if values else None


def process(cells: Cells, section: str, row: str, what: str) -> float | None:
    """Return a median of a whole process."""
    cell = sound(cells, section, "process", row)
    return median_of(cell, what) if cell else None


def per_task(cells: Cells, section: str, shape: str, count: int, row: str) -> float | None:
    """Return CPU milliseconds per task, less what the same program costs when it only imports."""
    cell = sound(cells, section, column(shape, count), row)
    alone = process(cells, "import", row, "cpu")
    return 1000 * (median_of(cell, "cpu") - alone) / count if cell and alone is not None else None


def gokart_per_task(cells: Cells, section: str, shape: str, count: int) -> float | None:
    """Return gokart's CPU milliseconds per task, with the raised recursion limit where it needs that."""
    found = per_task(cells, section, shape, count, GOKART.name)
    return per_task(cells, section, shape, count, DEEP_GOKART.name) if found is None else found


def ratio(value: float | None, other: float | None, least: float = 0.0) -> float | None:
    """Return value / other, where both are known and the other is more than the least."""
    return value / other if value is not None and other is not None and other > least else None


def memory_per_task(cells: Cells, count: int, row: str, than: str = "import") -> float | None:
    """Return KiB of peak memory per task of the grid, above a program that only imports (or that runs one task)."""
    cell = sound(cells, "first run", column("grid", count), row)
    alone = process(cells, than, row, "memory")
    return (median_of(cell, "memory") - alone) / count / KIB if cell and alone is not None else None


def requests(cells: Cells, name: str, kinds: Sequence[str], row: str) -> list[float] | None:
    """Return how many requests a graph on a service has sent of each kind."""
    if sound(cells, "remote", name, row) is None:
        return None
    return [said(cells, "remote", name, row, f"{remote.REQUESTS}{kind}") or 0.0 for kind in kinds]


def value_memory(cells: Cells, name: str, row: str) -> tuple[float | None, float | None]:
    """Return the MB of peak memory that a large value takes, and how much of it a little one does not."""
    whole, floor = (sound(cells, "remote value", where, row) for where in (name, f"{name}, floor"))
    if whole is None or floor is None:
        return None, None
    peak = median_of(whole, "memory") / 1e6
    return peak, peak - median_of(floor, "memory") / 1e6


def exponent(cells: Cells, section: str, shape: str, counts: Sequence[int], row: str) -> float | None:
    """Return the slope of log cost over log N (least squares): 1 is linear, 2 is quadratic.

    What costs less than ``NOISE`` does not count: it is the difference of two processes, and the ends weigh most.
    """
    costs = {count: per_task(cells, section, shape, count, row) for count in counts}
    points = [
        (math.log(count), math.log(cost * count))
        for count, cost in costs.items()
        if cost is not None and cost * count >= NOISE
    ]
    if len(points) < 2:
        return None
    middle_x, middle_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return float(sum((x - middle_x) * (y - middle_y) for x, y in points) / spread)
