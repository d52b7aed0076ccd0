"""Which data frame goes through the tasks? One of eight columns of every common kind, the same in each process.

Called by the programs ``frames`` and ``frames_raw``, which also share the step from one task to the next and the check.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

STEPS = 4


def make(rows: int) -> pd.DataFrame:
    """Return the frame: two columns of integers, three of floats, words, times, truth values."""
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
    """Return the frame with one more in the first column."""
    frame["count"] += 1
    return frame


def check(first: int, last: pd.DataFrame) -> None:
    """Raise SystemExit unless the frame of the last task is what the steps make of the first one's sum."""
    found, wanted = int(last["count"].sum()), first + STEPS * len(last)
    if found != wanted or last.shape[1] != 8:
        raise SystemExit(f"wrong frame: {found} instead of {wanted}, {last.shape[1]} columns")
