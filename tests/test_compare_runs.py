"""What docs/how-to/compare-runs.md shows is what its code and commands do."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from kart_runtime.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "compare-runs.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


TASKS, API = blocks("python")
CONSOLE = "".join(blocks("console"))


def alike(text):
    """Return the text without ids of runs and durations, which have the width of those of the page."""
    text = re.sub(r"\d{8}T\d{6}Z-\w{8}", "RUN", text)
    return re.sub(r"\b\d\.\ds\b", "0.0s", text)


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "src" / "deep" / "tasks").mkdir(parents=True)
    for package in ("deep", "deep/tasks"):
        (tmp_path / "src" / package / "__init__.py").touch()
    (tmp_path / "src" / "deep" / "tasks" / "train.py").write_text(TASKS)
    (tmp_path / "pyproject.toml").write_text('[tool.kart]\npackage = "deep"\n')
    for layer in ("base", "dev"):
        (tmp_path / "conf" / layer).mkdir(parents=True)
    (tmp_path / "conf" / "base" / "run.yaml").write_text("workspace: outputs/\n")
    (tmp_path / "conf" / "base" / "logging.yaml").write_text("level: WARNING\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KART_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "deep"]:
        del sys.modules[name]


def test_the_commands_and_the_code_print_what_the_page_shows(project, capsys):
    for line in "".join(blocks("bash")).splitlines():
        assert main(line.split()[1:]) == 0, capsys.readouterr().err
    capsys.readouterr()
    printed = ""
    for line in re.findall(r"^\$ kart (.*)$", CONSOLE, re.MULTILINE):
        assert main(line.split()) == 0, capsys.readouterr().err
        printed += f"$ kart {line}\n{capsys.readouterr().out}"
    assert alike(printed) == alike(CONSOLE)
    exec(API, {})
    assert capsys.readouterr().out == "".join(blocks("text"))
