"""The tutorial docs/tutorials/first-pipeline.md: its commands run in a generated project, and print what it quotes."""

from __future__ import annotations

import multiprocessing
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorials" / "first-pipeline.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


Command = Callable[..., subprocess.CompletedProcess[str]]


def commands_of(block: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a console block, with the lines that it prints."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *printed = part.splitlines()
        yield command, printed


def pattern(line: str) -> str:
    """Return a pattern for a quoted line: other ids, times and scores are as good, and `...` stands for anything."""
    words = re.escape(line.rstrip()).replace(re.escape("..."), ".*")
    words = re.sub(r"\d{8}T\d{6}Z\\-[0-9a-f]+", r"\\d{8}T\\d{6}Z-[0-9a-f]+", words)
    words = re.sub(r"just\\ now|\d+\\ min\\ ago", r"(?:just now|\\d+ min ago)", words)
    words = re.sub(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", "[0-9a-f]{32}", words)
    words = re.sub(r"(?<![0-9a-f])(?=[a-f]*\d)[0-9a-f]{8}(?![0-9a-f])", "[0-9a-f]{8}", words)
    words = re.sub(r"(?:\\ ){2,}", r"\\s+", words)  # columns are as wide as what else is in them
    return re.sub(r"\b\d+\\\.\d+", r"\\d+\\.\\d+", words)


def assert_printed(quoted: list[str], printed: str, command: str) -> None:
    """Compare quoted lines with those that a command printed; a line `...` stands for any number of lines."""
    expected = "".join("(?:.*\n)*?" if line == "..." else f"{pattern(line)}\\s*\n" for line in quoted)
    text = "\n".join(["is not what the tutorial quotes:", *quoted])
    assert re.fullmatch(expected, printed), f"$ {command}\n{printed}\n{text}"


def edit(project: Path, language: str, text: str) -> None:
    """Write a file whose path is the block's first line, or replace its lines as a diff says."""
    first, _, rest = text.partition("\n")
    path = project / first.removeprefix("# ")
    if language != "diff":
        path.write_text(rest)
        return
    before, after = (
        "".join(f"{line[1:]}\n" for line in rest.splitlines() if line.startswith(sign)) for sign in ("-", "+")
    )
    content = path.read_text()
    assert content.count(before) == 1, (path, before)
    path.write_text(content.replace(before, after))


_CHILD = """
import os, runpy, sys
os.chdir(project)
for name in list(os.environ):
    if name.startswith(("KART_", "PYTEST_", "COV_")):
        del os.environ[name]
for number, name in ((1, "stdout"), (2, "stderr")):
    os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
sys.path[:0] = ["src"]
sys.argv = words
if words[0].endswith(".py"):
    runpy.run_path(words[0], run_name="__main__")
else:
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
"""


@dataclass
class Typist:
    """Types commands in a project; Python's are run in forks of a process that has imported the large libraries."""

    project: Path

    def __post_init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["kart_runtime.cli", "luigi", "pandera.pandas", "sklearn.ensemble"])

    def type(self, command: Command, line: str) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error of a command."""
        words = shlex.split(line)
        if words[:2] == ["make", "test"]:
            done = command(self.project, *words, f"PYTHON={sys.executable}")
            return done.returncode, done.stdout, done.stderr
        if words[0] == "make":
            done = command(self.project, *words, "--dry-run", f"PYTHON={sys.executable}")
            recipes = [shlex.split(recipe) for recipe in done.stdout.splitlines()]
            python = [recipe for recipe in recipes if recipe[:2] == [sys.executable, "-m"]]
            assert len(python) == 1, f"$ {line}\n{done.stdout}"
            words = python[0][1:]
        first = words.pop(0)
        assert first in ("-m", ".venv/bin/python", ".venv/bin/kart")
        if first == ".venv/bin/kart":
            words.insert(0, "kart_runtime")
        fork = self._context.Process(target=exec, args=(_CHILD, {"project": str(self.project), "words": words}))
        fork.start()
        fork.join(timeout=100)
        assert fork.exitcode is not None, f"$ {line} does not end"
        return fork.exitcode, *((self.project / name).read_text() for name in ("stdout", "stderr"))


@pytest.mark.slow
def test_the_tutorial(default_project: Path, tmp_path: Path, command: Command) -> None:
    typist = Typist(tmp_path / "my-pipeline")
    shutil.copytree(default_project, typist.project)
    first, *rest = BLOCK.findall(TUTORIAL.read_text(encoding="utf-8"))
    assert [line.split()[0] for line, _ in commands_of(first[1])] == ["uvx", "cd", "make"]  # tests/test_readme.py
    for language, text in rest:
        if language != "console":
            edit(typist.project, language, text)
            continue
        for line, quoted in commands_of(text):
            code, printed, errors = typist.type(command, line)
            is_failure = any(word in " ".join(quoted) for word in ("error:", "FAILED"))
            assert (code != 0) == is_failure, f"$ {line}\n{printed}\n{errors}"
            assert_printed(quoted, printed or errors, line)
