"""Each of the nine combinations is a complete project: exactly these files, all of them well-formed."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from conftest import World

REPOSITORY = Path(__file__).parents[2]
STORAGE = ("local", "s3", "gcs")
CI = {"github": {".github/workflows/ci.yml"}, "gitlab": {".gitlab-ci.yml"}, "none": set[str]()}
PRODUCTION = {
    "local": {"workspace": "${oc.env:KART_WORKSPACE,outputs/prod/}"},
    "s3": {"workspace": "s3://${oc.env:KART_BUCKET}/my-pipeline/", "locks": "workspace"},
    "gcs": {"workspace": "gs://${oc.env:KART_BUCKET}/my-pipeline/", "locks": "workspace"},
}
COMBINATIONS = list(itertools.product(STORAGE, CI))

FILES = set(
    """
    .dockerignore
    .editorconfig
    .gitattributes
    .gitignore
    .pre-commit-config.yaml
    .python-version
    Dockerfile
    Makefile
    README.md
    conf/README.md
    conf/base/logging.yaml
    conf/base/run.yaml
    conf/base/tasks/data/load.yaml
    conf/base/tasks/features/split.yaml
    conf/base/tasks/model/evaluate.yaml
    conf/base/tasks/model/predict.yaml
    conf/base/tasks/model/train.yaml
    conf/base/tasks/model/validate.yaml
    conf/base/tasks/pipeline.yaml
    conf/ci/run.yaml
    conf/dev/logging.yaml
    conf/prod/run.yaml
    data/README.md
    data/new_tumors.csv
    data/tumors.csv
    docs/add-a-task.md
    docs/deploy.md
    notebooks/explore.ipynb
    pyproject.toml
    src/my_pipeline/__init__.py
    src/my_pipeline/__main__.py
    src/my_pipeline/base.py
    src/my_pipeline/lib/__init__.py
    src/my_pipeline/lib/frames.py
    src/my_pipeline/lib/models.py
    src/my_pipeline/lib/schemas.py
    src/my_pipeline/lib/scores.py
    src/my_pipeline/py.typed
    src/my_pipeline/tasks/__init__.py
    src/my_pipeline/tasks/data/__init__.py
    src/my_pipeline/tasks/data/load.py
    src/my_pipeline/tasks/features/__init__.py
    src/my_pipeline/tasks/features/split.py
    src/my_pipeline/tasks/model/__init__.py
    src/my_pipeline/tasks/model/evaluate.py
    src/my_pipeline/tasks/model/predict.py
    src/my_pipeline/tasks/model/train.py
    src/my_pipeline/tasks/model/validate.py
    src/my_pipeline/tasks/pipeline.py
    tests/conftest.py
    tests/lib/test_frames.py
    tests/lib/test_models.py
    tests/lib/test_schemas.py
    tests/lib/test_scores.py
    tests/tasks/data/test_load.py
    tests/tasks/features/test_split.py
    tests/tasks/model/test_evaluate.py
    tests/tasks/model/test_predict.py
    tests/tasks/model/test_train.py
    tests/tasks/model/test_validate.py
    tests/tasks/test_pipeline.py
    tests/test_config.py
    tests/test_layout.py
    """.split()  # noqa: SIM905
)


def files(project: Path) -> set[str]:
    return {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("storage", "ci"), COMBINATIONS)
def test_combination(world: World, wheel: ModuleType, storage: str, ci: str) -> None:
    project = world.bake({"storage": storage, "ci": ci})
    engine = wheel.build_wheel(REPOSITORY, world.root / "temporary")
    assert files(project) == FILES | CI[ci] | {f"vendor/{engine.name}"}
    assert (project / "vendor" / engine.name).read_bytes() == engine.read_bytes()
    assert [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())] == []

    requirement = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"][0]
    assert requirement == wheel.runtime_requirement(REPOSITORY, storage)
    assert yaml.safe_load((project / "conf/prod/run.yaml").read_text()) == PRODUCTION[storage]
    assert ("KART_BUCKET" in (project / "Makefile").read_text()) == (storage != "local")
    assert ("s3://" in _texts(project)) == (storage == "s3")
    assert ("gs://" in _texts(project)) == (storage == "gcs")


def _texts(project: Path) -> str:
    return "".join(path.read_text() for path in project.rglob("*") if path.suffix in {".md", ".yaml", ".toml", ".py"})


def test_same_answers_same_bytes(world: World, default_project: Path) -> None:
    project = world.bake()
    assert {name: (project / name).read_bytes() for name in files(project)} == {
        name: (default_project / name).read_bytes() for name in files(default_project)
    }


def test_the_engine_in_vendor_satisfies_the_requirement(default_project: Path) -> None:
    (engine,) = (default_project / "vendor").iterdir()
    table = tomllib.loads((default_project / "pyproject.toml").read_text())["project"]
    requirement = Requirement(table["dependencies"][0])
    name, version = engine.name.split("-")[:2]
    assert name == requirement.name.replace("-", "_")
    assert requirement.specifier.contains(version)


@pytest.mark.parametrize("package", ["x", "p" * 40])
def test_code_is_in_order_whatever_the_package_is_called(world: World, package: str) -> None:
    project = world.bake({"package_name": package})
    for words in (["check", "."], ["format", "--check", "."]):
        done = subprocess.run([sys.executable, "-m", "ruff", *words], cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("ci", "name"), [("github", ".github/workflows/ci.yml"), ("gitlab", ".gitlab-ci.yml")])
def test_ci_does_what_make_does_and_may_do_nothing_else(world: World, ci: str, name: str) -> None:
    project = world.bake({"ci": ci})
    content = yaml.safe_load((project / name).read_text())
    if ci == "github":
        assert content["permissions"] == {"contents": "read"}
        (job,) = content["jobs"].values()
        commands = [step["run"] for step in job["steps"] if "run" in step]
        pythons = job["strategy"]["matrix"]["python"]
        assert job["env"]["UV_PYTHON"] == "${{ matrix.python }}"
    else:
        (job,) = content.values()
        commands = [*job["before_script"], *job["script"]]
        pythons = job["parallel"]["matrix"][0]["PYTHON_VERSION"]
    assert commands == ["python -m pip install uv", "make setup", "make check", "make notebook"]
    classifiers = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["classifiers"]
    supported = [line.rsplit(" ", 1)[1] for line in classifiers if re.search(r":: 3\.\d+$", line)]
    assert pythons == [supported[0], supported[-1]]


def test_notebook_is_valid_and_without_outputs(default_project: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    for path in (default_project / "notebooks").iterdir():
        nbformat.validate(nbformat.read(path, as_version=4))
        cells = json.loads(path.read_text())["cells"]
        assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
        assert len({cell["id"] for cell in cells}) == len(cells)


def test_links_between_documents_lead_somewhere(default_project: Path) -> None:
    for path in default_project.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_generating_from_a_clone_by_its_address(world: World, tmp_path: Path) -> None:
    clone = _committed_copy(tmp_path / "origin.git")
    first = world.bake(template=clone, directory="template")
    second = world.bake({"project_name": "Second"}, template=f"file://{clone}", directory="template")
    assert (world.root / "clones" / "origin" / "template").is_dir()
    for project in (first, second):
        assert len(list((project / "vendor").glob("*.whl"))) == 1


def _committed_copy(folder: Path) -> Path:
    """Return a git repository with what a clone of this one would have."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("template", "kart_runtime"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "copy"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return folder


def test_prompts_are_six_and_each_has_a_text() -> None:
    table: dict[str, Any] = json.loads((REPOSITORY / "template" / "cookiecutter.json").read_text())
    asked = [name for name in table if not name.startswith("_")]
    assert asked == ["project_name", "package_name", "description", "author", "storage", "ci"]
    assert list(table["__prompts__"]) == asked


def test_choices_are_the_same_in_both_places(answers: ModuleType) -> None:
    table = json.loads((REPOSITORY / "template" / "cookiecutter.json").read_text())
    assert {name: tuple(table[name]) for name in answers.CHOICES} == answers.CHOICES
