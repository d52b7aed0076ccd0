"""From a folder with YAML to tasks with values."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.project import open_project
from kart_runtime.task.parameters import active_overrides

NUMBERS = "conf/base/tasks/numbers.yaml"


def test_values_reach_the_tasks_built_inside(small_project):
    small_project()
    with open_project() as session:
        total = session.task("Total")()
        assert (total.weight, type(total.weight)) == (2.0, float)
        assert session.task("Numbers")().size == 4
        assert session.task("Numbers")(size=9).size == 9
        assert total.workspace_directory == "outputs/"
    assert session.task("Total")().weight == 1.0
    assert active_overrides().by_class == {}


def test_tasks_forget_what_they_required_under_other_values(small_project):
    small_project()
    ids = set()
    for overrides in (["Total.weight=3"], ["Total.weight=4"], ["Total.weight=3"]):
        with open_project(overrides=overrides) as session:
            ids.add(session.task("RunAll")().make_unique_id())
    assert len(ids) == 2


def test_nothing_is_in_force_after_a_refusal(small_project, refused):
    small_project({NUMBERS: "Total:\n  weigth: 2\n"})
    refused()
    assert active_overrides().by_class == {}


def test_without_run_task_a_name_is_needed(small_project):
    small_project({"conf/base/run.yaml": "workspace: outputs/\n"})
    with pytest.raises(ConfigError, match=r"no task given, and run\.task is not set"):
        open_project().task()


def test_activate_holds_until_deactivate(small_project):
    root = small_project()
    session = open_project(root).activate()
    try:
        assert session.task("Numbers")().size == 4
        assert str(root / "src") in sys.path
        with open_project(overrides=["Numbers.size=5"]) as inner:
            assert inner.task("Numbers")().size == 5
        assert session.task("Numbers")().size == 4
    finally:
        session.deactivate()
    assert session.task("Numbers")().size == 3


def test_the_configuration_of_many_entries_is_read_quickly(small_project):
    # OmegaConf alone takes seconds for this; the limit is generous, since machines differ.
    small_project(
        {NUMBERS: "Total:\n  options:\n" + "".join(f"    key{n}: {{a: {n}, b: [1, 2]}}\n" for n in range(2000))}
    )
    began = os.times().user
    open_project()
    assert os.times().user - began < 3


def test_session_is_usable_from_a_path_or_a_folder_below(small_project):
    root = small_project()
    assert open_project(str(root / "src")).project.root == Path(root)
