"""`kart plan`."""

from __future__ import annotations

import re

import pytest


def test_plan_says_run_or_skip_and_why_in_columns(small_project, kart):
    small_project()
    kart("run", "Numbers")
    typed = kart("plan", "--no-history")
    assert typed.code == 0
    first, second, third, counts = typed.lines
    assert re.fullmatch(r"skip  Numbers  [0-9a-f]{8}  its output exists", first)
    assert re.fullmatch(
        r"run   Total    [0-9a-f]{8}  its output does not exist: outputs/.*/Total_[0-9a-f]{32}\.pkl", second
    )
    assert re.fullmatch(r"run   RunAll   [0-9a-f]{8}  its output does not exist: outputs/.*", third)
    assert counts == "3 tasks: 2 to run, 1 complete"
    assert re.fullmatch(r"run   Total    [0-9a-f]{8}  never run before", kart("plan").lines[1])


def test_plan_counts_what_nothing_needs(small_project, kart):
    root = small_project()
    kart("run")
    for path in root.glob("outputs/*/tasks/numbers/Numbers_*"):
        path.unlink()
    typed = kart("plan")
    assert "its output was deleted and is not needed: its result is used by Total, RunAll" in typed.lines[0]
    assert typed.lines[-1] == "3 tasks: 0 to run, 2 complete, 1 not needed"


def test_plan_and_run_say_how_long_a_task_may_take(small_project, kart):
    small_project()
    assert "at most" not in kart("plan").out
    first, second, *_ = kart("plan", "Numbers", "run.timeout=90").lines
    assert first.endswith(" (at most 90 s)")
    assert "at most" not in second
    assert re.search(r"\[1/1\] Numbers \(at most 90 s\) \.\.\.", kart("run", "Numbers", "--timeout", "90").out)
    assert "at most" not in kart("plan", "Numbers", "run.timeout=90").out


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


def test_an_input_file_is_relative_to_the_project_and_its_path_is_configured(
    small_project, kart, tmp_path, monkeypatch
):
    root = small_project(
        {
            "src/PKG/tasks/numbers.py": """
                from kart_runtime import InputFile, TaskOnKart
                import luigi

                class Rows(InputFile[list[int]]):
                    path = luigi.Parameter(default="data/rows.json")

                class Numbers(TaskOnKart[int]):
                    def requires(self):
                        return Rows()
                    def run(self):
                        self.dump(sum(self.load()))

                class Total(Numbers):
                    pass
                """,
            "conf/base/tasks/numbers.yaml": "Rows:\n  path: data/more.json\n",
            "data/rows.json": "[1]",
            "data/more.json": "[2]",
        }
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert kart("run", "Numbers", "--project", str(root)).code == 0
    here = kart("plan", "Numbers", "--project", str(root)).lines
    assert [line.split()[:2] for line in here[:2]] == [["skip", "Rows"], ["skip", "Numbers"]]
    monkeypatch.chdir(root)
    assert kart("plan", "Numbers").lines[0] == here[0]
    (root / "data/rows.json").write_text("[3]")
    assert kart("plan", "Numbers").lines[1].startswith("skip"), "it is not the file that is configured"
    (root / "data/more.json").write_text("[3]")
    assert kart("plan", "Numbers").lines[1].startswith("run")
    assert kart("clean", "Rows", "--yes").code == 0
    assert (root / "data/more.json").exists()
    (root / "data/more.json").unlink()
    typed = kart("plan", "Numbers")
    assert re.match(r"missing  Rows  .* external input not found: /.*/data/more.json", typed.lines[0])


def test_a_group_is_chosen_by_its_bare_name_also_if_a_task_is_named(small_project, kart):
    small_project({"conf/groups/size/big.yaml": "Numbers:\n  size: 9\n"})
    for words in (["size=big"], ["Numbers", "size=big"], ["Numbers", "groups.size=big"]):
        typed = kart("plan", *words)
        assert typed.code == 0, typed.err
        assert "options: size=big" in typed.out
    assert "size  9  conf/groups/size/big.yaml:2" in kart("config", "Numbers", "size=big").out
