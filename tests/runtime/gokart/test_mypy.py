"""A migrated project that names the plugin in its configuration: what passes, and what is still reported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OLDER = """
import datetime
import luigi
import kart_runtime.gokart as gokart


class Words(gokart.TaskOnKart[str]):
    times: int = luigi.IntParameter()
    text: str = luigi.Parameter(default="a")
    flag: bool = gokart.ExplicitBoolParameter(default=True)
    day: datetime.date = luigi.DateParameter()
    names: list[str] = luigi.ListParameter()
    newer: luigi.FloatParameter = luigi.FloatParameter(default=0.5)
    limit: int | None = luigi.OptionalIntParameter(default=None)
    anything: object = luigi.Parameter()


class Count(gokart.TaskOnKart[int]):
    words: gokart.TaskOnKart[str] = gokart.TaskInstanceParameter()
    named: Words = gokart.TaskInstanceParameter(expected_type=Words)
    more: list[gokart.TaskOnKart[str]] = gokart.ListTaskInstanceParameter(default=[])

    def run(self) -> None:
        text: str = self.load(self.words)
        texts: list[str] = self.load(self.more)
        self.dump(len(text) + len(texts))


Count(words=Words(times=1, newer=2.0))
"""
WRONG = """
Words(times="x")
Words(tims=1)
Words(newer="x")
Count(words=3)
Count(words=Count())
"""


def checked(tmp_path, text, plugin):
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.mypy]\nplugins = ["{plugin}"]\nstrict = true\n'
        "[tool.gokart-mypy]\ndisallow_missing_parameters = true\nunknown = 3\n"
    )
    (tmp_path / "project.py").write_text(text)
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "project.py"]
    # a cache of its own for each plugin: what one has checked is of no use to the other
    env = {**os.environ, "MYPY_CACHE_DIR": str(Path(os.environ["MYPY_CACHE_DIR"]) / plugin.replace(":", "-"))}
    return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "text"),
    # One check of a project is enough: the other name is that of the same function.
    [("kart_runtime.gokart.mypy", OLDER), ("kart_runtime.gokart.mypy:plugin", "numbers: list[int] = [1]\n")],
)
def test_older_annotations_pass(tmp_path, plugin, text):
    found = checked(tmp_path, text, plugin)
    assert (found.returncode, found.stderr) == (0, ""), found.stdout


@pytest.mark.slow
def test_wrong_arguments_and_wrong_annotations_are_reported(tmp_path):
    annotation = OLDER.replace("times: int =", "times: str =") + "Words(times=1)\n"
    found = checked(tmp_path, OLDER + WRONG, "kart_runtime.gokart.mypy")
    errors = [line.partition("error: ")[2] for line in found.stdout.splitlines() if "error: " in line]
    assert errors == [
        'Argument "times" to "Words" has incompatible type "str"; expected "int"  [arg-type]',
        'Unexpected keyword argument "tims" for "Words"; did you mean "times"?  [call-arg]',
        'Argument "newer" to "Words" has incompatible type "str"; expected "float"  [arg-type]',
        'Argument "words" to "Count" has incompatible type "int"; expected "TaskOnKart[str]"  [arg-type]',
        'Argument "words" to "Count" has incompatible type "Count"; expected "TaskOnKart[str]"  [arg-type]',
    ]
    wrong = checked(tmp_path, annotation, "kart_runtime.gokart.mypy")
    assert 'project.py:8: error: Incompatible types in assignment (expression has type "IntParameter"' in wrong.stdout
