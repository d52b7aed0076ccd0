"""What docs/how-to/run-by-date.md shows is what its code and commands do."""

from __future__ import annotations

import datetime
import re
import sys
from pathlib import Path

import pytest

from kart_runtime.cli import main
from kart_runtime.task.parameters import dates

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "run-by-date.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CONSOLE = "".join(re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
CRON = re.findall(r"&& TZ=\S+ kart (.*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project of the page."""
    root = tmp_path_factory.mktemp("shop")
    (root / "src" / "shop" / "tasks").mkdir(parents=True)
    for package in ("shop", "shop/tasks"):
        (root / "src" / package / "__init__.py").touch()
    (root / "src" / "shop" / "tasks" / "sales.py").write_text("".join(CODE))
    (root / "pyproject.toml").write_text('[tool.kart]\npackage = "shop"\n')
    for layer in ("base", "prod"):
        (root / "conf" / layer).mkdir(parents=True)
        (root / "conf" / layer / "run.yaml").write_text("workspace: outputs/\n")
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]
    sys.path[:] = [path for path in sys.path if path != str(root / "src")]


@pytest.fixture
def first_of_april(monkeypatch):
    monkeypatch.setattr(dates, "clock", lambda: datetime.datetime(2026, 4, 1, 2, 15))
    yield
    dates._fixed = None


def without_seconds(text):
    return re.sub(r"\(\d+\.\d s\)", "(S)", text)


def test_the_commands_print_what_the_page_shows(project, first_of_april, monkeypatch, capsys):
    monkeypatch.chdir(project)
    printed = ""
    for line in re.findall(r"^\$ kart (.*)$", CONSOLE, re.MULTILINE):
        assert main(line.split()) == 0, capsys.readouterr().err
        printed += f"$ kart {line}\n{capsys.readouterr().out}"
    assert without_seconds(printed) == without_seconds(CONSOLE)
    (line,) = CRON
    assert main(line.split()) == 0
    assert main(["run", "Balance", "--range", "day=2026-01-01..2026-01-31", "--quiet"]) == 0
