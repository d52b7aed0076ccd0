"""Which task needs which: the three shapes that every peer builds. Imports nothing, since each worker pays for it."""

from __future__ import annotations

from collections.abc import Sequence

SHAPES = ("chain", "fan-in", "grid")
GRID_WIDTH = 25


def dependencies(shape: str, count: int, index: int) -> Sequence[int]:
    """Return the tasks that task ``index`` of ``count`` needs; all are smaller, and ``count - 1`` is the root.

    chain: the task before. fan-in: the root needs all others. grid: rows of 25, each task needs three of the row above
    (wrapping round), and the root needs the last 25.
    """
    if shape == "chain":
        return range(max(index - 1, 0), index)
    if index == count - 1:
        return range(index) if shape == "fan-in" else range(max(index - GRID_WIDTH, 0), index)
    if shape == "fan-in" or index < GRID_WIDTH:
        return ()
    row, column = divmod(index, GRID_WIDTH)
    above = (row - 1) * GRID_WIDTH
    return [above + (column + step) % GRID_WIDTH for step in (-1, 0, 1)]
