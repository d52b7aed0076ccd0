"""Tasks whose unique ids are recorded, built on whichever gokart is given: the real one to record, ours to compare.

Record again, in an environment with gokart 1.12.2:  python gokart_tasks.py > gokart_ids.json
"""

from __future__ import annotations

import datetime
import enum
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import luigi


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Money:
    """A value that writes itself, without its note."""

    def __init__(self, amount: int, note: str) -> None:
        self.amount, self.note = amount, note

    def gokart_serialize(self) -> str:
        return f"{self.amount}"

    @classmethod
    def gokart_deserialize(cls, s: str) -> Money:
        return cls(int(s), "")


def build_tasks(gokart: ModuleType) -> dict[str, Any]:  # noqa: C901 - a table, not a procedure
    """Return a name for each task, and the task."""

    class Text(gokart.TaskOnKart):
        value = luigi.Parameter(default="x")

    class Whole(gokart.TaskOnKart):
        value = luigi.IntParameter(default=1)

    class Real(gokart.TaskOnKart):
        value = luigi.FloatParameter(default=0.5)

    class Flag(gokart.TaskOnKart):
        value = luigi.BoolParameter()

    class Explicit(gokart.TaskOnKart):
        value = gokart.ExplicitBoolParameter(default=True)

    class Many(gokart.TaskOnKart):
        value = luigi.ListParameter(default=[1, "two", 3.0, [4]])

    class Fixed(gokart.TaskOnKart):
        value = luigi.TupleParameter(default=((1, 2), (3, 4)))

    class Table(gokart.TaskOnKart):
        value = luigi.DictParameter(default={"b": 1, "a": {"c": [1, None]}})

    class Day(gokart.TaskOnKart):
        value = luigi.DateParameter(default=datetime.date(2026, 1, 31))

    class Hour(gokart.TaskOnKart):
        value = luigi.DateHourParameter(default=datetime.datetime(2026, 1, 31, 7))

    class Second(gokart.TaskOnKart):
        value = luigi.DateSecondParameter(default=datetime.datetime(2026, 1, 31, 7, 8, 9))

    class Zoned(gokart.TaskOnKart):
        value = gokart.ZonedDateSecondParameter(
            default=datetime.datetime(2026, 1, 31, 7, 8, 9, 10, tzinfo=datetime.UTC)
        )

    class Month(gokart.TaskOnKart):
        value = luigi.MonthParameter(default=datetime.date(2026, 1, 1))

    class Span(gokart.TaskOnKart):
        value = luigi.TimeDeltaParameter(default=datetime.timedelta(hours=25, seconds=3))

    class Choice(gokart.TaskOnKart):
        value = luigi.ChoiceParameter(choices=[1, 2], var_type=int, default=1)

    class Number(gokart.TaskOnKart):
        value = luigi.NumericalParameter(var_type=float, min_value=0.0, max_value=9.0, default=2.5)

    class Kind(gokart.TaskOnKart):
        value = luigi.EnumParameter(enum=Colour, default=Colour.RED)

    class Kinds(gokart.TaskOnKart):
        value = luigi.EnumListParameter(enum=Colour, default=(Colour.RED, Colour.BLUE))

    class Maybe(gokart.TaskOnKart):
        value = luigi.OptionalIntParameter(default=None)
        text = luigi.OptionalParameter(default=None)

    class Where(gokart.TaskOnKart):
        value = luigi.PathParameter(default="a/b")

    class Priced(gokart.TaskOnKart):
        value = gokart.SerializableParameter(Money, default=Money(3, "a note"))

    class Hidden(gokart.TaskOnKart):
        shown = luigi.IntParameter(default=1)
        hidden = luigi.Parameter(default="h", visibility=luigi.parameter.ParameterVisibility.HIDDEN)
        private = luigi.Parameter(default="p", visibility=luigi.parameter.ParameterVisibility.PRIVATE)
        quiet = luigi.Parameter(default="q", significant=False)

    class Holds(gokart.TaskOnKart):
        task = gokart.TaskInstanceParameter()
        name = luigi.Parameter(default="é😀\n")

    class HoldsMany(gokart.TaskOnKart):
        tasks = gokart.ListTaskInstanceParameter()

    class Nested(gokart.TaskOnKart):
        def requires(self) -> Any:
            return {"b": [Whole(value=1), (Whole(value=2), None)], "a": {"x": Holds(task=Text())}}

    class OnInsignificant(gokart.TaskOnKart):
        def requires(self) -> Any:
            return [Whole(value=1), Whole(value=2, significant=False)]

    class External(luigi.ExternalTask):
        day = luigi.IntParameter(default=3)

    class OnLuigi(gokart.TaskOnKart):
        def requires(self) -> Any:
            return External()

    class Spaced(gokart.TaskOnKart):
        task_namespace = "space"
        value = luigi.IntParameter(default=1)

    class Ordered(gokart.TaskOnKart):
        zebra = luigi.IntParameter(default=1)
        ant = luigi.IntParameter(default=2)

    class Inherited(Ordered):
        middle = luigi.IntParameter(default=3)
        zebra = luigi.IntParameter(default=4)

    class Minute(gokart.TaskOnKart):
        value = luigi.DateMinuteParameter(default=datetime.datetime(2026, 1, 31, 7, 8), interval=2)

    class Year(gokart.TaskOnKart):
        value = luigi.YearParameter(default=datetime.date(2026, 1, 1))

    class Interval(gokart.TaskOnKart):
        value = luigi.DateIntervalParameter(default=luigi.date_interval.Week(2026, 5))

    class Choices(gokart.TaskOnKart):
        value = luigi.ChoiceListParameter(choices=["a", "b", "c"], default=("c", "a"))

    class Optionals(gokart.TaskOnKart):
        text = luigi.OptionalStrParameter(default=None)
        flag = luigi.OptionalBoolParameter(default=None)
        real = luigi.OptionalFloatParameter(default=0.5)
        many = luigi.OptionalListParameter(default=None)
        fixed = luigi.OptionalTupleParameter(default=(1, 2))
        table = luigi.OptionalDictParameter(default=None)
        path = luigi.OptionalPathParameter(default="p")
        number = luigi.OptionalNumericalParameter(var_type=int, min_value=0, max_value=9, default=None)
        choice = luigi.OptionalChoiceParameter(choices=["x", "y"], default=None)

    class Untyped(gokart.TaskOnKart):
        value = luigi.Parameter(default=(1, "two", None))

    class Checked(gokart.TaskOnKart):
        value = luigi.IntParameter(default=1)

        def requires(self) -> Any:
            return {"a": Text(), "b": Whole(value=3)}

        def output(self) -> Any:
            return self.make_target("checked.pkl")

        def run(self) -> None:
            self.dump(self._helped(self.load("b")))

        def _helped(self, number: int) -> int:
            # A comment is code, too: gokart takes the source as it stands.
            return number + self.value

        @staticmethod
        def doubled(number: int) -> int:
            return 2 * number

        @classmethod
        def named(cls) -> str:
            return cls.__name__

    class CheckedBelow(Checked):
        def run(self) -> None:
            self.dump(self.doubled(self.load("b")))

    class OnChecked(gokart.TaskOnKart):
        def requires(self) -> Any:
            return [Checked(serialized_task_definition_check=True), CheckedBelow()]

    class Branches(gokart.TaskOnKart):
        left = gokart.TaskInstanceParameter()
        right = gokart.ListTaskInstanceParameter()
        note = luigi.Parameter(default="n", significant=False)

    tasks = {
        "minute": Minute(),
        "year": Year(),
        "date interval": Interval(),
        "choice list": Choices(),
        "optionals": Optionals(),
        "optionals set": Optionals(text="t", flag=True, many=[1], table={"k": 1}, number=3, choice="y"),
        "untyped tuple": Untyped(),
        "untyped dict": Untyped(value={"b": 1, "a": [2.5]}),
        "untyped number": Untyped(value=1.0),
        "code not checked": Checked(),
        "code checked": Checked(serialized_task_definition_check=True),
        "code checked below": CheckedBelow(serialized_task_definition_check=True),
        "on code checked": OnChecked(),
        "branches": Branches(left=OnChecked(), right=[Holds(task=Text()), Nested()]),
        "branches other note": Branches(left=OnChecked(), right=[Holds(task=Text()), Nested()], note="m"),
        "text": Text(),
        "text empty": Text(value=""),
        "text quotes": Text(value='it\'s "so" \\ \n é 😀'),
        "int": Whole(),
        "int negative": Whole(value=-(2**70)),
        "float": Real(),
        "float whole": Real(value=1.0),
        "float large": Real(value=1e300),
        "bool": Flag(),
        "bool true": Flag(value=True),
        "explicit bool": Explicit(),
        "list": Many(),
        "list empty": Many(value=[]),
        "tuple": Fixed(),
        "dict": Table(),
        "date": Day(),
        "hour": Hour(),
        "second": Second(),
        "zoned": Zoned(),
        "month": Month(),
        "timedelta": Span(),
        "choice": Choice(),
        "numerical": Number(),
        "enum": Kind(),
        "enum list": Kinds(),
        "optional none": Maybe(),
        "optional set": Maybe(value=3, text="t"),
        "path": Where(),
        "serializable": Priced(),
        "visibility": Hidden(),
        "visibility others": Hidden(shown=2, hidden="h2", private="p2", quiet="q2"),
        "task": Holds(task=Whole()),
        "task in task": Holds(task=Holds(task=Holds(task=Text(value="deep")))),
        "tasks": HoldsMany(tasks=[Whole(value=1), Holds(task=Text()), Whole(value=1)]),
        "nested requires": Nested(),
        "insignificant dependency": OnInsignificant(),
        "luigi dependency": OnLuigi(),
        "namespace": Spaced(),
        "order of declaration": Ordered(),
        "order with inheritance": Inherited(),
        "engine parameters": Whole(value=1, workspace_directory="/elsewhere", rerun=True, fix_random_seed_value=7),
    }
    chain = Text(value="end")
    for _ in range(40):
        chain = Holds(task=chain)
    return {**tasks, "chain of 40": chain}


def ids(gokart: ModuleType) -> dict[str, dict[str, str]]:
    """Return id and path below the workspace for each name."""
    found = {}
    for name, task in build_tasks(gokart).items():
        path = Path(task.make_target("a folder/name.v1.pkl").path()).relative_to(task.workspace_directory)
        found[name] = {"id": task.make_unique_id(), "path": str(path)}
    return found


if __name__ == "__main__":
    import gokart as real

    print(json.dumps(ids(real), indent=1, ensure_ascii=False))
