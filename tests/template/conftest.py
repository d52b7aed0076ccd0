"""Bakes projects through cookiecutter's own API, in a world of their own: home, replays and temporary files included.

All projects share the environment that runs the tests (`command` puts a project's `src` on PYTHONPATH), so that no
project needs the network.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = REPOSITORY / "template"


@dataclass(frozen=True)
class World:
    """Folders of one test.

    Attributes
    ----------
    root
        Everything below.
    output
        Where projects go.
    config
        cookiecutter's configuration file.
    """

    root: Path
    output: Path
    config: Path

    def bake(
        self, answers: Mapping[str, Any] | None = None, *, template: Path | str = TEMPLATE, **options: Any
    ) -> Path:
        """Generate a project with these answers, the others by default, and return its folder."""
        sys.modules.pop("local_extensions", None)  # another copy of the template has another one
        options = {"no_input": True, "extra_context": dict(answers or {}), **options}
        return Path(cookiecutter(str(template), output_dir=str(self.output), config_file=str(self.config), **options))

    def generated(self) -> list[str]:
        """Return the names of what is in the output folder."""
        return sorted(path.name for path in self.output.iterdir())

    def files_elsewhere(self) -> set[str]:
        """Return every file below the root, other than the output folder and what cookiecutter itself keeps."""
        own = {self.output, self.root / "replay", self.root / "temporary"}
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not own & {path, *path.parents}}


def make_world(root: Path) -> World:
    for name in ("outer/output", "home", "replay", "clones", "temporary", "current"):
        (root / name).mkdir(parents=True)
    config = root / "cookiecutter.yaml"
    config.write_text(json.dumps({"replay_dir": str(root / "replay"), "cookiecutters_dir": str(root / "clones")}))
    return World(root, root / "outer" / "output", config)


@pytest.fixture(scope="session", name="make_world")
def make_world_fixture() -> Callable[[Path], World]:
    """`make_world(folder)`, for fixtures that live longer than a test."""
    return make_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which this process, and what it starts, lives during a test."""
    made = make_world(tmp_path / "world")
    monkeypatch.setenv("HOME", str(made.root / "home"))
    monkeypatch.setenv("TMPDIR", str(made.root / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", str(made.root / "temporary"))
    monkeypatch.chdir(made.root / "current")
    return made


@pytest.fixture(scope="session")
def default_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with every answer left as it is; only to be read."""
    return make_world(tmp_path_factory.mktemp("default") / "world").bake()


@pytest.fixture(scope="session")
def bake_shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`bake_shared(storage="s3")`: a project with these answers, baked once for all tests; only to be read."""
    baked: dict[tuple[tuple[str, str], ...], Path] = {}

    def bake(**answers: str) -> Path:
        key = tuple(sorted(answers.items()))
        if key not in baked:
            baked[key] = make_world(tmp_path_factory.mktemp("shared") / "world").bake(answers)
        return baked[key]

    return bake


Command = Callable[..., subprocess.CompletedProcess[str]]


def run_command(project: Path, *words: str, ok: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a project, with the tests' own Python first on the PATH, and return what it did."""
    folder = str(Path(sys.executable).parent)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("KART_", "PYTEST_", "COV_"))}
    env |= {"PYTHONPATH": str(project / "src"), "PATH": f"{folder}{os.pathsep}{env['PATH']}", **environment}
    done = subprocess.run(words, cwd=project, env=env, text=True, capture_output=True, timeout=600, check=False)
    assert not ok or done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def command() -> Command:
    """`command(project, "make", "help")`: run it, and fail the test when it fails unless `ok=False`."""
    return run_command


def make(project: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a make target of a project with the tests' own Python."""
    return run_command(project, "make", *words, f"PYTHON={sys.executable}", **options)


@pytest.fixture(scope="session", name="make")
def make_fixture() -> Command:
    """`make(project, "run", "ARGS=TrainModel")`."""
    return make


def load_module(name: str) -> ModuleType:
    """Return a module of the template, which is no package."""
    specification = importlib.util.spec_from_file_location(f"kart_template_{name}", TEMPLATE / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def answers() -> ModuleType:
    """The template's `answers.py`."""
    return load_module("answers")


@pytest.fixture(scope="session")
def wheel() -> ModuleType:
    """The template's `wheel.py`."""
    return load_module("wheel")
