"""Every target that `make help` lists can be run, and every target is listed.

The list is read from the Makefile, so a new target cannot be forgotten here: it has to be given a way to run, or a
reason why it cannot.
"""

from __future__ import annotations

import os
import re
import shlex
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
    "report": ["ARGS=--no-previews"],
    "compare": ["ARGS=EvaluateModels"],
    "tree": [],
    "list": [],
    "plan": ["ARGS=EvaluateModels"],
    "config": ["ENV=prod"],
    "new-task": ["TASK=features.scale.ScaleColumns"],
    "test-fast": ["ARGS=-q tests/lib"],
    "format": [],
    "check": [],
    "clean": [],
    "clean-outputs": ["ARGS=--yes"],
}
"""In this order, with these arguments."""

IN_CHECK = {"lint", "types", "check-config", "test", "notebook"}
"""`make check` is all of them."""

ELSEWHERE = {
    "setup": "test_setup.py, since it needs a package index",
    "lock": "test_setup.py",
    "upgrade": "test_setup.py",
    "lab": "opens a browser",
    "fix": "tests/runtime/cli",
    "rename-task": "tests/runtime/cli",
    "remove-task": "tests/runtime/cli",
    "remove-sample": "test_remove_sample.py",
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
    assert targets == [
        name for name in re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE) if name != "unfinished"
    ]
    known = re.search(r"^TARGETS +=((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert known is not None
    assert known[1].replace("\\", "").split() == targets
    assert "\n.PHONY: $(TARGETS)\n" in makefile
    assert set(targets) == RUN.keys() | ELSEWHERE.keys() | IN_CHECK
    assert make(default_project).stdout == make(default_project, "help").stdout


def test_every_target_has_a_recipe_that_make_understands(default_project: Path, make: Command) -> None:
    for target in listed(make(default_project, "help").stdout):
        name = ["TASK=a.b.C"] if target in {"new-task", "rename-task", "remove-task"} else []
        assert make(default_project, "-n", target, *name).stdout.strip(), target


def test_recipes_hold_no_shell_programs(default_project: Path) -> None:
    recipes = re.findall(r"^\t(.*)$", (default_project / "Makefile").read_text(), re.MULTILINE)
    assert [line for line in recipes if re.search(r"\b(if|for|while|case)\b .*;|&&|\|\|", line)] == []


def test_before_setup_a_target_says_what_to_do(default_project: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(default_project, tmp_path / "project"))
    for words in (["run"], ["test"], ["check"], ["new-task", "TASK=a.b.C"]):
        done = subprocess.run(["make", *words], cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "There is no .venv here yet. Run first: make setup" in done.stderr


REFUSED = [
    (["run", "TrainModel.max_depth=3"], 'make run ARGS="TrainModel.max_depth=3"'),
    (["TrainModel.max_depth=3"], 'make run ARGS="TrainModel.max_depth=3"'),
    (["run", "TrainModel.max_depth=3", "EvaluateModels"], 'make run ARGS="TrainModel.max_depth=3 EvaluateModels"'),
    (["plan", "run.workers=2"], 'make plan ARGS="run.workers=2"'),
    (["run", "TrainModel"], 'make run ARGS="TrainModel"'),
    (["run", "TrainModel", "EvaluateModels"], 'make run ARGS="TrainModel EvaluateModels"'),
    (["TrainModel"], 'make run ARGS="TrainModel"'),
    (["run", "--", "--rerun"], 'make run ARGS="--rerun"'),
    (["run", "--env", "prod"], "make run ENV=prod"),
    (["--env", "prod", "plan"], "make plan ENV=prod"),
    (["-e", "run"], "make run ENV=prod"),
    (["run", "prod"], 'make run ARGS="prod"'),
    (["test", "-k", "load"], 'make test ARGS="load"'),
    (["run", "ARG=x"], 'make run ARGS="x"'),
    (["run", "args=TrainModel x"], 'make run ARGS="TrainModel x"'),
    (["run", "env=prod"], "make run ENV=prod"),
    (["run", "ENVIRONMENT=prod"], "make run ENV=prod"),
    (["new-task", "task=a.b.C"], 'make new-task TASK="a.b.C"'),
    (["run", "task=RunAll"], 'make run ARGS="RunAll"'),
    (["run", "TASK=RunAll"], 'make run ARGS="RunAll"'),
    (["run", "WORKERS=4"], "no variable WORKERS; there are ARGS, TASK and ENV. Options and parameters go through ARGS"),
    (["max_depth=3", "run"], "no variable max_depth"),
    (["new-task", "features.x.Y"], 'make new-task TASK="features.x.Y"'),
    (["rename-task", "TrainModel", "FitModel"], 'make rename-task TASK="TrainModel FitModel"'),
    (["new-task"], "make new-task TASK=features.encode.EncodeColumns"),
    (["rename-task"], 'make rename-task TASK="TrainModel FitModel"'),
    (["remove-task"], "make remove-task TASK=TrainModel"),
    (["tests"], "Did you mean: make test?"),
    (["lint", "typs"], "Did you mean: make types?"),
    (["clean", "outputs"], "Did you mean: make clean-outputs?"),
    (["Run"], "Did you mean: make run?"),
    (["a'b$(touch pwned)"], "no target a'b$(touch"),
    (["lint", "ARGS=--fix"], "lint takes no ARGS"),
    (["check", "ARGS=-x"], "check takes no ARGS"),
    (["ARGS=TrainModel"], "make without a target takes no ARGS"),
    (["test", "ENV=prod"], "test takes no ENV"),
    (["run", "ENV="], "ENV is the name of one environment"),
    (["run", "ENV=prod TrainModel"], "ENV is the name of one environment"),
]


@pytest.fixture(scope="module")
def traced(default_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose Python only writes down how it is called."""
    project = Path(shutil.copytree(default_project, tmp_path_factory.mktemp("traced") / "project"))
    python = project / "python"
    python.write_text('#!/bin/sh\necho "$@" >> calls\n')
    python.chmod(0o755)
    return project


def trace(project: Path, *words: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Return what make did, and how it called Python."""
    calls = project / "calls"
    calls.unlink(missing_ok=True)
    env = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}} | environment
    done = subprocess.run(
        ["make", *words, "PYTHON=./python"], cwd=project, env=env, capture_output=True, text=True, check=False
    )
    return done, calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.parametrize(
    ("words", "message"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_what_make_does_not_know_is_refused_before_anything_runs(traced: Path, words: list[str], message: str) -> None:
    done, calls = trace(traced, *words)
    (line,) = done.stderr.splitlines()
    assert message in line
    assert "Nothing ran: " in line
    assert (done.returncode, done.stdout, calls) == (2, "", [])
    assert not (traced / "pwned").exists()


@pytest.mark.parametrize("option", ["--rerun", "--workers=4", "--env=prod", "-x"])
def test_options_that_make_itself_refuses_run_nothing(traced: Path, option: str) -> None:
    done, calls = trace(traced, "run", option)
    assert (done.returncode, calls) == (2, [])


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (["run", "ENV=prod"], ["-m my_pipeline run --env prod"]),
        (
            ["run", "ENV=prod", "ARGS=TrainModel.max_depth=2 --rerun"],
            ["-m my_pipeline run --env prod TrainModel.max_depth=2 --rerun"],
        ),
        (["plan", "ENV=ci"], ["-m my_pipeline plan --env ci"]),
        (["tree", "ENV=ci"], ["-m my_pipeline tree --env ci"]),
        (["config", "ENV=ci"], ["-m my_pipeline config --env ci"]),
        (["check-config", "ENV=ci"], ["-m my_pipeline check --env ci"]),
        (["clean-outputs", "ENV=ci", "ARGS=--yes"], ["-m my_pipeline clean --env ci --yes"]),
        (["run", "KART_ENV=prod"], ["-m my_pipeline run"]),
        (["lint", "types"], ["-m ruff check .", "-m ruff format --check .", "-m mypy"]),
        (["plan", "run", "ARGS=TrainModel"], ["-m my_pipeline plan TrainModel", "-m my_pipeline run TrainModel"]),
        (["format", "test", "ARGS=-x"], ["-m ruff check --fix-only .", "-m ruff format .", "-m pytest -x --cov"]),
        (["new-task", "TASK=a.b.C", "ARGS=--output json"], ["-m my_pipeline new-task a.b.C --output json"]),
        (["rename-task", "TASK=A B"], ["-m my_pipeline rename-task A B"]),
        (["remove-task", "TASK=A"], ["-m my_pipeline remove-task A"]),
        (["fix"], ["-m my_pipeline check --fix"]),
        (["template-check"], ["-m my_pipeline update --check"]),
        (["template-update"], ["-m my_pipeline update"]),
        (["-n", "run"], []),
        (["-s", "run"], ["-m my_pipeline run"]),
        (["-k", "run"], ["-m my_pipeline run"]),
        (["-j2", "run"], ["-m my_pipeline run"]),
        (["--no-print-directory", "run"], ["-m my_pipeline run"]),
        (["-C", ".", "run"], ["-m my_pipeline run"]),
        (["-f", "Makefile", "run"], ["-m my_pipeline run"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_make_passes_on(traced: Path, words: list[str], calls: list[str]) -> None:
    done, made = trace(traced, *words)
    assert done.returncode == 0, done.stderr
    assert [" ".join(call.split()) for call in made] == calls


def test_variables_of_the_shell_do_not_count(traced: Path) -> None:
    _, calls = trace(traced, "run", ENV="/etc/profile", ARGS="x", TASK="y", WORKERS="4", args="z")
    assert calls == ["-m my_pipeline run"]


def test_a_makefile_around_the_project_may_have_variables_of_its_own(traced: Path, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(f"all:\n\t$(MAKE) -C {traced} run\n")
    (traced / "calls").unlink(missing_ok=True)
    env = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    subprocess.run(["make", "VERSION=3", "PYTHON=./python"], cwd=tmp_path, env=env, check=True, capture_output=True)
    assert (traced / "calls").read_text().splitlines() == ["-m my_pipeline run"]


def test_completion_of_shells_still_lists_the_targets(traced: Path) -> None:
    done, calls = trace(traced, "-npq", "__BASH_MAKE_COMPLETION__=1", ".DEFAULT")
    assert "\nclean-outputs:" in done.stdout
    assert calls == []


def fake_python(folder: Path, name: str, answers: str) -> None:
    """Write a program that answers as a Python of a certain kind."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\ncase "$*" in\n{answers}\n*) exit 1;;\nesac\n')
    path.chmod(0o755)


OLD = "--version) echo Python 3.10.9;;"
NEW = "*version_info*3,*11*) echo yes;;\n*ensurepip*) echo yes;;\n*version_info*) echo 3.12;;"


def setup_by_pip(project: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Show what `make setup` would run where these Pythons are all there is."""
    folder.mkdir(exist_ok=True)
    env = {"PATH": str(folder)}
    make = shutil.which("make")
    assert make is not None
    for tool in ("sh", "env"):
        (folder / tool).unlink(missing_ok=True)
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return subprocess.run(
        [make, "-n", "setup", *words], cwd=project, env=env, capture_output=True, text=True, check=False
    )


def test_setup_says_in_one_line_what_is_missing(default_project: Path, tmp_path: Path) -> None:
    def refusal(*words: str) -> str:
        done = setup_by_pip(default_project, tmp_path / "bin", *words)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        return line

    assert "needs Python 3.11 or newer; found no python3. Install one" in refusal()
    fake_python(tmp_path / "bin", "python3", OLD)
    assert "needs Python 3.11 or newer; found Python 3.10.9. Install one" in refusal()
    assert "make setup PYTHON=python3.12, or install uv" in refusal()
    fake_python(tmp_path / "bin", "python3", NEW.replace("*ensurepip*) echo yes;;", "*ensurepip*) exit 1;;"))
    assert "python3 cannot create environments" in refusal()
    assert "sudo apt install python3-venv" in refusal()
    assert "found no python3.13" in refusal("PYTHON=python3.13").replace('"', "")


def test_setup_takes_the_first_python_that_fits(default_project: Path, tmp_path: Path) -> None:
    fake_python(tmp_path / "bin", "python3", OLD)
    fake_python(tmp_path / "bin", "python3.12", NEW)
    fake_python(tmp_path / "bin", "own", NEW)
    done = setup_by_pip(default_project, tmp_path / "bin")
    assert done.stdout.splitlines()[0] == "python3.12 -m venv --clear .venv", done.stderr
    done = setup_by_pip(default_project, tmp_path / "bin", "PYTHON=own")
    assert done.stdout.splitlines()[0] == '"own" -m venv --clear .venv'
    (tmp_path / "bin" / "uv").touch(mode=0o755)
    done = setup_by_pip(default_project, tmp_path / "bin", "PYTHON=own")
    assert done.stdout.split() == ["uv", "sync", "--reinstall-package", "kart-runtime", "--python", '"own"']


def test_setup_that_was_interrupted_is_named(default_project: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(default_project, tmp_path / "project"))
    site = project / ".venv/lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (project / ".venv/bin").mkdir()
    (project / ".venv/bin/python").touch(mode=0o755)
    message = ".venv is not complete: setup was interrupted. Run again: make setup"
    for installed in ("my_pipeline-0.1.0.dist-info", "kart_runtime-0.1.0.dist-info"):
        done = subprocess.run(["make", "-n", "run"], cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert message in done.stderr
        (site / installed).mkdir()
    done = subprocess.run(["make", "-n", "run"], cwd=project, capture_output=True, text=True, check=True)
    assert ".venv/bin/python -m my_pipeline run" in done.stdout


@pytest.mark.slow
def test_env_file_is_for_commands_and_not_for_tests(default_project: Path, tmp_path: Path, make: Command) -> None:
    project = Path(shutil.copytree(default_project, tmp_path / "project"))
    (project / ".env").write_text("KART_ENV=night\n")
    assert "unknown environment 'night'" in make(project, "config", ok=False).stderr
    (project / ".env").write_text("\n!\n")
    assert ".env:2: not a line NAME=value" in make(project, "config", ok=False).stderr
    make(project, "test", "ARGS=-q tests/test_layout.py")


def without_make(project: Path) -> list[tuple[str, str, str]]:
    """Return the rows of the README's table of commands without make."""
    section = (project / "README.md").read_text().partition("## Without make")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [(row[0], row[1], row[2]) for row in rows]


def commands_in(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)


def test_every_target_has_a_form_without_make(default_project: Path, make: Command) -> None:
    rows = without_make(default_project)
    shown = {name.split()[0] for target, _, _ in rows for name in commands_in(target)}
    assert set(listed(make(default_project, "help").stdout)) - shown == {"help", "clean"}
    text = (default_project / "README.md").read_text()
    assert "`make help`" in text
    assert "`make clean`" in text


def test_the_forms_for_windows_are_those_for_linux(default_project: Path) -> None:
    for _, linux, windows in without_make(default_project):
        translated = [
            command.replace("python3 -m venv", "py -m venv")
            .replace("mkdir -p", "mkdir -Force")
            .replace("vendor/*.whl", "(Get-Item vendor/*.whl)")
            .replace(".venv/bin/", ".venv/Scripts/")
            for command in commands_in(linux)
        ]
        if windows != "the same":
            assert commands_in(windows) == [
                command if command.startswith(("uv", "make")) else re.sub(r"(?<=[\w.])/(?=[\w*])", r"\\", command)
                for command in translated
            ]


@pytest.fixture(scope="module")
def project(default_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that the commands below work in, one after the other, with its caches."""
    return Path(shutil.copytree(default_project, tmp_path_factory.mktemp("worked") / "project"))


@pytest.mark.slow
def test_the_forms_without_make_run(project: Path, command: Command) -> None:
    (project / ".venv").mkdir()
    (project / ".venv/bin").symlink_to(Path(sys.executable).parent)
    ran = set()
    for target, linux, _ in without_make(project):
        names = [name.split()[0] for name in commands_in(target)]
        if ELSEWHERE.keys() & set(names) - {"fix", "rename-task", "remove-task", "remove-sample"} or names == ["check"]:
            continue
        for words in commands_in(linux):
            if "--fix" not in words.split():  # has tests of its own
                fewer = ["tests/lib"] if "/pytest" in words else []
                command(project, *shlex.split(words.replace("--env prod", "--env ci")), *fewer)
                ran.add(words)
    for word in ("plan", "config"):
        command(project, ".venv/bin/kart", word)
    assert len(ran) > 10


@pytest.mark.slow
def test_targets_run(default_project: Path, project: Path, make: Command) -> None:
    said = {target: make(project, target, *words).stdout for target, words in RUN.items()}
    assert "RunAll" in said["tree"]
    assert "max_depth" in said["list"]
    assert "EvaluateModels" in said["plan"]
    assert "outputs/prod/" in said["config"]
    assert (project / "src/my_pipeline/tasks/features/scale.py").is_file()
    make(project, "clean")  # again: the targets after it have compiled the sources
    assert not list((project / "src").rglob("__pycache__"))
    make(project, "clean-outputs", "ENV=ci", "ARGS=--yes")  # the forms without make may have run in this environment
    assert not [path for path in (project / "outputs").rglob("*.json*") if path.parent.name != "runs"]
    assert (project / "notebooks/explore.ipynb").read_bytes() == (
        default_project / "notebooks/explore.ipynb"
    ).read_bytes()
