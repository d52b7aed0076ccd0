"""How do columns line up? Each as wide as its widest cell; the last one is free.

Called by the commands that print tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def columns(rows: Iterable[Sequence[str]], *, indent: str = "") -> list[str]:
    """Return rows as lines with aligned columns, without spaces at their ends.

    Parameters
    ----------
    rows
        The cells; each row has the same number of them.
    indent
        What each line begins with.
    """
    table = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]
