"""Files that gokart 1.12.2 wrote are read with their values; see `recorded/files`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from kart_runtime.storage.codecs.archive import Archive
from kart_runtime.storage.codecs.frames import Csv
from kart_runtime.storage.registry import codec_for

FILES = Path(__file__).parents[2] / "recorded" / "files"
FRAME = pd.DataFrame({"whole": [1, 2], "text": ["a", 'é, "b"'], "real": [0.5, np.nan]})
KEYED = FRAME.set_axis(pd.Index([3, 1], name="key"), axis=0)
POLARS = pl.DataFrame({"whole": [1, 2], "text": ["a", 'é, "b"'], "real": [0.5, None]})


def read(name, as_type=None):
    with (FILES / name).open("rb") as file:
        return codec_for(name).load(file, as_type)


@pytest.mark.parametrize("name", ["frame.csv", "frame.tsv", "frame.ndjson", "frame.parquet"])
@pytest.mark.parametrize("as_type", [None, pd.DataFrame])
def test_frames(name, as_type):
    pd.testing.assert_frame_equal(read(name, as_type), FRAME)


def test_frames_with_an_index():
    pd.testing.assert_frame_equal(read("frame.json"), FRAME)
    pd.testing.assert_frame_equal(read("frame.feather"), KEYED)
    pd.testing.assert_frame_equal(read("frame.pkl"), KEYED)


@pytest.mark.parametrize("suffix", ["csv", "json", "ndjson", "parquet", "feather"])
def test_frames_of_polars(suffix):
    name = f"polars.{suffix}"
    assert read(name, pl.DataFrame).equals(POLARS)
    lazy = read(name, pl.LazyFrame)
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().equals(POLARS)
    pd.testing.assert_frame_equal(read(name, pd.DataFrame), FRAME)


def test_other_encodings():
    with (FILES / "sjis.csv").open("rb") as file:
        assert list(Csv(encoding="cp932").load(file)["text"]) == ["ア", "b"]
    with (FILES / "sjis.csv").open("rb") as file:
        assert list(Csv(encoding="cp932").load(file, pl.LazyFrame).collect()["text"]) == ["ア", "b"]


@pytest.mark.parametrize("as_type", [None, pd.DataFrame, pl.DataFrame, pl.LazyFrame])
def test_an_empty_csv(as_type):
    read_ = read("empty.csv", as_type)
    assert isinstance(read_, as_type or pd.DataFrame)
    assert (read_.collect() if as_type is pl.LazyFrame else read_).shape == (0, 0)


def test_dicts_in_json_are_frames_to_who_declares_nothing():
    expected = pd.DataFrame({"A": [1, 2], "B": ["x", "y"]})
    pd.testing.assert_frame_equal(read("dict.json"), expected)
    pd.testing.assert_frame_equal(read("dict.ndjson"), expected)
    assert read("empty_dict.json").equals(pd.DataFrame())
    assert read("dict.json", dict) == {"A": {"0": 1, "1": 2}, "B": {"0": "x", "1": "y"}}
    assert read("dict.ndjson", list) == [{"A": 1, "B": "x"}, {"A": 2, "B": "y"}]


def test_text_arrays_and_bytes():
    assert read("lines.txt") == read("lines.gz") == ["a", "1", "é"]
    assert read("text.ini") == ["[a]", "b = é"]
    assert read("text.ini", str) == "[a]\nb = é\n"
    assert read("array.npz").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read("picture.png") == b"\x89PNG\r\n"


def test_pickles_of_dill():
    assert read("plain.pkl") == {"a": [1, 2.5, "é", None]}
    assert read("lambda.pkl")(2) == 6
    assert read("local_class.pkl").times() == 40


def test_a_pickle_of_dill_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "dill"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dill", None)
    with pytest.raises(ImportError, match="pip install dill"):
        read("lambda.pkl")


def test_models(tmp_path):
    data = (FILES / "model.zip").read_bytes()
    assert Archive(None, None, str(tmp_path / "t")).load(io.BytesIO(data)) == "model more"
    assert Archive(None, lambda path: Path(path).read_text()).load(io.BytesIO(data)) == "model "
    assert list((tmp_path / "t").iterdir()) == []
