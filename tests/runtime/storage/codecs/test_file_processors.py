"""Processors that were written for gokart work as codecs; codecs stay what they are."""

from __future__ import annotations

import io
import random
from pathlib import Path

import luigi
import pandas as pd
import pytest

from kart_runtime.errors import UnknownFormat
from kart_runtime.storage.codecs import FileProcessor
from kart_runtime.storage.codecs.file_processors import FileProcessorCodec, as_codec, make_file_processor
from kart_runtime.storage.codecs.frames import Csv, Feather, Parquet
from kart_runtime.storage.codecs.json_values import JsonLines
from kart_runtime.storage.codecs.texts import Text


class Lines(FileProcessor):
    def format(self):
        return None

    def load(self, file):
        return [line.upper() for line in file.readlines()]

    def dump(self, obj, file):
        file.write("\n".join(obj))


class Named(FileProcessor):
    """Opens the file once more, by its name."""

    def format(self):
        return luigi.format.Nop

    def load(self, file):
        return Path(file.name).read_bytes()

    def dump(self, obj, file):
        Path(file.name).write_bytes(obj)


class Zipped(Lines):
    def format(self):
        return luigi.format.Gzip

    def load(self, file):
        return file.read().decode()

    def dump(self, obj, file):
        file.write(obj.encode())


class Encoded(Lines):
    def format(self):
        return luigi.format.TextFormat(encoding="cp932")


class Sorted(Csv):
    def load(self, file):
        return super().load(file).sort_values("a", ignore_index=True)


class Unrelated:
    """Has gokart's methods, and no base of ours."""

    format = staticmethod(lambda: None)

    def load(self, file):
        return file.read()

    def dump(self, obj, file):
        file.write(obj)


class Own:
    def dump(self, value, file):
        file.write(value)

    def load(self, file, as_type=None):
        return file.read()


CASES = [
    (Lines(), ["a", "é"], ["A\n", "É"], "a\né".encode()),
    (Named(), b"\x00", b"\x00", b"\x00"),
    (Zipped(), "text", "text", None),
    (Encoded(), ["ア"], ["ア"], "ア".encode("cp932")),
    (Unrelated(), "x", "x", b"x"),
]


@pytest.mark.parametrize(("processor", "value", "expected", "stored"), CASES)
def test_a_processor_works_on_any_file(processor, value, expected, stored):
    codec = as_codec(processor)
    file = io.BytesIO()
    codec.dump(value, file)
    assert stored is None or file.getvalue() == stored
    assert codec.load(io.BytesIO(file.getvalue())) == expected
    Path("x").write_bytes(file.getvalue())
    with Path("x").open("rb") as opened:
        assert codec.load(opened) == expected


def test_a_subclass_of_a_codec_that_overrides_load_works():
    codec = as_codec(Sorted())
    file = io.BytesIO()
    codec.dump(pd.DataFrame({"a": [2, 1]}), file)
    assert list(codec.load(io.BytesIO(file.getvalue()), pd.DataFrame)["a"]) == [1, 2]


def test_an_error_of_the_processor_comes_through_and_writes_nothing():
    file = io.BytesIO()
    with pytest.raises(TypeError, match="int"):
        as_codec(Lines()).dump([1], file)
    assert file.getvalue() == b""


def test_random_numbers_stay_the_same():
    random.seed(1)
    as_codec(Lines()).dump(["a"], io.BytesIO())
    drawn = random.random()
    random.seed(1)
    assert drawn == random.random()


@pytest.mark.parametrize("codec", [Own(), Text(), Csv(sep=";"), Feather()])
def test_codecs_stay_what_they_are(codec):
    assert as_codec(codec) is codec


def test_the_adapter_says_what_it_adapts():
    assert "Lines" in repr(as_codec(Lines()))
    assert isinstance(as_codec(Lines()), FileProcessorCodec)


def test_a_processor_is_made_for_a_suffix():
    assert isinstance(make_file_processor("x.ndjson"), JsonLines)
    assert make_file_processor("a/x.feather", False).store_index_in_feather is False
    assert make_file_processor("x.tsv", dataframe_type="polars").dataframe_type == "polars"
    assert isinstance(make_file_processor("x.parquet"), Parquet)
    assert isinstance(make_file_processor("x.txt"), Text)
    with pytest.raises(UnknownFormat, match="unsupported"):
        make_file_processor("x.unsupported")


def test_a_base_without_methods_says_so():
    with pytest.raises(NotImplementedError, match="no load"):
        FileProcessor().load(io.BytesIO())
    with pytest.raises(NotImplementedError, match="no dump"):
        FileProcessor().dump(1, io.BytesIO())
