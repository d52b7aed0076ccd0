"""Small projects in a temporary folder, for the tests of `project` and of `cli`."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.project import open_project
from kart_runtime.project.problems import split_errors

NUMBERS = '''
    """Numbers, and what is made of them."""

    import luigi

    from kart_runtime import TaskInstanceParameter, TaskOnKart


    class Numbers(TaskOnKart[list[int]]):
        """Count upwards from zero."""

        size: int = luigi.IntParameter(default=3)

        def run(self) -> None:
            self.dump(list(range(self.size)))


    class Total(TaskOnKart[float]):
        """Add the numbers up.

        And weigh the sum.
        """

        numbers = TaskInstanceParameter(default=Numbers())
        weight: float = luigi.FloatParameter(default=1.0)
        label: str = luigi.Parameter(default="sum")
        options = luigi.DictParameter(default={})
        token: str = luigi.Parameter(default="none", significant=False)

        def requires(self):
            return Numbers()

        def run(self) -> None:
            self.dump(sum(self.load()) * self.weight)
'''

PIPELINE = '''
    """Everything."""

    from kart_runtime import TaskOnKart

    from PKG.tasks.numbers import Numbers, Total


    class RunAll(TaskOnKart[str]):
        """Write a line about the total."""

        def requires(self):
            return {"numbers": Numbers(), "total": Total()}

        def run(self) -> None:
            self.dump(f"total {self.load('total')}")
'''

TEST = "def test_of_nothing():\n    assert True\n"

FILES = {
    "src/PKG/__init__.py": "",
    "src/PKG/tasks/numbers.py": NUMBERS,
    "src/PKG/tasks/pipeline.py": PIPELINE,
    "conf/base/run.yaml": """\
        task: RunAll
        workspace: outputs/
        """,
    "conf/base/logging.yaml": "level: WARNING\n",
    "conf/base/tasks/numbers.yaml": """\
        # what is counted
        Numbers:
          size: 4
        Total:
          weight: 2
        """,
    "conf/base/tasks/pipeline.yaml": "RunAll: {}\n",
    "conf/ci/run.yaml": "seed: 1\n",
    "tests/tasks/test_numbers.py": TEST,
    "tests/tasks/test_pipeline.py": TEST,
}

MakeProject = Callable[..., Path]


def write_files(root: Path, files: dict[str, str | None]) -> None:
    """Write files below a folder; None deletes one."""
    for name, text in files.items():
        path = root / name
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text), encoding="utf-8")


@pytest.fixture
def small_project(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeProject]:
    """Return a function that makes a project, changes into it and returns its folder.

    ``PKG`` in names and texts stands for the package, which has another name each time: Python keeps what was imported.
    """
    monkeypatch.delenv("KART_ENV", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    packages: list[str] = []

    def make(files: dict[str, str | None] | None = None, *, kart: str = "") -> Path:
        package = f"small_{uuid.uuid4().hex[:12]}"  # not a count, which would repeat: two modules import this file
        packages.append(package)
        root = tmp_path if not (tmp_path / "pyproject.toml").exists() else tmp_path_factory.mktemp("project")
        everything: dict[str, str | None] = {
            "pyproject.toml": f'[tool.kart]\npackage = "{package}"\n{kart}',
            **{name: text for name, text in FILES.items() if (files or {}).get(name, "") is not None},
            **{name: text for name, text in (files or {}).items() if text is not None},
        }
        write_files(root, {k.replace("PKG", package): (v or "").replace("PKG", package) for k, v in everything.items()})
        monkeypatch.chdir(root)
        return root

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]


@pytest.fixture
def refused() -> Callable[..., list[str]]:
    """Return a function that opens the project of the current folder and returns what is wrong with it."""

    def refused(**options: Any) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            open_project(**options)
        return [str(error) for error in split_errors(caught.value)]

    return refused
