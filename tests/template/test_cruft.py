"""A project made by cruft takes over what is new in the template, and fails loudly where it cannot."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command, World

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
TREE = "template/{{directory_name(cookiecutter.project_name)}}"


def git(folder: Path, *words: str) -> str:
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *author, *words], cwd=folder, text=True, capture_output=True, check=True)
    return done.stdout


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "state")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, path
    path.write_text(text.replace(old, new))


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository with the template, as others would clone it."""
    folder = tmp_path / "origin.git"
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("template", "kart_runtime"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder / name)
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


@pytest.fixture
def project(origin: Path, world: World) -> Path:
    """A project made by cruft and committed."""
    words = ["create", str(origin), "--directory", "template", "--no-input", "--output-dir", str(world.output)]
    words += ["--config-file", str(world.config), "--extra-context", '{"description": "Says \\"😀\\" \\\\ and more"}']
    subprocess.run([sys.executable, "-m", "cruft", *words], check=True, capture_output=True, text=True)
    (folder,) = world.output.iterdir()
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def versions() -> tuple[str, str]:
    """Return the engine's version, and a later compatible one."""
    found = re.search(r'^version = "((.*)\.(\d+))"$', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None
    return found[1], f"{found[2]}.{int(found[3]) + 1}"


def publish_news(origin: Path) -> None:
    """Change what a later version might: tooling, the engine's version, a filter, and files that the user owns."""
    version, later = versions()
    shouted = "def shouted(text):\n    return text.upper()\n\n\n"
    replace(origin / TREE / ".editorconfig", "charset = utf-8", "charset = utf-8\nmax_line_length = 120")
    replace(origin / TREE / "src/{{cookiecutter.package_name}}/base.py", "Base class", "New class")
    replace(origin / "pyproject.toml", f'version = "{version}"', f'version = "{later}"')
    replace(origin / "template/answers.py", 'FILTERS = ("', 'FILTERS = ("shouted", "')
    replace(origin / "template/answers.py", "def problems(", f"{shouted}def problems(")
    replace(origin / TREE / "Makefile", "# Arguments", "# {{ 'new' | shouted }}\n# Arguments")
    commit(origin)


def test_project_by_cruft_is_up_to_date(project: Path, default_project: Path, make: Command) -> None:
    assert set(git(project, "ls-files").split()) == _names(default_project) | {".cruft.json"}
    assert "up to date" in make(project, "template-check").stdout
    assert "Nothing to do" in _update(project)


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _update(project: Path) -> str:
    words = [sys.executable, "-m", "cruft", "update", "--skip-apply-ask"]
    return subprocess.run(words, cwd=project, text=True, capture_output=True, check=True).stdout


def test_update_takes_over_the_tooling_and_leaves_the_code(origin: Path, project: Path, make: Command) -> None:
    own = project / "src/my_pipeline/base.py"
    own.write_text(own.read_text() + "\nOWN = 1\n")
    replace(project / "Makefile", "ARGS   =", "OWN    =\nARGS   =")
    commit(project)
    publish_news(origin)
    assert "out of date" in make(project, "template-check", ok=False).stdout

    said = make(project, "template-update").stdout
    assert "passed" in said  # make check ran
    assert "max_line_length" in (project / ".editorconfig").read_text()
    assert "# NEW\n" in (project / "Makefile").read_text()
    assert "OWN    =" in (project / "Makefile").read_text()
    assert "Base class" in own.read_text()
    assert own.read_text().endswith("OWN = 1\n")
    assert [path.name for path in (project / "vendor").iterdir()] == [f"kart_runtime-{versions()[1]}-py3-none-any.whl"]
    assert re.search(r'description = "Says \\"\\U0001F600\\"', (project / "pyproject.toml").read_text())
    assert "up to date" in make(project, "template-check").stdout


def test_update_with_a_conflict_fails(origin: Path, project: Path, make: Command) -> None:
    replace(project / ".editorconfig", "charset = utf-8", "charset = latin1")
    commit(project)
    publish_news(origin)
    done = make(project, "template-update", ok=False)
    assert done.returncode != 0
    assert ".editorconfig" in done.stdout
    assert "passed" not in done.stdout


def test_update_that_leaves_rejected_pieces_fails(origin: Path, project: Path, make: Command) -> None:
    replace(project / ".editorconfig", "charset = utf-8", "charset = latin1")
    commit(project)
    (project / ".editorconfig.rej").write_text("@@\n")
    publish_news(origin)
    git(project, "checkout", "--quiet", "-B", "main")
    replace(project / ".editorconfig", "charset = latin1", "charset = utf-8")
    commit(project)
    done = make(project, "template-update", ok=False)
    assert done.returncode != 0
    assert ".editorconfig.rej" in done.stdout


def test_update_of_unsaved_work_is_refused(origin: Path, project: Path, make: Command) -> None:
    publish_news(origin)
    replace(project / "Makefile", "ARGS   =", "OWN    =\nARGS   =")
    done = make(project, "template-update", ok=False)
    assert done.returncode != 0
    assert "max_line_length" not in (project / ".editorconfig").read_text()


def test_update_outside_git_with_a_conflict_fails(origin: Path, project: Path, make: Command) -> None:
    replace(project / ".editorconfig", "charset = utf-8", "charset = latin1")
    shutil.rmtree(project / ".git")
    publish_news(origin)
    assert make(project, "template-update", ok=False).returncode != 0


def test_project_without_cruft_is_told_so(default_project: Path, tmp_path: Path, make: Command) -> None:
    project = Path(shutil.copytree(default_project, tmp_path / "project"))
    assert make(project, "template-check", ok=False).returncode != 0
