"""The forecast tutorial: its files and commands, as the page has them, make a project that works and passes its checks.

A block whose first line is the comment of a path is that file, or a change of it if the block is a diff. In `console`
blocks, the lines after a `$` are what the command prints: `...` stands for any lines, or any text within a line, and
decimal numbers, durations and ids stand for others of their kind.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from conftest import Command, World

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "forecast.md"
BLOCK = re.compile(r"^```(\w+)\n(?:# (\S+/\S+|pyproject.toml)\n)?(.*?)^```$", re.MULTILINE | re.DOTALL)
ID, DURATION, NUMBER = r"[0-9a-f]{32}", r"\((?:\d+\.\d s|\d+ min \d+ s)\)", r"\d+\.\d+"
PLACEHOLDERS = {r"\.\.\.": ".*", ID: ID, DURATION: DURATION, NUMBER: NUMBER}
"""What stands for others of its kind in quoted output, and what matches these."""


@dataclass(frozen=True)
class Block:
    """A code block of the page: its language; the file it belongs to, or none; its text."""

    language: str
    file: str
    text: str


def blocks() -> list[Block]:
    return [Block(*found.groups(default="")) for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]


def apply_diff(before: str, diff: str) -> str:
    """Return the text with the lines of `-` or a blank replaced; a removed line may end in a comment."""
    lines = diff.splitlines()
    removed = "".join(rf"{re.escape(line[1:])}( #.*)?\n" for line in lines if line[0] in "- ")
    added = "".join(f"{line[1:]}\n" for line in lines if line[0] in "+ ")
    after, count = re.subn(removed, lambda _: added, before)
    assert count == 1, f"{diff}\ndoes not fit\n{before}"
    return after


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Return each command of a `console` block with what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def pattern(printed: str) -> str:
    """Return the expression that the output of a command matches."""
    return "".join("(?:.*\n)*?" if line == "...\n" else _line(line) for line in printed.splitlines(keepends=True))


def _line(line: str) -> str:
    parts = re.split(f"({'|'.join(PLACEHOLDERS)})", line)
    return "".join(map(_part, parts))


def _part(text: str) -> str:
    return next((kind for found, kind in PLACEHOLDERS.items() if re.fullmatch(found, text)), re.escape(text))


@pytest.mark.slow
def test_everything_on_the_page_works_as_typed(world: World, command: Command) -> None:
    project = world.bake({"project_name": "Seattle forecast"})
    printed = ""
    for block in blocks():
        file = project / block.file
        if block.language == "console":
            for line, expected in commands(block.text):
                printed = run(project, command, line, expected)
        elif block.language == "diff":
            file.write_text(apply_diff(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")
        elif block.language == "text":
            assert re.fullmatch(pattern(block.text), printed), f"{block.text}\nis not\n{printed}"
        elif block.file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"# {block.file}\n{block.text}", encoding="utf-8")
        else:
            printed = command(project, sys.executable, "-c", block.text).stdout
    check_results(project)


def run(project: Path, command: Command, line: str, expected: str) -> str:
    """Run a command of the page, which fails where the page says so, and return what it prints."""
    if line == "make setup":  # the tests' own environment has what it would install
        added = next(block.text for block in blocks() if block.file == "pyproject.toml")
        needed = [Requirement(text) for text in re.findall(r'^\+  "(.+)",$', added, re.MULTILINE)]
        assert needed
        assert all(requirement.specifier.contains(version(requirement.name)) for requirement in needed)
        return ""
    fails = re.search(r"\b[1-9]\d* (failed|problems?)\b", expected) is not None
    words = re.sub(r"^make ", f"make --silent PYTHON={sys.executable} ", line)
    words = re.sub(r"^\.venv/bin/kart ", f"{sys.executable} -m kart_runtime ", words)
    done = command(project, "sh", "-c", words, ok=False)
    printed = ended(done.stdout) + ended(done.stderr)
    assert bool(done.returncode) == fails, f"{line}\n{printed}"
    assert re.fullmatch(pattern(expected), printed), f"{line} prints\n{printed}\nand not\n{expected}"
    return printed


def ended(text: str) -> str:
    """Return the text with a line end after its last line."""
    return f"{text}\n" if text and not text.endswith("\n") else text


def check_results(project: Path) -> None:
    """Check that the best model beats the baseline, and that the plots and models are what their names say."""
    outputs = project / "outputs"
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in outputs.glob("report_*.json")]
    plots = [path.read_bytes() for path in outputs.glob("**/PlotForecast_*.png")]
    models = [set(zipfile.ZipFile(path).namelist()) for path in outputs.glob("forecast/model_*.zip")]
    assert reports
    assert plots
    assert models
    assert all(min(report.values()) < 0.9 * report["last_year"] for report in reports)
    assert all(plot.startswith(b"\x89PNG") for plot in plots)
    assert all(names >= {"model.pkl", "card.json"} for names in models)
