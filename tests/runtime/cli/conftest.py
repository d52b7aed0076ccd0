"""The small projects of `project`'s tests, and ways to type a command in one."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kart_runtime.cli import main

# Test folders are no packages, so what they share is read as a file.
small_project = runpy.run_path(str(Path(__file__).parents[1] / "project" / "conftest.py"))["small_project"]

SEVERAL = """
    import luigi
    from kart_runtime import ListTaskInstanceParameter, TaskInstanceParameter, TaskOnKart
    from PKG.tasks.numbers import Numbers, Total


    class Model(TaskOnKart[int]):
        kind: str = luigi.ChoiceParameter(choices=["tree", "forest"], default="tree")
        depth: int = luigi.IntParameter(default=2)
        day = luigi.DateParameter(default=None)
        source = TaskInstanceParameter(expected_type=Numbers)
        token: str = luigi.Parameter(default="none")

        def run(self):
            self.dump(1)


    class Compare(TaskOnKart[int]):
        models = ListTaskInstanceParameter(expected_elements_type=Model, default=[])

        def requires(self):
            numbers = Numbers()
            return [Model(kind="tree", source=numbers), Model(kind="forest", source=numbers), Total()]

        def run(self):
            self.dump(1)
"""


@pytest.fixture
def several() -> str:
    """Return a task module with parameters of several kinds, and several tasks of one class."""
    return SEVERAL


@dataclass(frozen=True)
class Typed:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@pytest.fixture
def kart(capsys: pytest.CaptureFixture[str]) -> Callable[..., Typed]:
    """Return a function that executes a command line in this process."""

    def run(*words: str, **options: str) -> Typed:
        capsys.readouterr()
        code = main(words, **options)
        printed = capsys.readouterr()
        return Typed(int(code), printed.out, printed.err)

    return run


@pytest.fixture
def kart_process() -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts a command line as a process of its own."""

    def start(*words: str, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error::ResourceWarning", "-m", "kart_runtime", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, text=True, **{**pipes, **options})  # type: ignore[call-overload,no-any-return]

    return start
