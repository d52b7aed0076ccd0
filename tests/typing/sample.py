"""A user's pipeline, checked by mypy --strict and pyright without a plugin; never run."""

import datetime
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal, assert_type

import luigi
import pandas as pd
import polars as pl

from kart_runtime import (
    Exporter,
    ExternalTask,
    InputFile,
    ListTaskInstanceParameter,
    Publication,
    Published,
    SecretParameter,
    SqlSource,
    TaskInstanceParameter,
    TaskOnKart,
    WrapperTask,
    build,
    configured,
    find_publication,
    parameter,
    partitions,
    sign_outputs,
)
from kart_runtime.history import CompareTable, History, PastTask


class Load(TaskOnKart[pd.DataFrame]):
    """A task with luigi's parameters."""

    retries = 2
    memory_gb = 8
    rows: luigi.IntParameter = luigi.IntParameter(default=3)
    name: luigi.OptionalParameter = luigi.OptionalParameter(default=None)
    plain = luigi.FloatParameter(default=0.5)

    def run(self) -> None:
        """Dump what the class says that it dumps."""
        assert_type(self.rows, int)
        assert_type(self.name, str | None)
        assert_type(self.plain, float)
        assert_type(self.workspace_directory, str)
        assert_type(self.scratch(), Path)
        self.dump(pd.DataFrame({"a": range(self.rows)}))
        self.dump(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def two_loads() -> list[Load]:
    """Return the default of a list of tasks."""
    return [Load(rows=1), Load(rows=2)]


class Count(TaskOnKart[int]):
    """A task that holds tasks."""

    data: TaskInstanceParameter[Load] = TaskInstanceParameter()
    many: ListTaskInstanceParameter[Load] = ListTaskInstanceParameter(Load, default=two_loads)
    also: TaskInstanceParameter[Load] = TaskInstanceParameter(Load, default=Load)

    def run(self) -> None:
        """Load what the required tasks say that they store."""
        assert_type(self.load(self.data), pd.DataFrame)
        assert_type(self.load([Load()]), list[pd.DataFrame])
        assert_type(self.many, tuple[Load, ...])
        assert_type(self.load(self.many), list[pd.DataFrame])
        self.dump(len(self.load(self.data)))


assert_type(build(Count(data=Load())), int)
assert_type(build(Load(rows=2)), pd.DataFrame)
Count(data=Load(), many=[Load()])
Count(data=Load(), many=[3])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
Load(rows="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Load(row=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


class Model(TaskOnKart[Path]):
    """A folder."""

    def output(self) -> object:
        """Return a target with a name."""
        return self.make_folder_target("model", partition_by="day")

    def run(self) -> None:
        """Fill the folder, or copy one."""
        with self.folder() as path:
            assert_type(path, Path)
        self.dump(Path("build"))
        self.dump(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


assert_type(build(Model()), Path)


class Sales(InputFile[pd.DataFrame]):
    """A file with a name."""

    path: luigi.Parameter[str] = luigi.Parameter(default="data/sales.csv")


class Revenue(TaskOnKart[float]):
    """A task that reads files."""

    def requires(self) -> Sequence[TaskOnKart[pd.DataFrame]]:
        """Require files."""
        return [Sales(), InputFile[pd.DataFrame](path="data/more.csv")]

    def run(self) -> None:
        """Load what they declare."""
        assert_type(self.load(Sales()), pd.DataFrame)
        assert_type(self.load(InputFile[pd.DataFrame](path="data/more.csv")), pd.DataFrame)
        assert_type(Sales().path, str)
        self.dump(1.0)


class Fit(TaskOnKart[float]):
    """A task whose parameters say their type once."""

    data: TaskOnKart[pd.DataFrame] = parameter(default=Load)
    folds: Sequence[Load] = parameter(default=two_loads)
    name: str = parameter(description="who fits")
    depth: int = parameter(default=3)
    kind: Literal["tree", "linear"] = parameter(default="tree")
    columns: Sequence[str] = parameter(default=["a"])
    options: Mapping[str, float] = parameter(default={"rate": 0.1})
    day: datetime.date | None = parameter(default=None)

    def run(self) -> None:
        """Use them with their types."""
        assert_type(self.load(self.data), pd.DataFrame)
        assert_type(self.depth, int)
        assert_type(self.columns, Sequence[str])
        assert_type(self.day, datetime.date | None)
        self.dump(self.depth / len(self.columns))


Fit(name="x", depth=2, kind="linear", columns=["a", "b"], day=datetime.date(2026, 1, 31), data=Load(rows=2))
Fit(depth=2)  # the configuration may have the name
Fit(name="x", depht=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Fit(name="x", depth="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Fit(name="x", kind="forest")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Zips(InputFile[pl.LazyFrame]):
    """A file with options."""

    path: luigi.Parameter[str] = luigi.Parameter(default="data/zips.csv")
    options = {"separator": ";", "schema_overrides": {"zip": str}}


class Orders(SqlSource[pd.DataFrame]):
    """A query."""

    query = "select * from orders where day = :day and shop in :shops"
    params = {"shops": [1, 2]}
    day: luigi.DateParameter = luigi.DateParameter()


class Vocabulary(ExternalTask[list[str]]):
    """An output of something else."""

    token: SecretParameter = SecretParameter(default="${oc.env:TOKEN}")


class Reports(WrapperTask):
    """All of them."""

    def requires(self) -> Sequence[TaskOnKart[Any]]:
        """Require them."""
        return [Zips(), Vocabulary(), Orders(day=date(2026, 1, 1), version="2"), *Sales.glob("data/*.csv")]


assert_type(build(Zips()), pl.LazyFrame)
assert_type(build(Orders(day=date(2026, 1, 1))), pd.DataFrame)
assert_type(build(SqlSource[pl.DataFrame](query="select 1")), pl.DataFrame)
assert_type(build(Vocabulary()), list[str])
assert_type(Vocabulary().token, str)
assert_type(Sales.glob("data/*.csv", options={"sep": ";"}), list[Sales])
Orders(day=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
build(Reports())


class Daily(TaskOnKart[pd.DataFrame]):
    """A task of each day, which sees that of the day before."""

    day: luigi.DateParameter = luigi.DateParameter()

    def run(self) -> None:
        """Load what the class itself stores."""
        assert_type(self.load_previous("day"), pd.DataFrame | None)
        self.dump(pd.DataFrame({"day": [self.day]}))


class Monthly(TaskOnKart[float]):
    """A task of several days."""

    def requires(self) -> list[Daily]:
        """Require a month."""
        return partitions(Daily, day=(date(2026, 1, 1), date(2026, 1, 31)))

    def run(self) -> None:
        """Load frames, one by one and as one."""
        frames = self.load_range(Daily, "day")
        assert_type([frame for _, frame in frames.items()], list[pd.DataFrame])
        assert_type(frames.concat(), pd.DataFrame)
        self.dump(float(len(frames)))


class Compare(TaskOnKart[float]):
    """A task that requires another one under other values."""

    def requires(self) -> Sequence[Load]:
        """Require it twice."""
        with configured("Load.rows=5", {"Load.rows": 5}):
            few = Load()
        return [few, Load()]


configured(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Current(Published[pd.DataFrame]):
    """A published output with a name."""

    path: luigi.Parameter[str] = luigi.Parameter(default="reports/current.parquet")


class Publish(TaskOnKart[int]):
    """A task that is published, and uses what is published."""

    publish = "counts/current.pkl"

    def run(self) -> None:
        """Load what the requirements say that they store."""
        assert_type(self.load(Current()), pd.DataFrame)
        assert_type(self.load(Published[int]("a.pkl", workspace="s3://bucket/w")), int)
        self.dump(1)


assert_type(find_publication("outputs", "a.pkl"), Publication)
assert_type(sign_outputs([]).refused, dict[str, str])
Published[int](path=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class OwnExporter:
    """An exporter by its three methods, without a base class."""

    def begin(self, run: Mapping[str, Any]) -> None:
        """Take the header."""

    def task(self, record: Mapping[str, Any]) -> None:
        """Take an attempt."""

    def end(self, end: Mapping[str, Any]) -> None:
        """Take the end."""


_exporter: Exporter = OwnExporter()
build(Reports(), export=["mlflow", "my_project.exporting:OwnExporter"])


def past_runs(history: History) -> None:
    assert_type(history.task("TrainModel", max_depth=2), PastTask)
    assert_type(history.task("TrainModel").series("loss"), list[tuple[int, float]])
    assert_type(history.compare_table("TrainModel"), CompareTable)
    assert_type(history.rows("runs"), list[dict[str, Any]])
