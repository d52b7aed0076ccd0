"""Targets of one's own, and the arguments that gokart's targets take."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

import kart_runtime.gokart as gokart
from kart_runtime.gokart.conflict_prevention_lock.task_lock import make_task_lock_params
from kart_runtime.gokart.in_memory.target import InMemoryTarget, make_in_memory_target
from kart_runtime.gokart.target import ModelTarget, SingleFileTarget, TargetOnKart, make_model_target, make_target

TABLE: dict[str, tuple[str, datetime]] = {}


class RowTarget(TargetOnKart):
    """A value in a row of a table."""

    def __init__(self, key):
        self.key = key
        self.arguments = None

    def _exists(self):
        return self.key in TABLE

    def _load(self):
        return json.loads(TABLE[self.key][0])

    def _dump(self, obj, task_params=None, custom_labels=None, required_task_outputs=None):
        self.arguments = task_params, custom_labels, required_task_outputs
        TABLE[self.key] = json.dumps(obj), datetime.now()

    def _remove(self):
        del TABLE[self.key]

    def _last_modification_time(self):
        return TABLE[self.key][1]

    def _path(self):
        return f"table/{self.key}"


class Source(gokart.TaskOnKart[list]):
    def output(self):
        return RowTarget(self.make_unique_id())

    def run(self):
        self.dump([1, 2])


class Total(gokart.TaskOnKart[int]):
    def requires(self):
        return Source()

    def output(self):
        return {"sum": RowTarget(f"sum_{self.make_unique_id()}"), "file": self.make_target("x.json")}

    def run(self):
        self.dump(sum(self.load()), "sum")
        self.dump(1, "file")


@pytest.fixture(autouse=True)
def _empty():
    TABLE.clear()


def test_a_task_stores_and_loads_by_a_target_of_ones_own():
    assert gokart.build(Total()) == {"sum": 3, "file": 1}
    assert Source().complete()
    target = Source().output()
    assert target.path() == f"table/{Source().make_unique_id()}"
    assert (datetime.now() - target.last_modification_time()).total_seconds() < 600
    target.remove()
    target.remove()
    assert not Source().complete()
    assert gokart.build(Total(rerun=True)) == {"sum": 3, "file": 1}


def test_the_arguments_of_dump_reach_the_target():
    target = RowTarget("a")
    target.dump(obj=1, lock_at_dump=False, task_params={"n": "1"}, custom_labels={"x": "y"})
    assert target.arguments == ({"n": "1"}, {"x": "y"}, None)
    assert target.load() == 1


def test_a_subclass_without_its_methods_cannot_be_made():
    class Half(TargetOnKart):
        def _exists(self):
            return True

    with pytest.raises(TypeError, match="abstract"):
        Half()


def test_all_targets_are_targets_on_kart(tmp_path):
    file = Total().make_target("x.csv")
    model = Total().make_model_target("x.zip", save_function=print, load_function=print)
    memory = make_in_memory_target("key")
    assert isinstance(file, TargetOnKart)
    assert isinstance(file, SingleFileTarget)
    assert isinstance(model, ModelTarget)
    assert isinstance(model, TargetOnKart)
    assert isinstance(memory, TargetOnKart)
    assert isinstance(RowTarget("a"), TargetOnKart)


def _save(model, path):
    with open(path, "w") as file:
        file.write(model)


def _load(path):
    with open(path) as file:
        return file.read()


def test_targets_take_gokarts_keyword_arguments(tmp_path):
    lock = make_task_lock_params(file_path="x", unique_id=None)
    file = make_target(file_path=str(tmp_path / "x.json"), unique_id="12", processor=None, task_lock_params=lock)
    file.dump(obj={"a": 1}, lock_at_dump=False, task_params={}, custom_labels={"a": 1}, required_task_outputs=[])
    assert file.load() == {"a": 1}
    model = make_model_target(
        file_path=str(tmp_path / "m.zip"),
        temporary_directory=str(tmp_path / "t"),
        save_function=_save,
        load_function=_load,
        unique_id="12",
        task_lock_params=lock,
    )
    model.dump(obj="model")
    assert model.load() == "model"
    memory = InMemoryTarget(data_key="k", task_lock_param=lock)
    memory.dump(obj=5, lock_at_dump=False, custom_labels=None)
    assert make_in_memory_target(target_key="k", task_lock_params=lock).load() == 5


def test_the_manuals_example_of_a_value_in_memory():
    class InMemory(gokart.TaskOnKart[int]):
        def output(self):
            unique_id = self.make_unique_id()
            task_lock_params = make_task_lock_params(
                file_path="dummy_path",
                unique_id=unique_id,
                redis_host=None,
                redis_port=None,
                redis_timeout=self.redis_timeout,
                raise_task_lock_exception_on_collision=False,
            )
            return make_in_memory_target("dummy_path", task_lock_params, unique_id)

        def run(self):
            self.dump(7)

    assert gokart.build(InMemory()) == 7
    assert InMemory().output().path() == f"dummy_path_{InMemory().make_unique_id()}"


def test_a_value_in_memory_has_no_lock():
    lock = make_task_lock_params("x", None, redis_host="h", redis_port=1)
    with pytest.raises(ValueError, match="nothing to lock"):
        make_in_memory_target("key", lock)
    with pytest.raises(ValueError, match="nothing to lock"):
        InMemoryTarget("key", lock)


@pytest.mark.parametrize("error", [KeyError, AssertionError, ValueError, FileNotFoundError])
def test_a_value_that_is_not_in_memory_is_the_error_that_gokart_raises_there(error):
    with pytest.raises(error):
        make_in_memory_target("no such key").load()
    with pytest.raises(error):
        make_in_memory_target("no such key").last_modification_time()
