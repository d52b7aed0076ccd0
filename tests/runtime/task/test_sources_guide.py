"""The code of docs/how-to/use-input-files.md runs as it stands, in one project."""

from __future__ import annotations

import datetime
import re
import sqlite3
import sys
from pathlib import Path

import pandas as pd
import pytest

from kart_runtime import build, open_project

PAGE = (Path(__file__).parents[3] / "docs/how-to/use-input-files.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the code of the page, its YAML and data."""
    files = {
        "pyproject.toml": '[tool.kart]\npackage = "guide_of_sources"\n',
        "conf/base/run.yaml": "task: Everything\nworkspace: outputs/\n",
        "conf/dev/run.yaml": "{}\n",
        "src/guide_of_sources/__init__.py": "",
        "src/guide_of_sources/tasks/__init__.py": "",
        "src/guide_of_sources/tasks/data/__init__.py": "",
        "src/guide_of_sources/tasks/data/load.py": "\n\n".join(blocks("python")),
        "data/sales.csv": "price\n1.5\n2\n",
        "data/customers.csv": "id;zip;since;more\n1;01234;2026-01-31;x\n",
        "data/visits.csv": "shop|n\n007|3\n",
        "data/months/1.csv": "price\n1\n",
        "data/months/2.csv": "price\n2\n",
        "outputs/shared/vocabulary.json": '["a", "b"]',
    }
    for block in blocks("yaml"):
        files[re.match("# (.*)", block)[1]] = block
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    pd.DataFrame({"target": [5]}).to_excel(tmp_path / "data/targets.xlsx", sheet_name="2024", index=False)
    with sqlite3.connect(tmp_path / "data/shop.db") as connection:
        connection.execute("create table orders (id integer, price real, shop integer, day text)")
        connection.execute("insert into orders values (1, 2.5, 2, '2026-01-31'), (2, 1.5, 3, '2026-01-31')")
    connection.close()
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path.parent)  # nothing is relative to the current folder
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("guide_of_sources")]:
        del sys.modules[name]


def test_the_code_runs(project, monkeypatch):
    with open_project(project) as session:
        assert build(session.task("Revenue")()) == 3.5
        assert build(session.task("Customers")())["zip"].to_list() == ["01234"]
        assert build(session.task("Targets")())["target"].to_list() == [5]
        assert build(session.task("Visits")()).collect()["shop"].to_list() == ["007"]
        build(session.task("Everything")())
        orders = session.task("Orders")(day=datetime.date(2026, 1, 31))
        assert not orders.complete()
    monkeypatch.setenv("DATABASE_URL", "sqlite:///data/shop.db")
    with open_project(project, overrides=["Customers.options.nrows=0"]) as session:
        assert build(session.task("Orders")(day=datetime.date(2026, 1, 31)))["id"].to_list() == [1]
        assert build(session.task("Customers")()).shape == (0, 3)
    with open_project(project, env="prod") as session:
        assert session.task("Sales")().url == "s3://company-data/sales.parquet"
