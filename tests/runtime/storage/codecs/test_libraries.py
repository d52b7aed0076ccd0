"""Types are told apart by the library they come from."""

from __future__ import annotations

import sys
from typing import Any, Generic, TypeVar

import pandas as pd
import polars as pl
import pytest

from kart_runtime.storage.codecs.libraries import is_series, library_of, optional, pandas_for

T = TypeVar("T")


class Typed(pd.DataFrame, Generic[T]):
    pass


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (pd.DataFrame, "pandas"),
        (pd.Series, "pandas"),
        (Typed[int], "pandas"),
        (pl.DataFrame, "polars"),
        (pl.LazyFrame, "polars-lazy"),
        (pl.LazyFrame | None, "polars-lazy"),
        (pl.Series, None),
        (pd.Timestamp, None),
        (dict[str, int], None),
        (int, None),
        (Any, None),
        (None, None),
        ("text", None),
    ],
)
def test_tables_are_told_apart(declared, expected):
    assert library_of(declared) == expected


def test_series_are_told_apart():
    assert is_series(pd.Series)
    assert not is_series(pd.DataFrame)


def test_a_missing_library_is_named(monkeypatch):
    assert optional("no_such_module") is None
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert pandas_for("csv") is pd
    with pytest.raises(ImportError, match=r"parquet files need pandas and pyarrow\. Write kart-runtime\[pandas\] into"):
        pandas_for("parquet", arrow=True)
