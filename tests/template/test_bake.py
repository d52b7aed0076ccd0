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
CI = {
    "github": {
        ".github/CODEOWNERS",
        ".github/dependabot.yml",
        ".github/pull_request_template.md",
        ".github/workflows/ci.yml",
    },
    "gitlab": {
        ".gitlab-ci.yml",
        ".gitlab/CODEOWNERS",
        ".gitlab/merge_request_templates/Default.md",
        "renovate.json",
    },
    "none": set[str](),
}
VOLUME = {"local": {"deploy/kubernetes/volume.yaml"}}
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
    .env.example
    .gitattributes
    .gitignore
    .kart-template.json
    .kart-sample.json
    .pre-commit-config.yaml
    AGENTS.md
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
    conf/ci/run.yaml
    conf/dev/logging.yaml
    conf/prod/run.yaml
    conf/prod/tasks/data/load.yaml
    data/README.md
    data/new_tumors.csv
    data/tumors.csv
    deploy/airflow_dag.py
    deploy/cron/my-pipeline
    deploy/cron/run.sh
    deploy/kubernetes/cronjob.yaml
    deploy/kubernetes/job.yaml
    deploy/notify.sh
    deploy/systemd/my-pipeline-failed.service
    deploy/systemd/my-pipeline.service
    deploy/systemd/my-pipeline.timer
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
    tests/lib/conftest.py
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
    assert files(project) == FILES | CI[ci] | VOLUME.get(storage, set()) | {f"vendor/{engine.name}"}
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


def test_notebook_is_valid_and_without_outputs(default_project: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    for path in (default_project / "notebooks").iterdir():
        nbformat.validate(nbformat.read(path, as_version=4))
        cells = json.loads(path.read_text())["cells"]
        assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
        assert len({cell["id"] for cell in cells}) == len(cells)


def test_code_owners_are_comments_until_a_team_writes_one(world: World) -> None:
    for ci in ("github", "gitlab"):
        project = world.bake({"project_name": ci, "ci": ci})
        lines = (project / f".{ci}/CODEOWNERS").read_text().splitlines()
        assert lines
        assert [line for line in lines if not line.startswith("#")] == []


def test_examples_of_variables_are_comments_for_the_storage(world: World) -> None:
    names = {}
    for storage in STORAGE:
        project = world.bake({"project_name": storage, "storage": storage})
        lines = (project / ".env.example").read_text().splitlines()
        assert [line for line in lines if line and not line.startswith("#")] == []
        names[storage] = {line[2:].partition("=")[0] for line in lines if re.match(r"# [A-Z_]+=", line)}
    assert "KART_WORKSPACE" in names["local"]
    assert {"KART_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"} <= names["s3"]
    assert {"KART_BUCKET", "GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"} <= names["gcs"]


def test_agents_file_is_short_and_names_what_exists(default_project: Path) -> None:
    text = (default_project / "AGENTS.md").read_text()
    assert len(text.splitlines()) <= 20
    makefile = (default_project / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)", text):
        assert f"\n{target}:" in makefile
    for path in re.findall(r"`((?:src|conf|tests)/[\w/.]+)`", text):
        assert (default_project / path).exists(), path


IGNORED = """
    .env .env.local conf/local/run.yaml data/patients.csv data/raw/a.parquet outputs/x.json models/m.pkl model.joblib
    net.pt .venv/x .idea/x .vscode/x notebooks/.ipynb_checkpoints/x .coverage htmlcov/x mlruns/x
    src/my_pipeline.egg-info/x
""".split()  # noqa: SIM905
TRACKED = """
    .env.example uv.lock data/README.md data/tumors.csv conf/dev/run.yaml vendor/x.whl notebooks/explore.ipynb
    src/my_pipeline/lib/models/x.py src/my_pipeline/tasks/data/load.py tests/tasks/data/test_load.py
""".split()  # noqa: SIM905


def test_git_ignores_data_and_secrets_and_nothing_else(default_project: Path, tmp_path: Path) -> None:
    shutil.copy(default_project / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    done = subprocess.run(
        ["git", "check-ignore", *IGNORED, *TRACKED], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == IGNORED


def run_printed(world: World, where: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("PWD", str(where))
    world.bake()
    return capfd.readouterr().out


def test_the_end_of_generation_names_three_commands(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    printed = run_printed(world, world.output, monkeypatch, capfd)
    assert printed == "Next:\n  cd my-pipeline\n  make setup\n  make run\n"
    shutil.rmtree(world.output / "my-pipeline")
    printed = run_printed(world, world.root / "home", monkeypatch, capfd)
    assert f"  cd {world.output}/my-pipeline\n" in printed


def test_the_end_of_generation_without_make(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    lines = run_printed(world, world.output, monkeypatch, capfd).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["cd", "python3", ".venv/bin/kart"]
    assert "--group dev --editable . vendor/*.whl" in lines[2]
    shutil.rmtree(world.output / "my-pipeline")
    (tmp_path / "uv").touch(mode=0o755)
    lines = run_printed(world, world.output, monkeypatch, capfd).splitlines()
    assert lines[1:] == ["  cd my-pipeline", "  uv sync", "  .venv/bin/kart run"]


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


def test_pip_installs_the_luigi_that_the_engine_requires(default_project: Path) -> None:
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    (luigi,) = (line for line in dependencies if line.startswith("luigi"))
    assert f'--ignore-requires-python "{luigi}"\n' in (default_project / "Makefile").read_text()


def test_windows_can_check_out_the_template() -> None:
    names = [path.name for path in (REPOSITORY / "template").rglob("*")]
    assert [name for name in names if re.search(r'[<>:"|?*\\]|[. ]$', name)] == []
