"""A small project whose tasks see the configuration in every way, for the tests of sweeps."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

_CLI = runpy.run_path(str(Path(__file__).parents[1] / "cli" / "conftest.py"))
small_project, kart = _CLI["small_project"], _CLI["kart"]

MODEL = '''
    import datetime
    import enum
    import threading

    import luigi
    from kart_runtime import ListTaskInstanceParameter, TaskInstanceParameter, TaskOnKart, build
    from PKG.tasks.numbers import Numbers


    class Size(enum.Enum):
        SMALL = 1
        LARGE = 2


    class Load(TaskOnKart[list[int]]):
        """Shared by all variants."""

        def run(self):
            self.dump([1, 2, 3])


    class Train(TaskOnKart[dict[str, object]]):
        depth: int = luigi.IntParameter(default=3)
        rate: float = luigi.FloatParameter(default=0.5)
        kind: str = luigi.ChoiceParameter(choices=["tree", "forest"], default="tree")
        size = luigi.EnumParameter(enum=Size, default=Size.SMALL)
        flag: bool = luigi.BoolParameter(default=False)
        note: str = luigi.Parameter(default="")
        layers = luigi.ListParameter(default=[1])
        options = luigi.DictParameter(default={})
        day = luigi.DateParameter(default=datetime.date(2026, 1, 1))
        quiet: bool = luigi.BoolParameter(default=False, significant=False)

        def requires(self):
            return Load()

        def run(self):
            if self.depth == 13:
                raise ValueError("unlucky")
            values = {name: str(getattr(self, name)) for name in ("depth", "rate", "kind", "note", "layers", "options")}
            self.dump(values | {"rows": len(self.load()), "seed": self.fix_random_seed_value})


    class Step(TaskOnKart[int]):
        factor: int = luigi.IntParameter(default=1)

        def requires(self):
            return Train()

        def run(self):
            self.dump(self.factor * Train().depth)


    class Evaluate(TaskOnKart[dict[str, float]]):
        """Holds a task, yields one, and looks up a default in run()."""

        held = TaskInstanceParameter(default=Train())
        others = ListTaskInstanceParameter(default=[Step(factor=2), Step(factor=3)])

        def requires(self):
            return {"held": self.held, "others": self.others, "plain": Train()}

        def output(self):
            return self.make_target("metrics.json")

        def run(self):
            yield Step(factor=5)
            held, steps = self.load("held"), self.load("others")
            depth = float(held["depth"])
            assert float(Train().depth) == depth
            score = 10 - abs(depth - 6) + float(held["rate"])
            self.dump({"score": score, "steps": sum(steps), "five": Step(factor=5).output().load()})


    class Report(TaskOnKart[float]):
        def requires(self):
            return Evaluate()

        def run(self):
            self.dump(self.load()["score"])
'''


@pytest.fixture
def model_project(small_project: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that makes a project with a model that is trained and evaluated."""

    def make(files: dict[str, str] | None = None) -> Path:
        run = "task: Report\nworkspace: outputs/\n"
        return small_project({"src/PKG/tasks/model.py": MODEL, "conf/base/run.yaml": run, **(files or {})})

    return make
