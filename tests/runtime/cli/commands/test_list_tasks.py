"""`kart list`."""

from __future__ import annotations


def test_list_shows_modules_classes_types_defaults_and_docs(small_project, kart, several):
    small_project({"src/PKG/tasks/several.py": several})
    assert kart("list").lines == [
        "tasks.numbers",
        "  Numbers: Count upwards from zero.",
        "      size  int  3 -> 4  conf/base/tasks/numbers.yaml:3",
        "  Total: Add the numbers up.",
        "      numbers  task   Numbers",
        "      weight   float  1.0 -> 2.0  conf/base/tasks/numbers.yaml:5",
        "      label    text   sum",
        "      options  map    {}",
        "      token    text   none",
        "tasks.pipeline",
        "  RunAll: Write a line about the total.",
        "tasks.several",
        "  Model",
        "      kind    forest | tree  tree",
        "      depth   int            2",
        "      day     date           null",
        "      source  task Numbers   (from Python)",
        "      token   text           none",
        "  Compare",
        "      models  tasks Model  []",
        "5 task classes in 3 modules",
    ]
    assert "workspace_directory" in kart("list", "--all").out


def test_list_works_while_the_configuration_does_not(small_project, kart):
    small_project({"conf/base/run.yaml": "nonsense: 1\n"})
    typed = kart("list")
    assert typed.code == 0
    assert "      size  int  3" in typed.lines
    assert typed.lines[-1] == (
        "The configuration has 1 problem: only the defaults of the code are shown. Run `kart check`."
    )
