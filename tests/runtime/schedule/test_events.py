"""A build is told in one line."""

from __future__ import annotations

import pytest

from kart_runtime.schedule.events import Summary


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (Summary(7, 5, 2, 0, seconds=3.21), "7 tasks: 5 ran, 2 already complete (3.2 s)"),
        (Summary(7, 0, 7, 0, seconds=0.1), "Nothing to run: 7 tasks: 0 ran, 7 already complete (0.1 s)"),
        (Summary(1, 1, 0, 0, seconds=100), "1 task: 1 ran, 0 already complete (1 min 40 s)"),
        (
            Summary(2, 1, 0, 1, seconds=7300),
            "2 tasks: 1 ran, 0 already complete, 1 not needed (2 h 1 min)",
        ),
    ],
)
def test_a_summary_is_one_line(summary, text):
    assert summary.text() == text
