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


def build_tasks(gokart: ModuleType) -> dict[str, Any]:
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

    tasks = {
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
