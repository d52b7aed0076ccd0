"""The id is the one that gokart gives, whatever the process, and it needs no recursion."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import luigi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kart_runtime.gokart as gokart
from kart_runtime import TaskInstanceParameter, TaskOnKart
from kart_runtime.errors import CyclicDependency, NotATask, PlanError, UnstableValue
from kart_runtime.task.identity import dependencies, unique_id
from tests.runtime.recorded import gokart_tasks

RECORDED = json.loads((Path(gokart_tasks.__file__).parent / "gokart_ids.json").read_text())


class Number(TaskOnKart[int]):
    value = luigi.IntParameter(default=0)


class Chain(TaskOnKart[int]):
    length = luigi.IntParameter()

    def requires(self):
        return Chain(length=self.length - 1) if self.length else []


class Holder(TaskOnKart[int]):
    task = TaskInstanceParameter()


@pytest.fixture(scope="module")
def ours():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a plain parameter that is not text is part of the table
        return gokart_tasks.ids(gokart)


@pytest.mark.parametrize("name", RECORDED)
def test_ids_and_file_names_are_those_that_gokart_recorded(ours, name):
    assert ours[name] == RECORDED[name]


def test_the_recorded_table_is_complete(ours):
    assert ours.keys() == RECORDED.keys()


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_ids_do_not_depend_on_the_process(seed):
    code = "import kart_runtime.gokart as g; from tests.runtime.recorded.gokart_tasks import ids; print(ids(g))"
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert eval(found.stdout) == RECORDED


def test_a_chain_far_beyond_the_recursion_limit_has_an_id():
    assert len(unique_id(Chain(length=20 * sys.getrecursionlimit()))) == 32


def test_a_chain_of_held_tasks_does_not_grow_without_bound():
    task = Number()
    for _ in range(600):
        task = Holder(task=task)
    text = task.to_str_params(only_significant=True)["task"]
    assert len(text) < 300
    assert unique_id(task) != unique_id(Holder(task=task))


def test_requires_is_asked_once():
    asked = []

    class Asked(TaskOnKart[int]):
        def requires(self):
            asked.append(self)
            return [Number(value=1)]

    task = Asked()
    task.make_unique_id()
    task.input()
    dependencies(task)
    assert asked == [task]


def test_without_caching_an_id_follows_what_requires_says_now():
    wanted = [1]

    class Changing(TaskOnKart[int]):
        def requires(self):
            return Number(value=wanted[0])

    task = Changing(cache_unique_id=False)
    first = task.make_unique_id()
    wanted[0] = 2
    assert task.make_unique_id() != first


def test_a_set_of_requirements_has_one_order():
    class FromSet(TaskOnKart[int]):
        def requires(self):
            return {Number(value=value) for value in range(20)}

    class FromList(TaskOnKart[int]):
        def requires(self):
            return sorted((Number(value=value) for value in range(20)), key=lambda task: task.make_unique_id())

    assert [task.value for task in dependencies(FromSet())] == [task.value for task in dependencies(FromList())]


def test_a_generator_of_requirements_can_be_asked_twice():
    class Lazy(TaskOnKart[int]):
        def requires(self):
            yield Number(value=1)
            yield Number(value=2)

    assert [task.value for task in dependencies(Lazy())] == [1, 2]
    assert len(Lazy().input()) == 2


def test_a_circle_is_named_task_by_task():
    class First(TaskOnKart[int]):
        def requires(self):
            return Second()

    class Second(TaskOnKart[int]):
        def requires(self):
            return [Number(), First()]

    with pytest.raises(CyclicDependency) as caught:
        unique_id(First())
    assert caught.value.cycle == ("First", "Second")
    assert "First\n  requires Second\n  requires First" in str(caught.value)


@pytest.mark.parametrize(("wrong", "shown"), [(Number, "the class Number (call it)"), (3, "int 3"), ("x", "str 'x'")])
def test_what_is_no_task_is_named(wrong, shown):
    class Wrong(TaskOnKart[int]):
        def requires(self):
            return {"a": [wrong]}

    with pytest.raises(NotATask, match=r"Wrong.requires\(\): expected a task, got ") as caught:
        Wrong().make_unique_id()
    assert shown in str(caught.value)


@given(st.integers(), st.integers())
@settings(max_examples=50)
def test_two_values_have_one_id_only_if_they_are_equal(one, other):
    assert (unique_id(Number(value=one)) == unique_id(Number(value=other))) == (one == other)


class Written(luigi.Parameter):
    """A user's own kind, which is only written."""

    def serialize(self, x):
        return str(x)


class Anything(TaskOnKart[int]):
    value = Written()


class Opaque:
    pass


def test_the_elements_of_a_set_have_one_order():
    assert Anything(value={"b", "a", "c"}).make_unique_id() == Anything(value=("a", "b", "c")).make_unique_id()


@pytest.mark.parametrize(
    "value",
    [Opaque(), (1, Opaque()), test_the_elements_of_a_set_have_one_order, ({"a", "b"}, 1)],
    ids=["object", "in a tuple", "function", "set in a tuple"],
)
def test_a_value_without_a_stable_text_is_refused(value):
    with pytest.raises(UnstableValue, match=r"Anything\.value: .* has a different text in each process"):
        Anything(value=value).make_unique_id()


def test_text_that_looks_like_an_address_is_only_text():
    assert len(Anything(value="<x at 0x7f00>").make_unique_id()) == 32


@pytest.mark.filterwarnings("ignore:Parameter .* is not of type string:UserWarning")
def test_an_insignificant_value_needs_no_stable_text():
    class Quiet(TaskOnKart[int]):
        value = luigi.Parameter(significant=False)

    assert len(Quiet(value=Opaque()).make_unique_id()) == 32


def test_changed_code_is_another_id_only_when_code_is_checked():
    def defined(result):
        class Coded(TaskOnKart[int]):
            if result == 1:

                def run(self):
                    self.dump(1)
            else:

                def run(self):
                    self.dump(2)

        return Coded

    ids = {
        (result, check): defined(result)(serialized_task_definition_check=check).make_unique_id()
        for result in (1, 2)
        for check in (False, True)
    }
    assert ids[1, False] == ids[2, False]
    assert len(set(ids.values())) == 3


def test_code_without_a_source_cannot_be_checked():
    space = {"TaskOnKart": TaskOnKart, "__name__": __name__}
    exec("class Typed(TaskOnKart):\n    def run(self): pass", space)
    with pytest.raises(PlanError, match="Typed: serialized_task_definition_check needs the source"):
        space["Typed"](serialized_task_definition_check=True).make_unique_id()
