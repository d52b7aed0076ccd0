"""What every test of the engine gets: an empty folder to work in, and nothing left over from other tests."""

from __future__ import annotations

import luigi
import pytest
from luigi import task_register

from kart_runtime.parameters import install


@pytest.fixture(autouse=True)
def _clean(tmp_path, monkeypatch, request):
    """Work in an empty folder, with an empty registry of task objects and no overrides."""
    monkeypatch.chdir(tmp_path)
    before = install({})
    classes = list(task_register.Register._reg)
    # Other test modules have classes of the same names, which would be ambiguous where a task is found by its name.
    ours = (request.module.__name__, "luigi", "kart_runtime")
    task_register.Register._reg[:] = [cls for cls in classes if cls.__module__.startswith(ours)]
    task_register.Register.clear_instance_cache()
    yield
    install(before)
    task_register.Register._reg[:] = classes
    luigi.configuration.LuigiConfigParser._instance = None
