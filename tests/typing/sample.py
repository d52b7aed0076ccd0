"""A user's pipeline, checked by mypy --strict and pyright without a plugin; never run."""

from collections.abc import Sequence
from pathlib import Path
from typing import assert_type

import luigi
import pandas as pd

from kart_runtime import InputFile, ListTaskInstanceParameter, TaskInstanceParameter, TaskOnKart, build


class Load(TaskOnKart[pd.DataFrame]):
    """A task with luigi's parameters."""

    rows: luigi.IntParameter = luigi.IntParameter(default=3)
    name: luigi.OptionalParameter = luigi.OptionalParameter(default=None)
    plain = luigi.FloatParameter(default=0.5)

    def run(self) -> None:
        """Dump what the class says that it dumps."""
        assert_type(self.rows, int)
        assert_type(self.name, str | None)
        assert_type(self.plain, float)
        assert_type(self.workspace_directory, str)
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
