"""Polars frames come back in every format, also through files that cannot seek, and lazily where there is a path."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs.frames import Csv, Feather, Parquet, Tsv
from kart_runtime.storage.codecs.json_values import Json, JsonLines

FRAME = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "é"]})
CODECS = [Csv(), Tsv(), Parquet(), Feather(), Json(), JsonLines()]


class Unseekable:
    mode = "rb"
    closed = False

    def __init__(self, data=b""):
        self.data = io.BytesIO(data)

    def read(self, size=-1):
        return self.data.read(size)

    def write(self, data):
        return self.data.write(data)

    def flush(self):
        pass

    def seekable(self):
        return False


@pytest.fixture(params=CODECS, ids=lambda codec: type(codec).__name__)
def codec(request):
    return request.param


@pytest.mark.parametrize("value", [FRAME, FRAME.lazy(), FRAME.clear()], ids=["eager", "lazy", "empty"])
def test_a_frame_comes_back(codec, value):
    file = Unseekable()
    codec.dump(value, file)
    written = file.data.getvalue()
    expected = value.lazy().collect()
    for as_type in (pl.DataFrame, pl.LazyFrame):
        read = codec.load(Unseekable(written), as_type)
        assert isinstance(read, as_type)
        if len(expected) or isinstance(codec, Parquet | Feather):
            assert read.lazy().collect().equals(expected)
        assert len(read.lazy().collect()) == len(expected)


def test_a_file_stays_open(codec):
    file = io.BytesIO()
    codec.dump(FRAME.lazy(), file)
    assert not file.closed
    assert file.getvalue()


@pytest.mark.parametrize("codec", [Csv(), Parquet(), Feather(), JsonLines()], ids=lambda codec: type(codec).__name__)
def test_a_frame_of_a_file_with_a_path_is_read_when_it_is_collected(codec, monkeypatch, tmp_path):
    with Path("x").open("wb") as file:
        codec.dump(FRAME, file)
    with Path("x").open("rb") as file:
        lazy = codec.load(file, pl.LazyFrame)
    assert "SCAN" in lazy.explain().upper()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert lazy.collect().equals(FRAME)


@pytest.mark.parametrize("name", ["date=2026/x", "pattern[1]*?/x"])
@pytest.mark.parametrize("as_type", [pl.DataFrame, pl.LazyFrame])
def test_a_local_file_is_read_whatever_its_name(codec, name, as_type):
    frame = pl.DataFrame({"a": range(10_000), "b": [f"text {number}" for number in range(10_000)]})
    Path(name).parent.mkdir()
    with Path(name).open("wb") as file:
        codec.dump(frame, file)
    with Path(name).open("rb") as file:
        value = codec.load(file, as_type)
        assert not file.closed
    assert value.lazy().collect().equals(frame)


def test_a_frame_outlives_its_file(codec):
    with Path("x").open("wb") as file:
        codec.dump(FRAME, file)
    with Path("x").open("rb") as file:
        read = codec.load(file, pl.DataFrame)
    Path("x").write_bytes(b"")
    assert read.equals(FRAME)


def test_the_file_is_read_that_was_opened(codec):
    for name, frame in (("x", FRAME), ("other", FRAME.head(1))):
        with Path(name).open("wb") as file:
            codec.dump(frame, file)
    with Path("x").open("rb") as file:
        Path("other").replace("x")
        assert codec.load(file, pl.DataFrame).equals(FRAME)


def test_an_empty_local_file_is_an_empty_frame():
    Path("x").touch()
    for codec in (Csv(), Json(), JsonLines()):
        with Path("x").open("rb") as file:
            assert codec.load(file, pl.DataFrame).is_empty()


def test_the_other_library_reads_it(codec):
    file = io.BytesIO()
    codec.dump(FRAME, file)
    file.seek(0)
    read = codec.load(file, pd.DataFrame)
    assert list(read["a"]) == [1, 2, 3]


def test_other_encodings():
    file = io.BytesIO()
    Csv(encoding="cp932").dump(pl.DataFrame({"a": ["ア"]}).lazy(), file)
    assert file.getvalue().decode("cp932") == "a\nア\n"


def test_series_of_polars_are_refused(codec):
    with pytest.raises(CannotEncode, match="Series"):
        codec.dump(FRAME["a"], io.BytesIO())


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_compression(compression):
    file = io.BytesIO()
    Parquet(compression=compression).dump(FRAME, file)
    file.seek(0)
    assert Parquet().load(file, pl.DataFrame).equals(FRAME)
