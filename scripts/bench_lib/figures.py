"""Figures computed from cells: medians, costs per task, ratios, the exponent of growth; None if a number is missing.

Used by `tables` and `goals`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from bench_lib.bench import Cell, Cells
from bench_lib.peers import DEEP_GOKART, GOKART
from bench_lib.sections import remote
from bench_lib.sections.graphs import column

MEASURABLE = 0.01  # CPU ms per task: below it, the difference of two processes is noise and a ratio means nothing
NOISE = 50  # CPU ms of a whole run
KIB = 1024


def valid_cell(cells: Cells, section: str, name: str, row: str) -> Cell | None:
    """Return a cell if it has numbers, else None."""
    cell = cells.get((section, name, row))
    return None if cell is None or cell.failure or not cell.samples else cell


def median_of(cell: Cell, what: str) -> float:
    """Return the median over the samples of `cpu`, `wall` or `memory`."""
    return median(float(getattr(sample, what)) for sample in cell.samples)


def reported(cells: Cells, section: str, name: str, row: str, what: str) -> float | None:
    """Return the median of a value that a program reported."""
    cell = valid_cell(cells, section, name, row)
    values: list[float] = [sample.reported[what] for sample in cell.samples if what in sample.reported] if cell else []
    return median(values) if values else None


def display_cost(cells: Cells, name: str, mode: str, count: int) -> float | None:
    """Return the microseconds of CPU that a display adds to each task."""
    off, on = (reported(cells, "display", each, name, "cpu") for each in ("off", mode))
    return None if off is None or on is None else (on - off) / count * 1e6


def process(cells: Cells, section: str, row: str, what: str) -> float | None:
    """Return the median of a whole process."""
    cell = valid_cell(cells, section, "process", row)
    return median_of(cell, what) if cell else None


def per_task(cells: Cells, section: str, shape: str, count: int, row: str) -> float | None:
    """Return CPU milliseconds per task, less the cost of the same program when it only imports."""
    cell = valid_cell(cells, section, column(shape, count), row)
    alone = process(cells, "import", row, "cpu")
    return 1000 * (median_of(cell, "cpu") - alone) / count if cell and alone is not None else None


def gokart_per_task(cells: Cells, section: str, shape: str, count: int) -> float | None:
    """Return gokart's CPU milliseconds per task, with a raised recursion limit if it needs one."""
    cost = per_task(cells, section, shape, count, GOKART.name)
    return per_task(cells, section, shape, count, DEEP_GOKART.name) if cost is None else cost


def ratio(value: float | None, other: float | None, least: float = 0.0) -> float | None:
    """Return value / other if both are known and the other is above `least`."""
    return value / other if value is not None and other is not None and other > least else None


def memory_per_task(cells: Cells, count: int, row: str, than: str = "import") -> float | None:
    """Return KiB of peak memory per task of the grid, above a program that only imports (or runs one task)."""
    cell = valid_cell(cells, "first run", column("grid", count), row)
    alone = process(cells, than, row, "memory")
    return (median_of(cell, "memory") - alone) / count / KIB if cell and alone is not None else None


def requests(cells: Cells, name: str, kinds: Sequence[str], row: str) -> list[float] | None:
    """Return the number of requests of each kind that a graph sent to a service."""
    if valid_cell(cells, "remote", name, row) is None:
        return None
    return [reported(cells, "remote", name, row, f"{remote.REQUESTS}{kind}") or 0.0 for kind in kinds]


def value_memory(cells: Cells, name: str, row: str) -> tuple[float | None, float | None]:
    """Return the MB of peak memory for a large value, and its difference to a small one."""
    whole, small = (valid_cell(cells, "remote value", where, row) for where in (name, f"{name}, small"))
    if whole is None or small is None:
        return None, None
    peak = median_of(whole, "memory") / 1e6
    return peak, peak - median_of(small, "memory") / 1e6


def exponent(cells: Cells, section: str, shape: str, counts: Sequence[int], row: str) -> float | None:
    """Return the slope of log cost over log N (least squares): 1 is linear, 2 is quadratic.

    Costs below `NOISE` do not count: they are differences of two processes, and the ends weigh most.
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
