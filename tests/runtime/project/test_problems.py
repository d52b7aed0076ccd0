"""Several mistakes at once."""

from __future__ import annotations

import pickle

import pytest

from kart_runtime.project import ConfigErrors, open_project

NUMBERS = "conf/base/tasks/numbers.yaml"


def test_everything_that_is_wrong_is_told_at_once(small_project, refused):
    small_project(
        {
            NUMBERS: "Total:\n  weigth: 2\n  weight: deep\nNumbers:\n  size:\n",
            "conf/base/run.yaml": "taks: RunAll\n",
            "conf/base/logging.yaml": "level: [\n",
            "src/PKG/tasks/broken.py": "import nowhere_at_all\n",
            "conf/base/tasks/broken.yaml": "Anything: {x: 1}\n",
        }
    )
    found = refused(env="prd", overrides=["Numbers.size=x", "nope"])
    parts = ["unknown environment 'prd'", "Numbers.size: has no value", "not valid YAML",
             "broken cannot be imported",
             "'nope' has no value", "weigth", "got str 'deep'", "taks", "expected int, got str 'x'"]  # fmt: skip
    assert [any(part in error for error in found) for part in parts] == [True] * len(parts)
    assert len(found) == len(parts)


def test_several_mistakes_survive_pickling(small_project):
    small_project({NUMBERS: "Total:\n  a: 2\n  b: deep\n"})
    with pytest.raises(ConfigErrors) as caught:
        open_project()
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert len(again.errors) == 2
