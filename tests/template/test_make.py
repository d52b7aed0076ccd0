"""Every target that `make help` lists can be run, and every target is listed.

The list is read from the Makefile, so a new target cannot be forgotten here: it has to be given a way to run, or a
reason why it cannot.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

RUN = {
    "help": [],
    "run": ["ARGS=TrainModel.max_depth=2"],
    "tree": [],
    "list": [],
    "plan": ["ARGS=EvaluateModels"],
    "config": ["ARGS=--env prod"],
    "new-task": ["TASK=features.encode.EncodeColumns"],
    "notebook": [],
    "test": ["ARGS=-q tests/tasks/data"],
    "test-fast": ["ARGS=-q tests/lib"],
    "format": [],
    "lint": [],
    "types": [],
    "check-config": [],
    "check": [],
    "clean": [],
    "clean-outputs": ["ARGS=--yes"],
}
"""In this order, with these arguments."""

ELSEWHERE = {
    "setup": "test_setup.py, since it needs a package index",
    "lock": "test_setup.py",
    "upgrade": "test_setup.py",
    "template-check": "test_update.py",
    "template-update": "test_update.py",
    "docker-build": "needs a docker engine",
    "docker-run": "needs a docker engine",
}


def listed(text: str) -> list[str]:
    return re.findall(r"^([a-z-]+) {2,}\S", text, re.MULTILINE)


def test_help_lists_every_target_and_no_other(default_project: Path, make: Command) -> None:
    targets = listed(make(default_project, "help").stdout)
    makefile = (default_project / "Makefile").read_text()
    assert targets == re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE)
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].replace("\\", "").split()) == set(targets)
    assert set(targets) == RUN.keys() | ELSEWHERE.keys()
    assert make(default_project).stdout == make(default_project, "help").stdout
    assert "report" not in targets  # its feature is not there yet


def test_every_target_has_a_recipe_that_make_understands(default_project: Path, make: Command) -> None:
    for target in listed(make(default_project, "help").stdout):
        assert make(default_project, "-n", target).stdout.strip(), target


def test_recipes_hold_no_shell_programs(default_project: Path) -> None:
    recipes = re.findall(r"^\t(.*)$", (default_project / "Makefile").read_text(), re.MULTILINE)
    assert [line for line in recipes if re.search(r"\b(if|for|while|case)\b .*;|&&|\|\|", line)] == []


def test_every_target_is_told_without_make_too(default_project: Path, make: Command) -> None:
    document = (default_project / "README.md").read_text().partition("## Without make")[2]
    missing = [name for name in listed(make(default_project, "help").stdout) if name not in document]
    assert missing == ["help", "check", "clean"] or set(missing) <= {"help", "check", "clean"}


def test_before_setup_a_target_says_what_to_do(default_project: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(default_project, tmp_path / "project"))
    for target in ("run", "test", "check", "new-task"):
        done = subprocess.run(["make", target], cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "There is no .venv here yet. Run first: make setup" in done.stderr


@pytest.mark.slow
def test_targets_run(default_project: Path, tmp_path: Path, make: Command) -> None:
    project = Path(shutil.copytree(default_project, tmp_path / "project"))
    said = {target: make(project, target, *words).stdout for target, words in RUN.items()}
    assert "RunAll" in said["tree"]
    assert "max_depth" in said["list"]
    assert "EvaluateModels" in said["plan"]
    assert "outputs/prod/" in said["config"]
    assert (project / "conf/base/tasks/features/encode.yaml").is_file()
    make(project, "clean")  # again: the targets after it have compiled the sources
    assert not list((project / "src").rglob("__pycache__"))
    assert not [path for path in (project / "outputs").rglob("*.json*") if path.parent.name != "runs"]
    assert (project / "notebooks/explore.ipynb").read_bytes() == (
        default_project / "notebooks/explore.ipynb"
    ).read_bytes()


@pytest.mark.slow
def test_the_forms_without_make_run(default_project: Path, tmp_path: Path, command: Command) -> None:
    project = Path(shutil.copytree(default_project, tmp_path / "project"))
    folder = Path(sys.executable).parent
    python = [sys.executable, "-m", "my_pipeline"]
    for words in (
        [*python, "run"],
        [*python, "plan"],
        [*python, "tree"],
        [*python, "list"],
        [*python, "config"],
        [*python, "new-task", "a.b.C"],
        [*python, "check"],
        ["kart", "run"],
        [str(folder / "pytest"), "-m", "not slow", "-q", "tests/lib"],
        [str(folder / "ruff"), "check", "."],
        [str(folder / "ruff"), "format", "--check", "."],
        [str(folder / "mypy")],
        [str(folder / "jupyter"), "execute", "notebooks/explore.ipynb"],
        [*python, "clean"],
    ):
        command(project, *words)
