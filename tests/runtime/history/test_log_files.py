"""The versions of the libraries are found whatever other threads do."""

from __future__ import annotations

import gc
import sys
from types import ModuleType

import pytest

from kart_runtime.history.log_files import _versions_of, module_versions


@pytest.fixture
def imports_meanwhile(monkeypatch):
    """Import a module in each collection of garbage, as a thread may that gets its turn then."""
    added = []

    def add(phase, info):
        if phase == "stop":
            added.append(f"imported_meanwhile_{len(added)}")
            monkeypatch.setitem(sys.modules, added[-1], ModuleType(added[-1]))

    before = gc.get_threshold()
    gc.callbacks.append(add)
    gc.set_threshold(20)
    yield added
    gc.set_threshold(*before)
    gc.callbacks.remove(add)


def test_another_thread_may_import_while_versions_are_read(imports_meanwhile, monkeypatch):
    monkeypatch.setitem(sys.modules, "a_library", ModuleType("a_library"))
    monkeypatch.setattr(sys.modules["a_library"], "__version__", "1.2 (of a date)", raising=False)
    _versions_of.cache_clear()
    versions = module_versions()
    assert imports_meanwhile
    assert versions["a_library"] == "1.2"
    _versions_of.cache_clear()  # the next test has other modules
