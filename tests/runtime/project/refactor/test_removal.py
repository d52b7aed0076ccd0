"""Removal of a task: what goes with it, and what keeps it."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.project import Project, check_layout, new_task, remove_task

# Test folders are no packages, so what they share is read as a file.
small_project = runpy.run_path(str(Path(__file__).parents[1] / "conftest.py"))["small_project"]

TASK = '''\
"""A task."""

from kart_runtime import TaskOnKart

LIMIT = 3


class Alone(TaskOnKart[int]):
    def run(self) -> None:
        self.dump(LIMIT)
'''
FILES = {
    "src/PKG/tasks/deep/__init__.py": "",
    "src/PKG/tasks/deep/alone.py": TASK,
    "conf/base/tasks/deep/alone.yaml": "Alone: {}\n",
    "conf/prod/tasks/deep/alone.yaml": "Alone:\n  rerun: false\n",
    "tests/tasks/deep/test_alone.py": "from PKG.tasks.deep.alone import Alone\n\ndef test_it():\n    assert Alone()\n",
}


def contents(root: Path) -> dict[str, bytes]:
    """Return the bytes of each file of a project."""
    paths = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_everything_of_a_task_goes(small_project):
    before = contents(small_project())
    root = small_project(FILES)
    remove_task(Project.find(), "Alone").draft.commit()
    assert sorted(map(Path, contents(root))) == sorted(
        Path(name.replace(Path(name).parts[1], Project.find().package)) if name.startswith("src") else Path(name)
        for name in before
    )
    assert not (root / "conf/base/tasks/deep").exists()
    assert check_layout(Project.find()) == []


def test_imports_without_use_go_and_run_task_is_unset(small_project):
    root = small_project(
        {
            **FILES,
            "tests/test_other.py": "from PKG.tasks.deep.alone import Alone\nfrom PKG import tasks\n\nx = tasks\n",
            "conf/prod/run.yaml": "task: deep.alone.Alone\nseed: 1\n",
            "docs/x.md": "see Alone\n",
        }
    )
    result = remove_task(Project.find(), "Alone")
    result.draft.commit()
    package = Project.find().package
    assert (root / "tests/test_other.py").read_text() == f"from {package} import tasks\n\nx = tasks\n"
    assert (root / "conf/prod/run.yaml").read_text() == "seed: 1\n"
    assert result.notes == ["run.task was deep.alone.Alone: set it to another task, in conf/base/run.yaml."]
    assert result.mentions == ["docs/x.md:1: see Alone"]


@pytest.mark.parametrize(
    ("file", "text", "place"),
    [
        ("src/PKG/lib/x.py", "from PKG.tasks.deep.alone import Alone\n\nx = Alone()\n", "src/PKG/lib/x.py, line 3"),
        ("src/PKG/lib/x.py", "import PKG.tasks.deep.alone as a\nx = a.Alone\n", "src/PKG/lib/x.py, line 2"),
        ("src/PKG/lib/x.py", "from PKG.tasks.deep.alone import *\nx = Alone\n", "src/PKG/lib/x.py, line 2"),
        ("tests/test_x.py", "from PKG.tasks.deep.alone import Alone as A\nA()\n", "tests/test_x.py, line 2"),
        ("conf/base/tasks/numbers.yaml", "Total:\n  label: ${tasks.deep.alone.Alone.x}\n", "numbers.yaml:2"),
        (
            "conf/base/tasks/deep.yaml",
            "alone:\n  Alone: {}\n",
            "conf/base/tasks/deep.yaml:2: sets tasks.deep.alone.Alone",
        ),
    ],
)
def test_a_task_that_is_used_stays(small_project, file, text, place):
    root = small_project({**FILES, file: text})
    before = contents(root)
    with pytest.raises(ConfigError) as caught:
        remove_task(Project.find(), "Alone").draft.commit()
    assert place in str(caught.value).replace(Project.find().package, "PKG")
    assert contents(root) == before


def test_only_the_class_goes_of_a_module_with_several(small_project):
    root = small_project(
        {
            "conf/base/run.yaml": "workspace: outputs/\n",
            "src/PKG/tasks/pipeline.py": "import luigi\n\n\nclass RunAll(luigi.Task):\n    pass\n",
            "tests/tasks/test_numbers.py": (
                "from PKG.tasks.numbers import Numbers, Total\n\n\ndef test_numbers():\n    assert Numbers()\n\n\n"
                "def test_total():\n    assert Total()\n"
            ),
        }
    )
    package = Project.find().package
    remove_task(Project.find(), "Total").draft.commit()
    module = (root / f"src/{package}/tasks/numbers.py").read_text()
    assert "class Total" not in module
    assert "TaskInstanceParameter" not in module
    assert "import luigi" in module
    assert (root / "conf/base/tasks/numbers.yaml").read_text() == "# what is counted\nNumbers:\n  size: 4\n"
    assert (root / "tests/tasks/test_numbers.py").read_text() == (
        f"from {package}.tasks.numbers import Numbers\n\n\ndef test_numbers():\n    assert Numbers()\n"
    )
    assert check_layout(Project.find()) == []


def test_a_module_whose_other_names_are_used_stays(small_project):
    root = small_project({**FILES, "src/PKG/lib/x.py": "from PKG.tasks.deep.alone import LIMIT\n"})
    package = Project.find().package
    result = remove_task(Project.find(), "Alone")
    result.draft.commit()
    module = root / f"src/{package}/tasks/deep/alone.py"
    assert module.read_text() == '"""A task."""\n\nLIMIT = 3\n'
    assert result.notes[-1] == f"src/{package}/tasks/deep/alone.py stays, because other files use it: LIMIT."


@pytest.mark.parametrize("options", [{}, {"needs": ["Numbers"]}, {"output": "png"}, {"type_name": "dict[str, Any]"}])
@pytest.mark.parametrize("name", ["a.b.Alone", "numbers.Alone", "pipeline.Alone"])
def test_new_and_removed_gives_the_same_tree(small_project, name, options):
    root = small_project(
        {"src/PKG/tasks/__init__.py": "", "tests/tasks/test_numbers.py": "def test_x():\n    assert 1\n"}
    )
    package = Project.find().package
    for path in (root / f"src/{package}/tasks").glob("*.py"):  # as ruff would have it
        path.write_text(path.read_text().lstrip("\n"))
    before = contents(root)
    new_task(Project.find(), name, **options)
    assert contents(root) != before
    remove_task(Project.find(), "Alone").draft.commit()
    assert contents(root) == before


def test_an_unknown_task_has_a_suggestion(small_project):
    small_project()
    with pytest.raises(ConfigError, match="Did you mean 'Total'"):
        remove_task(Project.find(), "Totl")
