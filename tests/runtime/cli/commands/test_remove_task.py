"""`kart remove-task`."""

from __future__ import annotations


def test_remove_says_what_is_in_the_way_and_changes_nothing(small_project, kart):
    root = small_project()
    before = {path: path.read_bytes() for path in root.rglob("*.py")}
    typed = kart("remove-task", "Total")
    assert typed.code == 2
    assert 'pipeline.py, line 13: uses Total: return {"numbers": Numbers(), "total": Total()}' in typed.err
    assert {path: path.read_bytes() for path in root.rglob("*.py")} == before


def test_remove_says_what_it_did(small_project, kart):
    root = small_project()
    dry = kart("remove-task", "RunAll", "--dry-run")
    assert (dry.code, dry.lines[-1]) == (0, "Dry run: nothing was changed. Leave out --dry-run to remove the task.")
    typed = kart("remove-task", "RunAll")
    assert typed.code == 0
    assert "deleted conf/base/tasks/pipeline.yaml" in typed.lines
    assert "also change: run.task was RunAll: set it to another task, in conf/base/run.yaml." in typed.lines
    assert typed.lines[-1] == (
        "Removed tasks.pipeline.RunAll. Its outputs stay; to delete them: kart clean RunAll --yes"
    )
    assert "task:" not in (root / "conf/base/run.yaml").read_text()
    assert kart("remove-task", "RunAl").code == 2
    assert kart("check").code == 0
