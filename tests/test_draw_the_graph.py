"""What docs/how-to/draw-the-graph.md shows is what its code and commands do."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from kart_runtime.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "draw-the-graph.md").read_text(encoding="utf-8")
TASKS, PROGRAM = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CONSOLE = "".join(re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The project of the page."""
    root = tmp_path / "shop"
    (root / "src" / "shop" / "tasks").mkdir(parents=True)
    for package in ("shop", "shop/tasks"):
        (root / "src" / package / "__init__.py").touch()
    (root / "src" / "shop" / "tasks" / "model.py").write_text(TASKS)
    (root / "pyproject.toml").write_text('[tool.kart]\npackage = "shop"\n')
    (root / "conf" / "base").mkdir(parents=True)
    (root / "conf" / "base" / "run.yaml").write_text("workspace: outputs/\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("KART_CACHE", str(tmp_path / "cache"))
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]
    sys.path[:] = [path for path in sys.path if path != str(root / "src")]


def without_seconds(text):
    return re.sub(r"\(\d+\.\d s\)", "(S)", text)


def test_the_commands_print_what_the_page_shows(project, capsys):
    printed = ""
    for line in re.findall(r"^\$ kart (.*)$", CONSOLE, re.MULTILINE):
        assert main(line.split()) == 0, capsys.readouterr().err
        printed += f"$ kart {line}\n{capsys.readouterr().out}"
    assert without_seconds(printed) == without_seconds(CONSOLE)
    exec(PROGRAM, {})
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "LoadSales -> TrainModel(kind=forest)",
        "LoadSales -> TrainModel(kind=tree)",
        "TrainModel(kind=forest) -> CompareModels",
        "TrainModel(kind=tree) -> CompareModels",
    ]
