"""Data frame that the tasks pass on: eight columns of every common kind, the same in each process.

Used by the programs `frames` and `frames_raw`, which also share the step from one task to the next and the check.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

STEPS = 4


def make(rows: int) -> pd.DataFrame:
    """Return the frame: two columns of integers, three of floats, words, times, booleans."""
    generator = np.random.default_rng(20260101)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(generator.choice(letters, size)) for size in generator.integers(4, 13, 1_000)], object)
    return pd.DataFrame(
        {
            "count": generator.integers(0, 1_000, rows),
            "key": generator.integers(0, 2**40, rows),
            "price": generator.random(rows) * 100,
            "weight": generator.standard_normal(rows),
            "share": generator.random(rows).round(4),
            "word": words[generator.integers(0, 1_000, rows)],
            "time": pd.Timestamp("2026-01-01").to_datetime64().astype("datetime64[ns]")
            + generator.integers(0, 10**9, rows).astype("timedelta64[s]"),
            "flag": generator.random(rows) < 0.5,
        }
    )


def step(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the first column incremented."""
    frame["count"] += 1
    return frame


def check(first: int, last: pd.DataFrame) -> None:
    """Raise SystemExit unless the sum of the last task's frame is that of the first one after all steps."""
    total, expected = int(last["count"].sum()), first + STEPS * len(last)
    if total != expected or last.shape[1] != 8:
        raise SystemExit(f"wrong frame: {total} instead of {expected}, {last.shape[1]} columns")
