"""The default output has the suffix of its class, or that of its declared type, or is a pickle file."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import re
from typing import Any, Literal, TypedDict

import luigi
import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from matplotlib.figure import Figure
from PIL import Image

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import UnknownFormat
from kart_runtime.task.declared_type import suffix_by_type
from kart_runtime.task.parameters import Override, overriding


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Metrics:
    auc: float
    day: dt.date | None = None
    color: Color = Color.RED


@dataclasses.dataclass
class WithModel:
    model: Any


class Score(TypedDict):
    mean: float


@pytest.mark.parametrize(
    ("declared", "suffix"),
    [
        (pd.DataFrame, ".parquet"),
        (pd.Series, ".parquet"),
        (pl.DataFrame, ".parquet"),
        (pl.LazyFrame, ".parquet"),
        (pa.Table, ".parquet"),
        (np.ndarray, ".npy"),
        (npt.NDArray[np.float64], ".npy"),
        (np.ma.MaskedArray, ".npz"),
        (dict[str, np.ndarray], ".npz"),
        (scipy.sparse.csr_matrix, ".npz"),
        (str, ".txt"),
        (bytes, ".bin"),
        (int, ".json"),
        (float, ".json"),
        (bool, ".json"),
        (dt.date, ".json"),
        (Color, ".json"),
        (Metrics, ".json"),
        (Score, ".json"),
        (list[int], ".json"),
        (list[Metrics], ".json"),
        (dict[str, dict[str, float]], ".json"),
        (dict[str, Score], ".json"),
        (int | None, ".json"),
        (Literal["a", "b"], ".json"),
        (Figure, ".png"),
        (Image.Image, ".png"),
        (plotly.graph_objects.Figure, ".html"),
        (dict, ".pkl"),
        (list, ".pkl"),
        (dict[str, Any], ".pkl"),
        (list[object], ".pkl"),
        (dict[str, pd.DataFrame], ".pkl"),
        (pd.DataFrame | None, ".pkl"),
        (WithModel, ".pkl"),
        (Any, ".pkl"),
        (None, ".pkl"),
        (object, ".pkl"),
    ],
)
def test_a_type_has_a_suffix_that_gives_it_back(declared, suffix):
    assert suffix_by_type(declared) == suffix


class Frame(TaskOnKart[pd.DataFrame]):
    n = luigi.IntParameter(default=1)

    def run(self):
        self.dump(pd.DataFrame({"a": [self.n]}))


class Csv(Frame):
    suffix = ".csv.gz"


class Pickled(Frame):
    suffix = "pkl"


class Untyped(TaskOnKart):
    def run(self):
        self.dump(1)


def suffix_of(task):
    return re.fullmatch(rf".*/{type(task).__name__}_{task.make_unique_id()}(\..*)", task.output().path())[1]


@pytest.mark.parametrize(
    ("task", "default", "by_type"),
    [(Frame, ".pkl", ".parquet"), (Csv, ".csv.gz", ".csv.gz"), (Pickled, ".pkl", ".pkl"), (Untyped, ".pkl", ".pkl")],
)
def test_the_class_decides_then_the_type(task, default, by_type):
    assert suffix_of(task()) == default
    assert suffix_of(task(suffix_by_type=True)) == by_type


def test_the_id_does_not_depend_on_the_suffix():
    assert Frame().make_unique_id() == Frame(suffix_by_type=True).make_unique_id()


EARLY = Frame(n=5)


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_a_project_chooses_by_type_in_every_executor(tmp_path, executor):
    every = {
        TaskOnKart: {
            "suffix_by_type": Override(True, "a test"),
            "workspace_directory": Override(f"{tmp_path}/", "a test"),
        }
    }
    with overriding(every):
        build([Frame(n=2), Csv(), EARLY], executor=executor, workers=1 if executor == "serial" else 2)
        assert suffix_of(EARLY) == ".parquet"  # made before there was a configuration
    assert len(list(tmp_path.rglob("Frame_*.parquet"))) == 2
    assert len(list(tmp_path.rglob("Csv_*.csv.gz"))) == 1


def test_an_unknown_suffix_of_a_class_names_the_task():
    class Wrong(Frame):
        suffix = ".parqet"

    with pytest.raises(UnknownFormat, match=r"an output of Wrong\[.*Did you mean '.parquet'"):
        Wrong().output()


def test_what_a_program_calls_suffix_is_its_own():
    class Parameter(Frame):
        suffix = luigi.Parameter(default=".csv")

    class Attribute(Frame):
        suffix = "_train"

    class Method(Frame):
        def suffix(self):
            return ".csv"

    class Property(Frame):
        @property
        def suffix(self):
            return ".csv"

    assert [suffix_of(kind()) for kind in (Parameter, Attribute, Method, Property)] == [".pkl"] * 4
