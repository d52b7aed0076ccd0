"""gokart's names of file formats are ours, and work with the files that gokart's users open."""

from __future__ import annotations

import importlib

import luigi
import numpy as np
import pandas as pd
import polars as pl
import pytest

from kart_runtime.gokart import file_processor as names
from kart_runtime.gokart.file_processor import base, pandas, polars

FRAME = pd.DataFrame({"あ": [1, 2], "b": ["x", "y"]})


def through(processor, value):
    target = luigi.LocalTarget("x", format=processor.format())
    with target.open("w") as file:
        processor.dump(value, file)
    with target.open("r") as file:
        return processor.load(file)


@pytest.mark.parametrize(
    "processor",
    [
        names.CsvFileProcessor(),
        names.CsvFileProcessor("\t", "cp932"),
        names.JsonFileProcessor(),
        names.JsonFileProcessor(orient="records"),
        names.ParquetFileProcessor(),
        names.ParquetFileProcessor(compression="gzip"),
        names.FeatherFileProcessor(store_index_in_feather=True),
        names.FeatherFileProcessor(False),
        names.PickleFileProcessor(),
        pandas.CsvFileProcessorPandas(),
        pandas.JsonFileProcessorPandas(),
        pandas.ParquetFileProcessorPandas(),
        pandas.FeatherFileProcessorPandas(True),
    ],
)
def test_pandas_frames_go_through_files_of_luigi(processor):
    pd.testing.assert_frame_equal(through(processor, FRAME), FRAME)
    assert isinstance(processor, names.FileProcessor)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "ndjson", "parquet", "feather"])
def test_polars_frames_go_through_files_of_luigi(suffix, lazy):
    frame = pl.DataFrame({"あ": [1, 2], "b": ["x", "y"]})
    made = names.make_file_processor(f"x.{suffix}", dataframe_type="polars-lazy" if lazy else "polars")
    for processor in (made, getattr(polars, f"{_title(suffix)}FileProcessorPolars")(**_options(suffix), lazy=lazy)):
        read = through(processor, frame.lazy() if lazy else frame)
        assert isinstance(read, pl.LazyFrame if lazy else pl.DataFrame)
        assert read.lazy().collect().equals(frame)


def _title(suffix):
    return {"tsv": "Csv", "ndjson": "Json"}.get(suffix, suffix.title())


def _options(suffix):
    return {"tsv": {"sep": "\t"}, "ndjson": {"orient": "records"}, "feather": {"store_index_in_feather": False}}.get(
        suffix, {}
    )


def test_other_values_go_through_files_of_luigi():
    assert through(names.TextFileProcessor(), ["a", 1]) == ["a", "1"]
    assert through(names.GzipFileProcessor(), ["a", 1]) == ["a", "1"]
    assert through(names.BinaryFileProcessor(), b"\x00") == b"\x00"
    assert through(names.NpzFileProcessor(), np.arange(3)).tolist() == [0, 1, 2]


def test_other_encodings_are_read():
    FRAME.to_csv("x.csv", encoding="cp932", index=False)
    processor = names.CsvFileProcessor(encoding="cp932")
    with luigi.LocalTarget("x.csv", format=processor.format()).open("r") as file:
        pd.testing.assert_frame_equal(processor.load(file), FRAME)


@pytest.mark.parametrize("module", ["file_processor", "file_processor.base", "file_processor.pandas"])
def test_every_name_is_there(module):
    found = importlib.import_module(f"kart_runtime.gokart.{module}")
    assert all(hasattr(found, name) for name in found.__all__)
    assert base.PickleFileProcessor is names.PickleFileProcessor
