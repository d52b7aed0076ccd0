"""Options of readers: they reach the library that the declared type names, and mistakes in them are explained."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import luigi
import numpy as np
import pandas as pd
import polars as pl
import pytest

from kart_runtime import BuildFailed, InputFile, TaskOnKart, build
from kart_runtime.errors import PlanError
from kart_runtime.storage.codecs.reading import CannotRead, read

CSV = "zip;price;day\n01234;1,5;2026-01-01\n00001;2,0;2026-01-02\n"


def sales(name: str, value: bytes | str) -> str:
    Path(name).write_bytes(value if isinstance(value, bytes) else value.encode())
    return name


def table_of(frame_type, options, path):
    return read(path, io.BytesIO(Path(path).read_bytes()), frame_type, options)


def test_pandas_reads_csv():
    options = {"sep": ";", "decimal": ",", "dtype": {"zip": "str"}, "usecols": ["zip", "price", "day"]}
    frame = table_of(pd.DataFrame, {**options, "parse_dates": ["day"]}, sales("sales.csv", CSV))
    assert list(frame["zip"]) == ["01234", "00001"]
    assert frame["price"].sum() == 3.5
    assert frame["day"].dt.day.to_list() == [1, 2]
    assert table_of(None, options, "sales.csv").equals(table_of(pd.DataFrame, options, "sales.csv"))


@pytest.mark.parametrize("frame", [pl.DataFrame, pl.LazyFrame])
def test_polars_reads_csv(frame):
    path = sales("sales.csv", CSV)
    options = {"separator": ";", "schema_overrides": {"zip": "str", "day": "Date"}}
    for opened in (Path(path).open, lambda _: io.BytesIO(CSV.encode())):
        with opened("rb") as file:
            value = read(path, file, frame, options)
        assert isinstance(value, frame)
        assert value.lazy().collect_schema()["zip"] == pl.String
        assert value.lazy().collect_schema()["day"] == pl.Date
        assert value.lazy().collect()["zip"].to_list() == ["01234", "00001"]


def test_other_formats():
    frame = pd.DataFrame({"zip": ["01", "02"], "n": [1, 2]})
    with pd.ExcelWriter("book.xlsx") as book:
        frame.to_excel(book, sheet_name="2023", index=False)
        frame.head(1).to_excel(book, sheet_name="2024", index=False)
    frame.to_parquet("x.parquet")
    frame.to_json("x.jsonl", orient="records", lines=True)
    sales("x.csv.gz", gzip.compress(b"zip|n\n01|1\n"))
    sales("x.tsv", "zip\tn\n01\t1\n")
    sales("x.data", "01 1\n")
    typed = {"dtype": {"zip": "str"}}
    assert table_of(pd.DataFrame, {"sheet_name": "2024", **typed}, "book.xlsx").equals(frame.head(1))
    assert list(table_of(pd.DataFrame, {"columns": ["n"]}, "x.parquet")) == ["n"]
    assert table_of(pl.DataFrame, {"columns": ["n"]}, "x.parquet").columns == ["n"]
    assert table_of(pl.LazyFrame, {"n_rows": 1}, "x.parquet").collect().height == 1
    assert list(table_of(pd.DataFrame, typed, "x.jsonl")["zip"]) == ["01", "02"]
    assert list(table_of(pd.DataFrame, {"sep": "|", **typed}, "x.csv.gz")["zip"]) == ["01"]
    assert list(table_of(pd.DataFrame, typed, "x.tsv")["zip"]) == ["01"]
    assert list(table_of(pd.DataFrame, {"sep": " ", "header": None, "names": ["zip", "n"]}, "x.data")["n"]) == [1]
    assert table_of(pd.Series, {"usecols": ["n"], "sep": "|"}, "x.csv.gz").to_list() == [1]
    assert table_of(str, {"encoding": "cp1252"}, sales("x.txt", "ä".encode("cp1252"))) == "ä"


@pytest.mark.parametrize(
    ("frame", "path", "options", "message"),
    [
        (pd.DataFrame, "x.csv", {"spe": ";"}, "pandas.read_csv has no option 'spe'. Did you mean 'sep'?"),
        (pl.DataFrame, "x.csv", {"seperator": ";"}, "polars.read_csv has no option .* Did you mean 'separator'"),
        (pl.LazyFrame, "x.csv", {"seperator": ";"}, "polars.scan_csv has no option .* Did you mean 'separator'"),
        (pd.DataFrame, "x.csv", {"usecols": ["b"]}, "read by pandas.read_csv .*b"),
        (pd.DataFrame, "x.parquet", {"colums": ["b"]}, "read by pandas.read_parquet .*colums"),
        (pd.DataFrame, "x.csv", {"dtype": {"a": "strng"}}, "pandas.read_csv .*strng"),
        (pl.DataFrame, "x.csv", {"schema_overrides": {"a": "Sting"}}, "no type 'Sting'. Did you mean 'String'"),
        (pl.LazyFrame, "x.csv", {"schema_overrides": {"a": "Sting"}}, "no type 'Sting'. Did you mean 'String'"),
        (pd.DataFrame, "x.png", {"sep": ";"}, "no function for '.png'. Set a processor"),
        (pl.DataFrame, "x.png", {"sep": ";"}, "no function for '.png'. Set a processor"),
        (dict, "x.json", {"sep": ";"}, "options are for tables and text, and the declared type is dict"),
        (str, "x.txt", {"encodng": "cp1252"}, "no option 'encodng'. Did you mean 'encoding'"),
    ],
)
def test_a_mistake_is_explained(frame, path, options, message):
    content = b"a\n1\n"
    if path.endswith(".parquet"):
        pd.DataFrame({"a": [1]}).to_parquet(file := io.BytesIO())
        content = file.getvalue()
    with pytest.raises(CannotRead, match=message) as raised:
        table_of(frame, options, sales(path, content))
    assert path in str(raised.value)


# -- as parameters of input files ------------------------------------------------------------------------------------


class Sales(InputFile[pd.DataFrame]):
    path = luigi.Parameter(default="sales.csv")
    options = {"sep": ";", "dtype": {"zip": str, "price": np.float64}, "decimal": ","}


class Total(TaskOnKart[float]):
    root: luigi.Parameter[str] = luigi.Parameter(significant=False)

    def requires(self):
        return Sales(root=self.root)

    def run(self):
        assert list(self.load()["zip"]) == ["01234", "00001"]
        self.dump(float(self.load()["price"].sum()))


def test_options_of_a_class_in_worker_processes(tmp_path):
    sales("sales.csv", CSV)
    assert build(Total(root=str(tmp_path)), executor="processes", workers=2) == 3.5


def test_options_count_in_the_id_and_none_leave_it_as_it_was(tmp_path):
    sales("sales.csv", CSV)
    plain = InputFile("sales.csv", root=str(tmp_path))
    assert plain.to_str_params(only_significant=True).keys() == {"path", "path.content"}
    assert "options" not in str(plain)
    ids = {
        InputFile("sales.csv", root=str(tmp_path), options=options).make_unique_id()
        for options in ({}, {"sep": ";"}, {"sep": ";", "dtype": {"zip": str}})
    }
    assert plain.make_unique_id() in ids
    assert len(ids) == 3
    one = InputFile("sales.csv", root=str(tmp_path), options={"sep": ";", "dtype": {"zip": str}})
    other = InputFile("sales.csv", root=str(tmp_path), options={"dtype": {"zip": "str"}, "sep": ";"})
    assert one.make_unique_id() == other.make_unique_id()


def test_options_that_have_no_text_are_refused():
    with pytest.raises(ValueError, match="set a processor"):
        InputFile("sales.csv", options={"converters": {"zip": lambda text: text}})


def test_a_processor_has_options_of_its_own(tmp_path):
    class Both(Sales):
        processor = object()

    sales("sales.csv", CSV)
    with pytest.raises(PlanError, match="has options and a processor"):
        build(Both(root=str(tmp_path)))


def test_a_failed_build_names_file_reader_and_option(tmp_path):
    class Wrong(TaskOnKart[int]):
        def requires(self):
            return Sales(root=str(tmp_path), options={"sheet": "2024"})

        def run(self):
            self.load()

    sales("sales.csv", CSV)
    with pytest.raises(BuildFailed, match=r"sales\.csv .*pandas\.read_csv has no option 'sheet'"):
        build(Wrong())
