"""Columns."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime.cli.table import columns


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("ab", max_size=5), st.text("ab", min_size=1, max_size=5)), max_size=5))
def test_columns_line_up(rows):
    lines = columns(rows)
    width = max((len(row[0]) for row in rows), default=0)
    assert lines == [f"{first.ljust(width)}  {second}" for first, second in rows]
