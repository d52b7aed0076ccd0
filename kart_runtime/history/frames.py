"""Frames of pandas or polars from rows, or the rows themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from kart_runtime.errors import require_extra
from kart_runtime.history.rows import flat

FrameKind = Literal["pandas", "polars", "rows"]


def frame(rows: Iterable[Mapping[str, Any]], as_: FrameKind, times: Iterable[str] = ("started", "ended")) -> Any:
    """Return rows as a frame, with a column for each entry of a map, and times as such."""
    found = list(rows)
    if as_ == "rows":
        return found
    if as_ not in ("pandas", "polars"):
        raise ValueError(f"as_ is 'pandas', 'polars' or 'rows', not {as_!r}.")
    table = flat(found)
    return _polars(table, times) if as_ == "polars" else _pandas(table, times)


def _pandas(table: list[dict[str, Any]], times: Iterable[str]) -> Any:
    with require_extra("frames of the history need pandas", "pandas"):
        import pandas as pd
    made = pd.DataFrame(table)
    for name in times:
        if name in made:
            made[name] = pd.to_datetime(made[name], format="ISO8601", errors="coerce", utc=True)
    return made


def _polars(table: list[dict[str, Any]], times: Iterable[str]) -> Any:
    with require_extra("frames of the history as polars need polars", "polars"):
        import polars as pl
    made = pl.DataFrame(table, infer_schema_length=None, strict=False)
    for name in times:
        if name in made.columns and made[name].dtype == pl.String:
            parsed = pl.col(name).str.to_datetime(time_zone="UTC", strict=False, format="%+")
            made = made.with_columns(parsed)
    return made
