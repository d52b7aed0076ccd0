"""Values in memory are the same objects, known by their key, and gone when they are removed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import ObjectMissing
from kart_runtime.storage.memory_target import InMemoryCacheRepository, make_in_memory_target


@pytest.fixture(autouse=True)
def _empty():
    InMemoryCacheRepository().clear()
    yield
    InMemoryCacheRepository().clear()


class Source(TaskOnKart[list]):
    def output(self):
        return make_in_memory_target(f"source_{self.make_unique_id()}")

    def run(self):
        self.dump([1, 2])


class Total(TaskOnKart[int]):
    def requires(self):
        return Source()

    def run(self):
        self.dump(sum(self.load()))


def test_a_task_can_keep_its_value_in_memory():
    assert build(Total()) == 3
    assert Source().output().load() is Source().output().load()
    assert Source().complete()
    assert Source().output().path() == f"source_{Source().make_unique_id()}"


def test_a_value_can_be_looked_at_and_removed():
    target = make_in_memory_target("key")
    assert not target.exists()
    assert target.remove() is False
    target.dump({"a": 1})
    repository = InMemoryCacheRepository()
    assert (repository.size, repository.empty(), list(repository.get_gen())) == (1, False, [("key", {"a": 1})])
    assert repository.get_last_modification_time("key") == target.last_modification_time()
    assert target.remove() is True
    assert repository.empty()


def test_what_is_not_there_is_named():
    with pytest.raises(ObjectMissing, match="key does not exist"):
        make_in_memory_target("key").load()
    with pytest.raises(ObjectMissing, match="key does not exist"):
        InMemoryCacheRepository().remove("key")


def test_there_is_nothing_to_lock():
    with pytest.raises(ValueError, match="nothing to lock"):
        make_in_memory_target("key", SimpleNamespace(should_task_lock=True))
