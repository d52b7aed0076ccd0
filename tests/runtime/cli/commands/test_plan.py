"""`kart plan`."""

from __future__ import annotations

import re

import pytest


def test_plan_says_run_or_skip_and_why_in_columns(small_project, kart):
    small_project()
    kart("run", "Numbers")
    typed = kart("plan")
    assert typed.code == 0
    first, second, third, counts = typed.lines
    assert re.fullmatch(r"skip  Numbers  [0-9a-f]{8}  its output exists", first)
    assert re.fullmatch(
        r"run   Total    [0-9a-f]{8}  its output does not exist: outputs/.*/Total_[0-9a-f]{32}\.pkl", second
    )
    assert re.fullmatch(r"run   RunAll   [0-9a-f]{8}  its output does not exist: outputs/.*", third)
    assert counts == "3 tasks: 2 to run, 1 complete"


def test_plan_counts_what_nothing_needs(small_project, kart):
    root = small_project()
    kart("run")
    for path in root.glob("outputs/*/tasks/numbers/Numbers_*"):
        path.unlink()
    typed = kart("plan")
    assert "not needed by any task to run" in typed.lines[0]
    assert typed.lines[-1] == "3 tasks: 0 to run, 2 complete, 1 not needed"


EXTERNAL = """
    import luigi
    from kart_runtime import TaskOnKart

    class Outside(TaskOnKart[int]):
        run = NotImplemented

    class Inside(TaskOnKart[int]):
        def requires(self):
            return Outside()

        def run(self):
            self.dump(1)
    """


def test_a_plan_with_something_missing_exits_as_a_run_would(small_project, kart):
    small_project({"src/PKG/tasks/outside.py": EXTERNAL})
    planned = kart("plan", "Inside")
    assert planned.lines[0].startswith("missing  Outside")
    assert planned.code == kart("run", "Inside").code == 1
    assert kart("plan", "Numbers").code == 0


def files_of(root):
    found = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path: path.stat().st_mtime_ns for path in found}


@pytest.mark.parametrize("command", ["plan", "tree", "list", "config", "check"])
def test_a_question_changes_nothing(small_project, kart, command):
    root = small_project()
    before = files_of(root)
    assert kart(command).code == 0
    assert files_of(root) == before
