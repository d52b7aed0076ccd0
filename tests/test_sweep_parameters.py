"""What docs/how-to/sweep-parameters.md shows is what its code and commands do."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from kart_runtime.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "sweep-parameters.md").read_text(encoding="utf-8")
BLOCKS = {name: re.findall(rf"^```{name}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) for name in ("python", "yaml")}
CONSOLE = "".join(re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The project of the page."""
    tasks = tmp_path / "src" / "points" / "tasks"
    tasks.mkdir(parents=True)
    for folder in (tasks.parent, tasks):
        (folder / "__init__.py").touch()
    (tasks / "model.py").write_text("".join(BLOCKS["python"]))
    (tmp_path / "sweep.yaml").write_text("".join(BLOCKS["yaml"]))
    (tmp_path / "pyproject.toml").write_text('[tool.kart]\npackage = "points"\n')
    (tmp_path / "conf" / "base").mkdir(parents=True)
    (tmp_path / "conf" / "base" / "run.yaml").write_text("workspace: outputs/\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("KART_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "points"]:
        del sys.modules[name]


def without_seconds(text):
    return re.sub(r"\(\d+\.\d s\)", "(S)", text)


def test_the_commands_print_what_the_page_shows(project, capsys):
    printed = ""
    for line in re.findall(r"^\$ kart (.*)$", CONSOLE, re.MULTILINE):
        assert main(shlex.split(line)) == 0, capsys.readouterr().err
        printed += f"$ kart {line}\n{capsys.readouterr().out}"
    assert without_seconds(printed) == without_seconds(CONSOLE)
