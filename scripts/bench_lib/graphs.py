"""Dependencies of the three shapes that every peer builds. Imports nothing, since each worker would pay for it."""

from __future__ import annotations

from collections.abc import Sequence

SHAPES = ("chain", "fan-in", "grid")
GRID_WIDTH = 25


def dependencies(shape: str, count: int, index: int) -> Sequence[int]:
    """Return the dependencies of task `index` of `count`; all have smaller numbers, and `count - 1` is the root.

    chain: the previous task. fan-in: the root requires all others. grid: rows of 25, each task requires three of the
    row above (wrapping around), and the root requires the last 25.
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
