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
    assert "its output was deleted and is not needed: its result is used by Total, RunAll" in typed.lines[0]
    assert typed.lines[-1] == "3 tasks: 0 to run, 2 complete, 1 not needed"


def files_of(root):
    found = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path: path.stat().st_mtime_ns for path in found}


@pytest.mark.parametrize("command", ["plan", "tree", "list", "config", "check"])
def test_a_question_changes_nothing(small_project, kart, command):
    root = small_project()
    before = files_of(root)
    assert kart(command).code == 0
    assert files_of(root) == before
