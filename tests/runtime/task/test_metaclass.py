"""A parameter cannot be called like what the engine uses, and the error comes with the class."""

from __future__ import annotations

import luigi
import pytest
from luigi import task_register

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import ReservedName

USED = [
    "task_log",
    "schema",
    "rng",
    "requires",
    "output",
    "run",
    "load",
    "dump",
    "complete",
    "input",
    "clone",
]
OF_LUIGI = [
    "param_kwargs",
    "task_id",
    "task_family",
    "deps",
    "priority",
    "resources",
    "retry_count",
    "on_success",
]


@pytest.mark.parametrize("name", [*USED, *OF_LUIGI, "_kart", "_kart_run", "__class__"])
def test_the_names_of_the_engine_are_refused(name):
    before = list(task_register.Register._reg)
    with pytest.raises(ReservedName, match=rf"Report: a parameter cannot be called '{name}'.* Call it 'report_"):
        type("Report", (TaskOnKart,), {name: luigi.Parameter(default="mine"), "__module__": __name__})
    assert task_register.Register._reg == before


def test_a_mixin_is_looked_at_as_well():
    class Mixin:
        rng = luigi.IntParameter(default=1)

    with pytest.raises(ReservedName, match=r"Mixed: .* 'rng'"):

        class Mixed(Mixin, TaskOnKart[int]):
            pass


def test_a_parameter_that_is_added_later_is_looked_at():
    class Late(TaskOnKart[int]):
        pass

    with pytest.raises(ReservedName, match=r"Late: .* 'load'"):
        Late.load = luigi.Parameter(default="a")
    assert Late.load is TaskOnKart.load


def test_a_parameter_may_replace_a_parameter_and_a_constant_may_replace_it():
    class Base(TaskOnKart[int]):
        rerun = luigi.BoolParameter(default=False)
        depth = luigi.IntParameter(default=1)

    class Fixed(Base):
        depth = 3

    assert (Base(rerun=True).rerun, Fixed().depth) == (True, 3)


def test_luigis_priority_and_resources_may_be_parameters():
    class Urgent(TaskOnKart[int]):
        priority = luigi.IntParameter(default=3)
        resources = luigi.DictParameter(default={"gpu": 1})

        def run(self):
            self.dump(self.priority)

    assert build(Urgent(priority=7), resources={"gpu": 1}) == 7
