"""What can be imported goes by name, everything else by value, once, and comes back as what it was."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pickle
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.errors import CannotSend, KartError
from kart_runtime.execution.executors.pickling import DefinitionTable, has_name, importable, loads


@pytest.fixture
def table():
    own = DefinitionTable(defines=True)
    yield own
    own.forget()


def load_by_path(name, text):
    """Load a module as pytest does by default in this project: its folder is not on the path."""
    Path(f"{name}.py").write_text(text)
    spec = importlib.util.spec_from_file_location(name, Path(f"{name}.py").absolute())
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@given(st.recursive(st.none() | st.integers() | st.text() | st.floats(allow_nan=False), st.lists))
def test_plain_values_are_plain_pickles(value):
    data = DefinitionTable(defines=True).dumps(value, "a value")
    assert pickle.loads(data) == value
    assert loads(data) == value


def test_what_can_be_imported_goes_by_name(table):
    for value in (Path, functools.reduce, KartError, abs, type(None), types.FunctionType):
        assert loads(table.dumps(value, "a value")) is value
    assert table.definitions == []


def test_a_local_class_is_defined_once(table):
    class Local:
        pass

    first, second = table.dumps([Local(), Local], "a value"), table.dumps(Local(), "a value")
    assert len(table.definitions) == 1
    assert len(second) < 200
    assert loads(first)[1] is Local
    assert type(loads(second)) is Local


def test_classes_that_refer_to_one_another_are_defined_together(table):
    class First:
        def other(self):
            return Second()

    class Second(First):
        def other(self):
            return First()

    table.dumps(First, "a value")
    ((numbers, _),) = table.definitions
    assert len(numbers) == 2
    table.dumps(Second, "a value")
    assert len(table.definitions) == 1


def test_local_functions_are_not_kept(table):
    functions = [lambda number=number: number for number in range(10)]
    assert [loads(table.dumps(function, "a value"))() for function in functions] == list(range(10))
    assert table.definitions == []


def test_forgotten_definitions_leave_nothing(table):
    class Local:
        pass

    data = table.dumps(Local, "a value")
    table.forget()
    with pytest.raises(KeyError):
        loads(data)


def test_a_definition_that_cannot_be_pickled_is_named(table):
    class Local:
        file = (number for number in ())

    for _ in range(2):
        with pytest.raises(CannotSend, match=r"the definition of .*Local \(generator\)"):
            table.dumps(Local(), "a value")
    assert table.definitions == []


def test_a_module_that_is_loaded_by_its_path_goes_by_value(table, monkeypatch):
    module = load_by_path("far_away", "class A:\n    x = 1\ndef make(): return A(), other()\ndef other(): return 2\n")
    try:
        assert not importable("far_away")
        data = table.dumps(module.make, "a value")
        assert cloudpickle.list_registry_pickle_by_value() == set()
        _, code = table.definitions[0]
    finally:
        del sys.modules["far_away"]
    with monkeypatch.context() as context:
        context.setattr("kart_runtime.execution.executors.pickling._definitions", {})
        there = DefinitionTable(defines=False)
        there.learn(*table.definitions[0])
        made, other = loads(data)()
        assert (made.x, other) == (1, 2)
    assert b"far_away" in code


def test_threads_define_at_once(table):
    module = load_by_path("of_threads", "def make(): return lambda: other()\ndef other(): return 2\n")

    def dump(number):
        class Local:
            pass

        return [table.dumps(value, "a value") for value in (module.make(), Local(), [Local, module.make()])]

    try:
        with ThreadPoolExecutor(8) as threads:
            dumped = list(threads.map(dump, range(40), timeout=60))
        assert len(table.definitions) == 41
    finally:
        del sys.modules["of_threads"]
    for function, _, both in dumped:
        assert (loads(function)(), loads(both)[1]()) == (2, 2)


def test_importable_is_what_a_fresh_interpreter_finds(monkeypatch, tmp_path):
    assert importable("json.decoder")
    assert importable("luigi.task")
    assert not importable("__main__")
    module = load_by_path("close_by", "")
    try:
        assert not importable("close_by")
        monkeypatch.syspath_prepend(tmp_path)
        assert importable("close_by")
        module.__spec__ = importlib.util.spec_from_file_location("close_by", "/another/close_by.py")
        assert not importable("close_by")  # another file of that name would be loaded
    finally:
        del sys.modules["close_by"]
    monkeypatch.setitem(sys.modules, "made_up", types.ModuleType("made_up"))
    assert not importable("made_up")


def test_a_class_that_is_redefined_later_goes_by_value_from_then_on(table, monkeypatch, tmp_path):
    (tmp_path / "redefined_later.py").write_text("class Thing:\n    value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("redefined_later")
    first = module.Thing
    assert loads(table.dumps(first, "x")) is first
    module.Thing = type("Thing", (), {"value": 2, "__module__": "redefined_later"})
    assert loads(table.dumps(first, "x")).value == 1
    with pytest.raises(CannotSend):  # what cannot be sent is still refused
        table.dumps(threading.Lock(), "a lock")
    del sys.modules["redefined_later"]


def test_modules_that_somebody_wants_by_value_go_by_value(table, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    module = load_by_path("in_development", "def f(): return 1\n")
    try:
        cloudpickle.register_pickle_by_value(module)
        table.dumps(module.f, "a value")
        assert len(table.definitions) == 1
    finally:
        cloudpickle.unregister_pickle_by_value(module)
        del sys.modules["in_development"]


def test_a_name_that_belongs_to_something_else_is_none():
    def local():
        """Is not found by its name."""

    assert not has_name(local)
    assert not has_name(functools.wraps(abs)(lambda: None))
    assert has_name(Path.exists)
