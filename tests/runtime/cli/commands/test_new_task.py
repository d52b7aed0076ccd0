"""`kart new-task`."""

from __future__ import annotations

import re
import sys

import pytest


def test_new_task_says_what_it_wrote_and_the_project_still_fits(small_project, kart):
    small_project()
    typed = kart("new-task", "features.encode.EncodeColumns")
    assert typed.code == 0
    assert [re.sub(r"small_\w+", "PKG", line) for line in typed.lines] == [
        "wrote src/PKG/tasks/features/encode.py",
        "wrote tests/tasks/features/test_encode.py",
        "Next: write run() in src/PKG/tasks/features/encode.py, then its test in tests/tasks/features/test_encode.py.",
        "Run it: kart run EncodeColumns   (with make: make run ARGS=EncodeColumns)",
        "Another one: kart new-task MODULE.ClassName   (with make: make new-task TASK=MODULE.ClassName)",
    ]
    assert kart("check").code == 0
    assert kart("run", "EncodeColumns").code == 0


@pytest.mark.parametrize("words", [["EncodeColumns"], ["features.Encode.x"], [], ["a.b.C", "d.e.F"], ["--env", "ci"]])
def test_new_task_refuses_with_2(small_project, kart, words):
    small_project()
    assert kart("new-task", *words).code == 2


def test_new_task_twice_is_refused(small_project, kart):
    small_project()
    kart("new-task", "features.encode.EncodeColumns")
    typed = kart("new-task", "features.encode.EncodeColumns")
    assert typed.code == 2
    assert "defines EncodeColumns already; nothing was written" in typed.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no name given; expected MODULE.ClassName"),
        (["a.b.C", "--needs", "Totl"], "error: --needs: unknown task Totl\n       did you mean 'Total'?"),
        (["a.b.C", "--needs", "Totl,Numbrs"], "2 problems; nothing was run or changed."),
        (["a.b.C", "--output", "parket"], "unknown format 'parket'\n       did you mean 'parquet'?"),
        (["a.b.C", "--output", "parquet", "--type", "dict"], "a parquet file cannot hold dict[str, int]"),
        (["a.b.C", "--output", "png", "--type", "pd.DataFrame"], "a png file cannot hold pd.DataFrame"),
        (["a.b.C", "--type", "Frame"], "'Frame' in 'Frame' is no built-in type; write it with its module"),
        (["a.b.C", "--type", "1 +"], "'1 +' is no type"),
        (["a.b.C", "--type", "__import__('os')"], "is no type"),
        (["numbers.Numbers"], "defines Numbers already; nothing was written"),
        (["numbers.deep.C"], "is a module, so a folder cannot have this name"),
    ],
)
def test_mistakes_are_told_with_2(small_project, kart, words, message):
    root = small_project()
    before = {path for path in root.rglob("*") if "__pycache__" not in path.parts}
    typed = kart("new-task", *words)
    assert typed.code == 2
    assert message in typed.err
    assert {path for path in root.rglob("*") if "__pycache__" not in path.parts} == before


def test_a_second_class_joins_a_module(small_project, kart, monkeypatch):
    root = small_project()
    package = next((root / "src").iterdir()).name
    typed = kart("new-task", "numbers.Doubled", "--needs", "Numbers", "--output", "json")
    assert typed.code == 0
    assert [line.split()[0] for line in typed.lines[:3]] == ["changed", "changed", "Next:"]
    assert "Doubled" not in (root / "conf/base/tasks/numbers.yaml").read_text()
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)  # the next command is another process
    assert kart("check").code == 0
    assert kart("run", "Doubled").code == 0


@pytest.mark.parametrize(
    ("options", "annotation", "suffix"),
    [
        ([], "TaskOnKart[list[int]]", ""),
        (["--output", "pkl"], "TaskOnKart[list[int]]", ".pkl"),
        (["--output", "parquet"], "TaskOnKart[pd.DataFrame]", ".parquet"),
        (["--output", "csv"], "TaskOnKart[pd.DataFrame]", ".csv"),
        (["--output", "json"], "TaskOnKart[dict[str, int]]", ".json"),
        (["--output", "png"], "TaskOnKart[bytes]", ".png"),
        (["--type", "pd.DataFrame"], "TaskOnKart[pd.DataFrame]", ".parquet"),
        (["--type", "pl.DataFrame", "--output", "csv"], "TaskOnKart[pl.DataFrame]", ".csv"),
        (["--type", "dict"], "TaskOnKart[dict[str, int]]", ".json"),
        (["--type", "list[str]"], "TaskOnKart[list[str]]", ".json"),
        (["--type", "dict[str, pd.DataFrame]"], "TaskOnKart[dict[str, pd.DataFrame]]", ""),
        (["--type", "str"], "TaskOnKart[str]", ".json"),
        (["--type", "float", "--output", "pkl"], "TaskOnKart[float]", ".pkl"),
        (["--type", "pd.DataFrame", "--output", "pkl"], "TaskOnKart[pd.DataFrame]", ".pkl"),
        (["--type", "Any"], "TaskOnKart[Any]", ""),
        (["--type", "npt.NDArray[np.float64]"], "TaskOnKart[npt.NDArray[np.float64]]", ""),
    ],
)
def test_each_format_and_type_runs(small_project, kart, options, annotation, suffix):
    root = small_project()
    assert kart("new-task", "a.b.C", *options, "--needs", "Numbers").code == 0
    source = next(root.glob("src/*/tasks/a/b.py")).read_text()
    assert f"class C({annotation}):" in source
    assert "def output" not in source
    assert (f'suffix = "{suffix}"' in source) == bool(suffix)
    assert kart("run", "C", "--quiet").code == 0
    assert bool([*root.glob(f"outputs/*/tasks/a/b/C_*{suffix}")])
    assert "isinstance(build(C())" in (test := (root / "tests/tasks/a/test_b.py").read_text()) or "is not None" in test
