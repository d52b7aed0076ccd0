"""The edits that people make: which count, which do not, and what they are called."""

from __future__ import annotations

import pytest

from kart_runtime.code import changed, code_of

FILES = {
    "lib/__init__.py": """
        from lib.numbers import half
        from .mixins import Checks
        """,
    "lib/numbers.py": '''
        """Numbers."""
        import math
        from typing import Any

        STEP = 2
        TABLE = {"a": 1}
        TABLE["b"] = 2
        KEY = lambda value: value + STEP
        UNUSED = 5

        def half(value: float, by: int = 2) -> float:
            """Halve it."""
            return value / by

        def unused(value):
            return value * 3
        ''',
    "lib/decorators.py": """
        import functools

        def logged(function):
            @functools.wraps(function)
            def call(*args):
                return function(*args)
            return call
        """,
    "lib/stars.py": """
        def starred():
            return 1

        def also_starred():
            return 2
        """,
    "lib/mixins.py": """
        class Checks:
            LIMIT = 3

            def check(self, value):
                return value < self.LIMIT

            def nobody(self):
                return 0
        """,
    "lib/models.py": """
        from typing import TYPE_CHECKING
        import math as m
        from lib import numbers
        from lib.decorators import logged
        from .stars import *

        if TYPE_CHECKING:
            from lib.nothing import Nothing

        COUNT = 0

        def fit(rows, alpha=0.5):
            local = [numbers.KEY(row) for row in rows]
            return m.fsum(local) * alpha + numbers.TABLE["a"] + starred()

        @logged
        def score(model):
            global COUNT
            COUNT += 1
            return model

        class Model:
            kind = "linear"

            def __init__(self, size: int = 3):
                self.size = size

            def predict(self):
                return self.size * self._scale()

            def _scale(self):
                return 2

            def plot(self):
                return None

        try:
            import quick_model
        except ImportError:
            quick_model = None
        """,
    "tasks/__init__.py": "",
    "tasks/base.py": """
        import luigi
        from kart_runtime import TaskOnKart

        class Base(TaskOnKart):
            suffix = "base"

            def name(self):
                return self.suffix

            def never(self):
                return 1
        """,
    "tasks/load.py": """
        import luigi
        from kart_runtime import TaskOnKart

        class Load(TaskOnKart[list]):
            size: luigi.IntParameter = luigi.IntParameter(default=3)

            def run(self):
                self.dump(self.rows())

            def rows(self):
                return list(range(self.size))

            @staticmethod
            def header():
                return "x"
        """,
    "tasks/train.py": '''
        """Training."""
        import luigi
        import lib.models as models
        from kart_runtime import TaskInstanceParameter
        from lib import half
        from lib import Checks
        from tasks.base import Base
        from tasks.load import Load

        RATE = 0.1
        OTHER = 1

        class Train(Checks, Base):
            """Train it."""
            depth: luigi.IntParameter = luigi.IntParameter(default=3)
            load_task = TaskInstanceParameter(default=Load())
            rounds = 10
            spare = 11

            def requires(self):
                return {"load": self.load_task, "other": Load(size=4)}

            def run(self):
                # fit it
                rows = self.load("load")
                model = models.fit(rows)
                models.score(model)
                self.dump(half(model) * RATE * self.rounds + self.helped() + models.Model().predict())

            def helped(self) -> int:
                return len(self.name()) + self.check(2)

            def unhelped(self):
                return 1

        class Another(Base):
            def run(self):
                self.dump(OTHER)
        ''',
}

COUNTS = [
    ("a constant", "tasks/train.py", "RATE = 0.1", "RATE = 0.2", "tasks/train.py: RATE"),
    ("an operator in run()", "tasks/train.py", "* RATE", "/ RATE", "tasks/train.py: Train.run"),
    ("an argument", "tasks/train.py", "models.fit(rows)", "models.fit(rows, 1)", "tasks/train.py: Train.run"),
    ("a renamed local", "lib/models.py", "local", "scores", "lib/models.py: fit"),
    ("an own method", "tasks/train.py", "self.check(2)", "self.check(1)", "tasks/train.py: Train.helped"),
    ("requires()", "tasks/train.py", "Load(size=4)", "Load(size=5)", "tasks/train.py: Train.requires"),
    ("a class attribute", "tasks/train.py", "rounds = 10", "rounds = 12", "tasks/train.py: Train.rounds"),
    ("the kind of a parameter", "tasks/train.py", "= luigi.Int", "= luigi.Float", "tasks/train.py: Train.depth"),
    ("a base class", "tasks/train.py", "(Checks, Base)", "(Base, Checks)", "tasks/train.py: Train"),
    ("a method of a base", "tasks/base.py", "return self.suffix", "return self.suffix * 2", "tasks/base.py: Base.name"),
    ("an attribute of a base", "tasks/base.py", 'suffix = "base"', 'suffix = "b"', "tasks/base.py: Base.suffix"),
    ("a method of a mixin", "lib/mixins.py", "value < self", "value <= self", "lib/mixins.py: Checks.check"),
    ("an attribute of a mixin", "lib/mixins.py", "LIMIT = 3", "LIMIT = 4", "lib/mixins.py: Checks.LIMIT"),
    ("a helper", "lib/models.py", "* alpha", "+ alpha", "lib/models.py: fit"),
    ("a default of a helper", "lib/models.py", "alpha=0.5", "alpha=0.6", "lib/models.py: fit"),
    ("a helper through __init__", "lib/numbers.py", "value / by", "value // by", "lib/numbers.py: half"),
    ("a default of that", "lib/numbers.py", "by: int = 2", "by: int = 3", "lib/numbers.py: half"),
    ("a helper by a star", "lib/stars.py", "return 1", "return 10", "lib/stars.py: starred"),
    ("a constant two modules away", "lib/numbers.py", "STEP = 2", "STEP = 3", "lib/numbers.py: STEP"),
    ("a lambda", "lib/numbers.py", "value + STEP", "value - STEP", "lib/numbers.py: KEY"),
    ("a table", "lib/numbers.py", '{"a": 1}', '{"a": 2}', "lib/numbers.py: TABLE"),
    ("what is put into a table", "lib/numbers.py", 'TABLE["b"] = 2', 'TABLE["a"] = 2', "lib/numbers.py: TABLE"),
    ("more is put into it", "lib/numbers.py", "UNUSED = 5", "TABLE.update(c=5)", "lib/numbers.py: TABLE"),
    ("a decorator's body", "lib/decorators.py", "return function(*args)", "return 2", "lib/decorators.py: logged"),
    ("a decorator is left out", "lib/models.py", "@logged\n", "", "lib/models.py: score"),
    ("a global", "lib/models.py", "COUNT = 0", "COUNT = 1", "lib/models.py: COUNT"),
    ("what it is changed by", "lib/models.py", "COUNT += 1", "COUNT += 2", "lib/models.py: score"),
    ("a method of a used class", "lib/models.py", "return 2", "return 4", "lib/models.py: Model._scale"),
    ("a constructor's default", "lib/models.py", "size: int = 3", "size: int = 4", "lib/models.py: Model.__init__"),
    ("a library behind a name", "lib/models.py", "import math as m", "import cmath as m", "lib/models.py: fit"),
    ("another helper", "tasks/train.py", "lib import half", "lib.stars import starred as half", "lib/numbers.py: half"),
]  # fmt: skip

DOES_NOT_COUNT = [
    ("a comment", "tasks/train.py", "# fit it", "# fit this"),
    ("a comment above", "lib/models.py", "def fit(", "# Fits.\n\ndef fit("),
    ("a docstring", "tasks/train.py", '"""Train it."""', '"""Train this."""'),
    ("a docstring is left out", "lib/numbers.py", '"""Halve it."""\n', "\n"),
    ("a module's docstring", "tasks/train.py", '"""Training."""', '"""Of models."""'),
    ("quotes", "lib/numbers.py", '"a"', "'a'"),
    ("line breaks", "tasks/train.py", "models.fit(rows)\n", "models.fit(\n            rows,\n        )\n"),
    ("an annotation", "lib/numbers.py", "value: float", "value: int"),
    ("a returned type", "tasks/train.py", "-> int", "-> float"),
    ("an annotation of a parameter", "tasks/train.py", "depth: luigi.IntParameter", "depth: int"),
    ("an annotation is left out", "tasks/train.py", "depth: luigi.IntParameter", "depth"),
    ("an annotated name", "tasks/train.py", "rounds = 10", "title: str\n    rounds = 10"),
    ("an annotated variable", "tasks/train.py", "rows = self.load", "rows: list[int] = self.load"),
    ("imports for type checkers", "lib/models.py", "lib.nothing import Nothing", "lib.something import Thing"),
    ("an import of typing", "lib/numbers.py", "from typing import Any", "from typing import Any, cast"),
    ("an unused import", "tasks/train.py", "import luigi\n", "import luigi\nimport json\nimport lib.stars\n"),
    ("an unused function", "lib/numbers.py", "value * 3", "value * 4"),
    ("an added function", "lib/models.py", "def fit(", "def added():\n    return numbers.UNUSED\n\ndef fit("),
    ("an unused constant", "lib/numbers.py", "UNUSED = 5", "UNUSED = 6"),
    ("an unused star", "lib/stars.py", "return 2", "return 3"),
    ("an unused class", "tasks/train.py", "self.dump(OTHER)", "self.dump(OTHER + 1)"),
    ("an added method", "tasks/train.py", "def unhelped", "def added(self):\n        return 2\n\n    def unhelped"),
    ("an unused method", "tasks/train.py", "return 1\n", "return 2\n"),
    ("an unused method of a base", "tasks/base.py", "return 1", "return 2"),
    ("an unused method of a mixin", "lib/mixins.py", "return 0", "return 1"),
    ("an unused method of a used class", "lib/models.py", "return None", "return 1"),
    ("an unused attribute", "tasks/train.py", "spare = 11", "spare = 12"),
    ("another task's run()", "tasks/load.py", "dump(self.rows())", "dump(sorted(self.rows()))"),
    ("another task's helper", "tasks/load.py", "range(self.size)", "range(self.size + 1)"),
    ("a default in the unique id", "tasks/train.py", "default=3)", "default=4, description='d')"),
    ("a default task", "tasks/train.py", "default=Load()", "default=Load(size=9)"),
    ("a main guard", "tasks/train.py", "RATE = 0.1", "RATE = 0.1\nif __name__ == '__main__':\n    print(Train())\n"),
    ("the print of a constant", "tasks/train.py", "RATE = 0.1", "RATE = 0.1\nprint(RATE)\n"),
    ("reordered constants", "tasks/train.py", "RATE = 0.1\nOTHER = 1", "OTHER = 1\nRATE = 0.1"),
]  # fmt: skip


@pytest.fixture
def before(project):
    project.write(FILES)
    return project.code()


@pytest.mark.parametrize(("file", "old", "new", "label"), [case[1:] for case in COUNTS], ids=[c[0] for c in COUNTS])
def test_what_counts_is_named(project, before, file, old, new, label):
    project.edit(file, old, new)
    after = project.code()
    assert after.fingerprint != before.fingerprint
    assert label in changed(before.definitions, after.definitions)


@pytest.mark.parametrize(
    ("file", "old", "new"), [case[1:] for case in DOES_NOT_COUNT], ids=[c[0] for c in DOES_NOT_COUNT]
)
def test_what_does_not_count(project, before, file, old, new):
    project.edit(file, old, new)
    after = project.code()
    assert changed(before.definitions, after.definitions) == []
    assert after == before


def test_only_what_changed_is_named(project, before):
    project.edit("lib/models.py", "* alpha", "+ alpha")
    project.edit("lib/numbers.py", "UNUSED = 5", "UNUSED = 6")
    assert changed(before.definitions, project.code().definitions) == ["lib/models.py: fit"]


def test_changed_comes_before_added_and_removed():
    assert changed({"b": "1", "c": "1", "d": "1"}, {"a": "1", "b": "1", "d": "2"}) == ["d", "a", "c"]


def test_versions_count_for_packages_that_are_named(project, before):
    named = project.code(packages=("luigi", "pyyaml"))
    assert named.fingerprint != before.fingerprint
    assert changed(before.definitions, named.definitions) == ["luigi", "pyyaml"]
    assert named.definitions["luigi"].startswith("luigi==")


def test_it_is_worked_out_once_for_each_class(project):
    project.write(FILES)
    cls = project.load("tasks.train", "Train")
    assert code_of(cls) is code_of(cls)
    assert code_of(cls, ["luigi"]) is code_of(cls, ["luigi"])
