"""The names of tasks."""

from __future__ import annotations

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.project import open_project


def test_tasks_are_found_by_any_unique_ending(small_project):
    small_project(
        {"src/PKG/tasks/more.py": "import luigi\nclass Total(luigi.Task): pass\nclass Other(luigi.Task): pass\n"}
    )
    session = open_project()
    assert session.task().__name__ == "RunAll"
    assert session.task("more.Total") is session.tasks["tasks.more.Total"]
    with pytest.raises(
        ConfigError, match=r"Total is the name of 2 tasks \(expected tasks.more.Total or tasks.numbers.Total\)"
    ):
        session.task("Total")
    with pytest.raises(ConfigError, match=r"unknown task Othr .*Did you mean 'Other'\?"):
        session.task("Othr")


def test_a_project_without_tasks_says_so(small_project):
    root = small_project(
        {
            "conf/base/run.yaml": None,
            "conf/base/tasks/numbers.yaml": None,
            "conf/base/tasks/pipeline.yaml": None,
        }
    )
    for path in root.glob("src/*/tasks/*.py"):
        path.unlink()
    with pytest.raises(ConfigError, match="the package's tasks folder, which has none"):
        open_project().task("RunAll")
