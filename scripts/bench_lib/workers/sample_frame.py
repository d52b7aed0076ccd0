"""Data frame of eight columns of every common kind, the same in each process, by pandas or polars.

The programs ``frames`` and ``frames_raw`` share it, the step from one task to the next, and the check of the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl

STEPS = 4


def make(rows: int, kind: str) -> Any:
    """Return the frame of a format: two columns of integers, three of floats, words, times, truth values."""
    frame = make_pandas(rows)
    return pl.from_pandas(frame) if kind.startswith("polars-") else frame


def make_pandas(rows: int) -> pd.DataFrame:
    """Return the frame of pandas."""
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


def step(frame: Any) -> Any:
    """Return the frame with one more in the first column."""
    if isinstance(frame, pl.DataFrame):
        return frame.with_columns(pl.col("count") + 1)
    frame["count"] += 1
    return frame


def check(first: int, last: Any) -> None:
    """Raise SystemExit unless the sum of the last frame's first column is that of the first one plus all steps."""
    actual, expected = int(last["count"].sum()), first + STEPS * len(last)
    if actual != expected or last.shape[1] != 8:
        raise SystemExit(f"wrong frame: {actual} instead of {expected}, {last.shape[1]} columns")
