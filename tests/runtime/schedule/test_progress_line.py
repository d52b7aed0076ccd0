"""One line that updates while a script or a notebook builds, and silence everywhere else."""

from __future__ import annotations

import sys
from textwrap import dedent

import nbformat
import pytest
from nbclient import NotebookClient

from tests.runtime.terminal import Terminal

SCRIPT = """\
import sys, time
import luigi
from kart_runtime import TaskOnKart, build

class Part(TaskOnKart[int]):
    n: int = luigi.IntParameter()

    def run(self):
        print("said by", self.n, flush=True)
        time.sleep(0.4)
        self.dump(1)

tasks = [Part(n=n, workspace_directory=WORKSPACE) for n in range(4)]
build(tasks, False, **OPTIONS)
print("the end")
"""


def script(tmp_path, workspace="work", **options):
    path = tmp_path / "script.py"
    text = SCRIPT.replace("WORKSPACE", repr(str(tmp_path / workspace))).replace("OPTIONS", repr(options))
    path.write_text(text)
    return [sys.executable, str(path)]


def test_a_script_on_a_terminal_shows_one_line_that_becomes_the_summary(tmp_path):
    terminal = Terminal(script(tmp_path), columns=80, rows=12)
    assert terminal.finish() == 0
    shown = {line for seen in terminal.seen for line in seen if "/4 done" in line}
    assert any(line.startswith(f"{n}/4 done, 1 running (0:0") for line in shown for n in range(1, 4))
    lines = [line for line in terminal.all_lines if line]
    assert lines[:4] == [f"said by {n}" for n in range(4)]
    assert lines[4].startswith("4 tasks: 4 ran, 0 already complete (")
    assert lines[5:] == ["the end"]


@pytest.mark.parametrize("kind", ["progress=False", "CI", "dumb", "on_event"])
def test_it_is_silent_where_it_is_not_wanted(tmp_path, kind):
    options = {"progress": False} if kind == "progress=False" else {"on_event": print} if kind == "on_event" else {}
    command = script(tmp_path, **options)
    if kind == "on_event":
        path = tmp_path / "script.py"
        path.write_text(path.read_text().replace(repr(print), "lambda event: None"))
    variables = {"CI": {"CI": "1"}, "dumb": {"TERM": "dumb"}}.get(kind, {})
    terminal = Terminal(command, columns=80, rows=12, **variables)
    assert terminal.finish() == 0
    assert b"\x1b" not in terminal.sent
    assert [line for line in terminal.all_lines if line] == [*(f"said by {n}" for n in range(4)), "the end"]


def test_nothing_to_run_shows_nothing(tmp_path):
    command = script(tmp_path)
    assert Terminal(command).finish() == 0
    terminal = Terminal(command)
    assert terminal.finish() == 0
    assert [line for line in terminal.all_lines if line] == ["the end"]


def outputs_of(code, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(dedent(cell)) for cell in code])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    return [cell.outputs for cell in notebook.cells]


TABLES = """
from kart_runtime.builder import run_build
from kart_runtime.history.index import open_index
from kart_runtime.plan.decisions import make_plan
from kart_runtime.settings import BuildSettings
"""


@pytest.mark.filterwarnings("ignore")
def test_a_notebook_shows_one_line_and_tables(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    body = SCRIPT.replace("WORKSPACE", "'work'").replace("OPTIONS", "{}")
    built, _, task, plan, summary, run, quiet = outputs_of(
        [
            body,
            TABLES,
            "tasks[0]",
            "make_plan(tasks)",
            "run_build(tasks, BuildSettings())[0]",
            "with open_index('work') as index:\n    row = index.runs()[0]\nrow",
            "build(Part(n=9, workspace_directory='work'), False, progress=False)",
        ],
        tmp_path,
    )
    lines = [output.data["text/plain"] for output in built if output.output_type == "display_data"]
    assert len(lines) == 1
    assert lines[0].startswith("4 tasks: 4 ran, 0 already complete (")
    tables = [outputs[-1].data for outputs in (task, plan, summary, run)]
    assert all("</div>" in data["text/html"] and "<script" not in data["text/html"] for data in tables)
    assert [data["text/plain"].partition(" ")[0] for data in tables[1:]] == ["<Plan", "<Summary", "<Run"]
    assert "Part_" in tables[0]["text/html"]
    assert [output.output_type for output in quiet] == ["stream"]
