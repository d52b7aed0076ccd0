"""Shared values: `conf/base/shared.yaml`, which other values interpolate."""

from __future__ import annotations

import pytest

from kart_runtime.project import open_project

SHARED = {
    "conf/base/shared.yaml": "size: 7\nnames:\n  label: ${oc.env:LABEL_OF_TOTAL,total}\n",
    "conf/base/tasks/numbers.yaml": "Numbers:\n  size: ${shared.size}\nTotal:\n  label: ${shared.names.label}\n",
    "conf/prod/shared.yaml": "size: 70\n",
}


def test_a_shared_value_reaches_the_tasks_that_name_it(small_project, monkeypatch):
    small_project(SHARED)
    with open_project() as session:
        assert session.task("Numbers")().size == 7
        assert session.task("Total")().label == "total"
    assert open_project(env="prod").shared["shared.size"].origin == "conf/prod/shared.yaml:1"
    with open_project(overrides=["shared.size=3", "shared.names.label=1.10"]) as session:
        assert session.task("Numbers")().size == 3
        assert session.task("Total")().label == "1.10"
    monkeypatch.setenv("LABEL_OF_TOTAL", "hidden")
    assert open_project().shared["shared.names.label"].secret


def test_a_typo_has_a_suggestion(small_project, refused):
    small_project({**SHARED, "conf/base/tasks/numbers.yaml": "Numbers:\n  size: ${shared.sise}\n"})
    assert "Did you mean 'shared.size'?" in refused()[0]
    assert "Did you mean 'shared.size'?" in refused(overrides=["shared.siez=3"])[0]


@pytest.mark.parametrize("text", ["3\n", "[1]\n"])
def test_shared_values_are_a_map(small_project, refused, text):
    small_project({"conf/base/shared.yaml": text})
    assert "the file does not contain a map" in refused()[0]


def test_what_no_value_uses_is_known(small_project):
    small_project({**SHARED, "conf/base/shared.yaml": "size: 7\nother: 1\nnames:\n  label: a\n"})
    assert open_project().unused == {"shared.other": "conf/base/shared.yaml:2"}
