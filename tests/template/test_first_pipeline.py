"""The tutorial docs/tutorials/first-pipeline.md: its commands run in a generated project, and print what it quotes."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorials" / "first-pipeline.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands_of(block: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a console block, with the lines that it prints."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *printed = part.splitlines()
        yield command, printed


def pattern(line: str) -> str:
    """Return a pattern for a quoted line: other ids, times and scores are as good, and `...` stands for anything."""
    words = re.escape(line.rstrip()).replace(re.escape("..."), ".*")
    words = re.sub(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", "[0-9a-f]{32}", words)
    words = re.sub(r"(?<![0-9a-f])(?=[a-f]*\d)[0-9a-f]{8}(?![0-9a-f])", "[0-9a-f]{8}", words)
    words = re.sub(r"(?:\\ ){2,}", r"\\s+", words)  # columns are as wide as what else is in them
    return re.sub(r"\b\d+\\\.\d+", r"\\d+\\.\\d+", words)


def assert_printed(quoted: list[str], printed: str, command: str) -> None:
    """Compare quoted lines with those that a command printed; a line `...` stands for any number of lines."""
    expected = "".join("(?:.*\n)*?" if line == "..." else f"{pattern(line)}\\s*\n" for line in quoted)
    # make itself says what it runs, and that a command failed
    lines = [line for line in printed.splitlines() if not re.match(r"make(\[\d+\])?: |\S*python\S* -m ", line)]
    assert re.fullmatch(expected, "".join(f"{line}\n" for line in lines)), (
        f"$ {command}\n{printed}\nis not what the tutorial quotes:\n" + "\n".join(quoted)
    )


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


@pytest.mark.slow
def test_the_tutorial(default_project: Path, tmp_path: Path, command) -> None:
    project = tmp_path / "my-pipeline"
    shutil.copytree(default_project, project)
    first, *rest = BLOCK.findall(TUTORIAL.read_text(encoding="utf-8"))
    assert [line.split()[0] for line, _ in commands_of(first[1])] == ["uvx", "cd", "make"]  # tests/test_readme.py
    fails = {"error:", "FAILED"}
    for language, text in rest:
        if language != "console":
            edit(project, language, text)
            continue
        for line, quoted in commands_of(text):
            words = [sys.executable if word == ".venv/bin/python" else word for word in shlex.split(line)]
            if words[0] == "make":
                words.append(f"PYTHON={sys.executable}")
            done = command(project, *words, ok=False)
            is_failure = any(word in " ".join(quoted) for word in fails)
            assert (done.returncode != 0) == is_failure, f"$ {line}\n{done.stdout}\n{done.stderr}"
            errors = [entry for entry in done.stderr.splitlines() if entry.startswith(("error:", "      "))]
            assert_printed(quoted, "\n".join([*done.stdout.splitlines(), *errors]), line) if quoted else None
