"""`parameter()`: the kind of a parameter follows from its annotation."""

from __future__ import annotations

import datetime
import enum
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import luigi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime import ListTaskInstanceParameter, TaskInstanceParameter, TaskOnKart, build, parameter
from kart_runtime.task.parameters.annotated import InvalidParameter


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Load(TaskOnKart[int]):
    rows: int = parameter(default=3)

    def run(self) -> None:
        self.dump(self.rows)


KINDS: list[tuple[Any, type, Any, str]] = [
    (int, luigi.IntParameter, 3, "4"),
    (float, luigi.FloatParameter, 0.5, "0.25"),
    (bool, luigi.BoolParameter, True, "false"),
    (str, luigi.Parameter, "a", "b"),
    (Path, luigi.PathParameter, Path("a"), "b"),
    (datetime.date, luigi.DateParameter, datetime.date(2026, 1, 31), "2026-02-01"),
    (datetime.datetime, luigi.DateSecondParameter, datetime.datetime(2026, 1, 31, 1, 2, 3), "2026-02-01T010203"),
    (datetime.timedelta, luigi.TimeDeltaParameter, datetime.timedelta(hours=1), "2 hours"),
    (Color, luigi.EnumParameter, Color.RED, "BLUE"),
    (Literal["a", "b"], luigi.ChoiceParameter, "a", "b"),
    (Literal[1, 2], luigi.ChoiceParameter, 1, "2"),
    (Sequence[str], luigi.ListParameter, ("a",), '["b"]'),
    (tuple[int, ...], luigi.ListParameter, (1, 2), "[3]"),
    (Mapping[str, int], luigi.DictParameter, {"a": 1}, '{"b": 2}'),
    (int | None, luigi.OptionalIntParameter, None, "4"),
    (float | None, luigi.OptionalFloatParameter, 1.5, ""),
    (bool | None, luigi.OptionalBoolParameter, None, "true"),
    (Optional[str], luigi.OptionalParameter, "a", ""),  # noqa: UP045 - the older spelling counts, too
    (Path | None, luigi.OptionalPathParameter, None, "b"),
    (datetime.date | None, luigi.DateParameter, None, "2026-02-01"),
    (datetime.datetime | None, luigi.DateSecondParameter, None, "2026-02-01T010203"),
    (datetime.timedelta | None, luigi.TimeDeltaParameter, None, "2 hours"),
    (Literal["a", "b"] | None, luigi.OptionalChoiceParameter, None, "b"),
    (Sequence[int] | None, luigi.OptionalListParameter, None, "[3]"),
    (Mapping[str, int] | None, luigi.OptionalDictParameter, None, '{"b": 2}'),
    (Annotated[int, "metres"], luigi.IntParameter, 3, "4"),
]


def declare(annotation: Any, **options: Any) -> Any:
    """Return a task class with one parameter, `x`."""
    members = {"__annotations__": {"x": annotation}, "x": parameter(**options), "__module__": __name__}
    return type(TaskOnKart)("Declared", (TaskOnKart,), members)


@pytest.mark.parametrize(("annotation", "kind", "value", "text"), KINDS)
def test_an_annotation_chooses_the_kind(annotation: Any, kind: type, value: Any, text: str) -> None:
    cls = declare(annotation, default=value, description="what it is")
    param = dict(cls.get_params())["x"]
    assert isinstance(param, kind)
    assert param.description.startswith("what it is")
    assert cls().x == value
    given = cls(x=param.parse(text)).x
    assert given != value
    assert cls(x=param.parse(param.serialize(given))).x == given


@pytest.mark.parametrize(("annotation", "kind", "value", "text"), KINDS)
def test_a_parameter_without_default_is_required(annotation: Any, kind: type, value: Any, text: str) -> None:
    cls = declare(annotation)
    with pytest.raises(luigi.parameter.MissingParameterException, match="'x'"):
        cls()
    assert cls(x=value).x == value


class OldStyle(TaskOnKart[int]):
    first: luigi.IntParameter = luigi.IntParameter(default=1)
    names: luigi.ListParameter = luigi.ListParameter(default=("a",))
    rate: luigi.FloatParameter = luigi.FloatParameter(default=0.5, significant=False)
    data: TaskInstanceParameter[Load] = TaskInstanceParameter(default=Load)
    many: ListTaskInstanceParameter[Load] = ListTaskInstanceParameter(Load, default=[Load])


def new_style() -> Any:
    class NewStyle(TaskOnKart[int]):
        first: int = parameter(default=1)
        names: luigi.ListParameter = luigi.ListParameter(default=("a",))
        rate: float = parameter(default=0.5, significant=False)
        data: Load = parameter(default=Load)
        many: Sequence[Load] = parameter(default=[Load])

    NewStyle.__name__ = "OldStyle"
    return NewStyle


@given(first=st.integers(), names=st.lists(st.text(max_size=3), max_size=3), rate=st.floats(allow_nan=False))
def test_the_unique_id_is_that_of_luigis_parameters(first: int, names: list[str], rate: float) -> None:
    values = {"first": first, "names": names, "rate": rate, "data": Load(rows=abs(first) % 5)}
    new = new_style()
    assert [name for name, _ in new.get_params()] == [name for name, _ in OldStyle.get_params()]
    assert new(**values).make_unique_id() == OldStyle(**values).make_unique_id()


class Total(TaskOnKart[int]):
    data: TaskOnKart[int] = parameter(default=Load)
    more: Sequence[Load] = parameter(default=[])
    factor: int = parameter(default=1)

    def run(self) -> None:
        self.dump(self.factor * (self.load(self.data) + sum(self.load(self.more))))


class Doubled(Total):
    factor: int = parameter(default=2)


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_tasks_are_required_and_loaded(tmp_path: Path, executor: str) -> None:
    task = Total(more=[Load(rows=4), Load(rows=5)], workspace_directory=str(tmp_path))
    assert build(task, executor=executor) == 12
    assert pickle.loads(pickle.dumps(task)) == task


def test_a_subclass_may_change_the_default() -> None:
    assert (Doubled().factor, Total().factor) == (2, 1)
    assert [name for name, _ in Doubled.get_params()] == [name for name, _ in Total.get_params()]


def test_a_class_inside_a_function_may_use_what_is_there() -> None:
    class Inner(TaskOnKart[int]):
        def run(self) -> None:
            self.dump(1)

    class Outer(TaskOnKart[int]):
        inner: Inner = parameter(default=Inner)

    assert isinstance(Outer().inner, Inner)


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (list[int], r"list\[int\].*Write Sequence\[\.\.\.\] or tuple\[\.\.\.\]"),
        (set[int], r"Write Sequence\[\.\.\.\]"),
        (dict[str, int], r"Write Mapping\[\.\.\.\]"),
        (int | str, r"int \| str"),
        (object, "object"),
        (Color | None, "Color | None"),
        (Literal["a", 1], "all texts, or all integers"),
        ("Unknown", "cannot be evaluated.*'Unknown'"),
    ],
)
def test_what_no_parameter_takes_is_refused_with_what_to_write(annotation: Any, says: str) -> None:
    before = len(luigi.task_register.Register._reg)
    with pytest.raises(InvalidParameter, match=says) as raised:
        declare(annotation)
    assert str(raised.value).startswith("Declared.x: ")
    assert len(luigi.task_register.Register._reg) == before
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_a_missing_annotation_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"rows: it has no annotation. Write its type: 'rows: int = "):

        class _Without(TaskOnKart[int]):
            rows = parameter(default=3)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"IntParameter does not take these options.*defualt"):
        declare(int, defualt=3)
