"""A generated project without its sample: it runs, passes its checks, and an update does not bring the sample back."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kart_runtime.cli import main
from kart_runtime.project.template.sample import SAMPLE, follow_sample, read_sample

if TYPE_CHECKING:
    from conftest import Command


@pytest.fixture
def removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[Path], Path]:
    """`removed(project)`: a copy of a project, without the sample."""

    def remove(project: Path) -> Path:
        copy = Path(shutil.copytree(project, tmp_path / "removed"))
        assert main(["--project", str(copy), "remove-sample"]) == 0
        capsys.readouterr()
        return copy

    return remove


def texts(project: Path) -> dict[str, str]:
    """Return the text files of a project."""
    paths = (path for path in project.rglob("*") if path.is_file() and path.suffix not in (".whl", ".pyc"))
    return {path.relative_to(project).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def test_the_template_marks_are_in_no_project(default_project: Path) -> None:
    assert not [name for name, text in texts(default_project).items() if re.search(r"^@@ ", text, re.MULTILINE)]


def test_every_file_of_the_users_folders_is_recorded(default_project: Path) -> None:
    sample = read_sample(default_project)
    assert sample is not None
    edited = {edit.file for edit in sample.edits}
    folders = ("src/my_pipeline/tasks", "src/my_pipeline/lib", "tests/tasks", "tests/lib", "data", "notebooks")
    for name in texts(default_project):
        if name.startswith(folders) and not name.endswith("__init__.py"):
            assert (name in sample.files) != (name in edited), name
    content = texts(default_project)
    assert all(sample.is_unchanged(name, content[name].encode()) for name in sample.files)
    assert all(content[edit.file].count(edit.old) == 1 for edit in sample.edits)


@pytest.mark.parametrize("storage", ["local", "s3", "gcs"])
def test_no_file_is_about_the_sample(bake_shared: Callable[..., Path], removed: Callable, storage: str) -> None:
    answers = {} if storage == "local" else {"storage": storage, "ci": "gitlab" if storage == "s3" else "none"}
    project = removed(bake_shared(**answers))
    left = texts(project)
    assert sorted(name for name in left if name.startswith(("src/", "tests/tasks", "tests/lib", "data/"))) == [
        "data/README.md",
        "src/my_pipeline/__init__.py",
        "src/my_pipeline/__main__.py",
        "src/my_pipeline/base.py",
        "src/my_pipeline/lib/__init__.py",
        "src/my_pipeline/py.typed",
        "src/my_pipeline/tasks/__init__.py",
        "src/my_pipeline/tasks/pipeline.py",
        "tests/tasks/test_pipeline.py",
    ]
    assert SAMPLE not in left
    assert not (project / "conf/base/tasks").exists()
    tasks = "LoadData|LoadNewData|SplitData|TrainModel|EvaluateModels|ScoreFold|CrossValidate|PredictTumors"
    words = rf"tumor|{tasks}|scikit|sklearn|matplotlib"
    # Most projects add scikit-learn again, and mypy's complaint about it would then be their first.
    left["pyproject.toml"] = left["pyproject.toml"].replace('module = ["luigi.*", "sklearn.*"]', "")
    assert [name for name, text in left.items() if re.search(words, text)] == []
    assert json.loads(left["notebooks/explore.ipynb"])["cells"][-1]["source"][-1] == "build(RunAll())"


@pytest.mark.slow
def test_what_is_left_runs_and_passes_every_check(
    default_project: Path, removed: Callable[[Path], Path], make: Command
) -> None:
    project = removed(default_project)
    said = make(project, "run", "lint", "types", "check-config", "notebook").stdout
    assert "1 task: 0 ran, 1 already complete" in said
    assert "Success: no issues found" in said
    assert "plan: ok" in said
    make(project, "new-task", "TASK=features.encode.EncodeColumns", "ARGS=--type pd.DataFrame")
    make(project, "lint", "check-config")
    assert " passed" in make(project, "test").stdout


def test_a_render_of_the_template_follows_a_project_without_the_sample(
    default_project: Path, removed: Callable[[Path], Path], tmp_path: Path
) -> None:
    project = removed(default_project)
    base, new = (Path(shutil.copytree(default_project, tmp_path / name)) for name in ("base", "new"))
    assert follow_sample(project, [base, new], lambda _: False) is None
    assert texts(base) == texts(new) == texts(project)


def test_the_record_of_a_project_with_the_sample_follows_the_template_where_its_files_do(
    default_project: Path, tmp_path: Path
) -> None:
    new = Path(shutil.copytree(default_project, tmp_path / "new"))
    document = json.loads((new / SAMPLE).read_text())
    document["files"] = dict.fromkeys(document["files"], "later")
    document["edits"] = [{**edit, "new": "later"} for edit in document["edits"]]
    (new / SAMPLE).write_text(json.dumps(document))
    followed = follow_sample(default_project, [new], lambda name: name.startswith(("src/", "README")))
    before, after = json.loads((default_project / SAMPLE).read_text()), json.loads(followed or b"")
    for name, digest in after["files"].items():
        assert digest == (before["files"][name] if name.startswith("src/") else "later")
    assert {edit["file"] for edit in after["edits"] if edit["new"] != "later"} == {
        edit["file"] for edit in before["edits"] if edit["file"].startswith(("src/", "README"))
    }


def test_a_removal_needs_neither_git_nor_cookiecutter(default_project: Path, tmp_path: Path, command: Command) -> None:
    project = Path(shutil.copytree(default_project, tmp_path / "project"))
    code = (
        "import sys; sys.modules['cookiecutter'] = None; from kart_runtime.cli import main; "
        "raise SystemExit(main(['remove-sample']))"
    )
    said = command(project, sys.executable, "-c", code, PATH="").stdout
    assert "Removed the sample" in said
