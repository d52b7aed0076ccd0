"""`kart rename-task`, and what it takes to be rid of the old outputs."""

from __future__ import annotations

import re

import pytest


def test_rename_says_what_changed_and_what_to_do(small_project, kart):
    root = small_project({"docs/x.md": "Total of all\n"})
    kart("run")
    typed = kart("rename-task", "Total", "sums.AddUp")
    assert typed.code == 0
    assert [re.sub(r"small_\w+", "PKG", line) for line in typed.lines] == [
        "changed conf/base/tasks/numbers.yaml",
        "wrote conf/base/tasks/sums.yaml",
        "changed src/PKG/tasks/numbers.py",
        "changed src/PKG/tasks/pipeline.py",
        "wrote src/PKG/tasks/sums.py",
        "also mentions it: docs/x.md:1: Total of all",
        "Renamed tasks.numbers.Total to tasks.sums.AddUp. Its ids change, so it and all downstream run again.",
        "Outputs of the old name stay; to delete them: kart clean Total --yes",
        "Next: sort imports anew (make format), then kart check",
    ]
    assert (root / "conf/base/tasks/sums.yaml").read_text() == "AddUp:\n  weight: 2\n"


def test_a_dry_run_shows_a_diff_and_changes_nothing(small_project, kart):
    root = small_project()
    before = {path: path.read_bytes() for path in root.rglob("*.py")}
    typed = kart("rename-task", "Total", "AddUp", "--dry-run")
    assert typed.code == 0
    assert "-class Total(TaskOnKart[float]):" in typed.lines
    assert "+class AddUp(TaskOnKart[float]):" in typed.lines
    assert typed.lines[-1].startswith("Dry run: nothing was changed.")
    assert {path: path.read_bytes() for path in root.rglob("*.py")} == before


def test_a_renamed_project_runs(small_project, kart):
    root = small_project()
    package = next((root / "src").iterdir()).name
    moved = small_project({"conf/base/tasks/pipeline.yaml": "RunAll: {}\n"})
    assert kart("rename-task", "RunAll", "whole.RunAll").code == 0
    assert kart("check").lines[0] == "configuration: ok"
    assert kart("run", "--quiet").code == 0
    assert package not in {path.name for path in (moved / "src").iterdir()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Totl", "AddUp"], "error: command line: unknown task Totl\n       did you mean 'Total'?"),
        (["Total", "Numbers"], "there is a task Numbers already; choose another name. Nothing was changed"),
        (
            ["Total", "add_up"],
            "'add_up' is not a valid name of a task class\n       expected: ClassName, to stay in its",
        ),
        (["Total"], "the following arguments are required: NEW"),
        (["Total", "AddUp", "--dryrun"], "unknown option --dryrun\n       did you mean '--dry-run'?"),
    ],
)
def test_mistakes_are_told_with_2(small_project, kart, words, message):
    small_project()
    typed = kart("rename-task", *words)
    assert typed.code == 2
    assert message in typed.err


def test_rename_needs_no_module_that_can_be_imported(small_project, kart):
    small_project({"src/PKG/tasks/broken.py": "import nowhere_at_all\n"})
    assert kart("rename-task", "Total", "AddUp").code == 0
