"""Tables of notebooks: escaped, without scripts, of a bounded length."""

from __future__ import annotations

from html.parser import HTMLParser
from pprint import pformat

import luigi
import pytest

from kart_runtime import TaskInstanceParameter, TaskOnKart
from kart_runtime.builder import run_build
from kart_runtime.errors.secrets import MASK
from kart_runtime.history.compare import CompareRow, CompareTable
from kart_runtime.history.html_tables import html_table
from kart_runtime.history.index import open_index
from kart_runtime.plan.decisions import make_plan
from kart_runtime.settings import BuildSettings
from kart_runtime.task.parameters import Override, overriding


class Cells(HTMLParser):
    """Reader of the texts of a table, which refuses what is not closed."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        assert tag in {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}
        assert {name for name, _ in attributes} <= {"style", "scope"}
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


BAD = ["</script><script>alert(1)</script>", '"><img src=x onerror=y>', "a\u202eb", "two\nlines", "&amp;", None, 3]


def test_whatever_is_in_a_cell_stays_text():
    texts = Cells(html_table(BAD[:4], [BAD], title=BAD[0], below=BAD[1])).texts
    assert texts[0] == BAD[0]
    assert texts[-1] == BAD[1]
    assert "a b" in texts
    assert "two lines" in texts
    assert "&amp;" in texts


def test_long_cells_and_long_tables_are_shortened():
    text = html_table(["n"], ((n, "x" * 10_000) for n in range(60)))
    cells = Cells(text)
    assert cells.texts[-1] == "... 10 more"
    assert max(map(len, cells.texts)) < 310
    assert text.count("<tr>") == 51


class Inner(TaskOnKart[int]):
    n = luigi.IntParameter(default=0)
    token: str = luigi.Parameter(default="none")

    def run(self):
        self.log_metric("auc", 0.123456789)
        if self.n:
            raise ValueError("<b>no</b>")
        self.dump(1)


class Outer(TaskOnKart[int]):
    inner = TaskInstanceParameter()

    def run(self):
        self.dump(1)


@pytest.fixture
def roots(tmp_path):
    folder = str(tmp_path)
    good = Outer(inner=Inner(workspace_directory=folder), workspace_directory=folder)
    return [good, Outer(inner=Inner(n=1, workspace_directory=folder), workspace_directory=folder)]


def test_a_task_shows_its_parameters_what_it_requires_and_its_output(roots):
    texts = Cells(roots[0]._repr_html_()).texts
    assert texts[0] == f"Outer[{roots[0].make_unique_id()[:8]}]"
    assert texts[texts.index("requires") + 1] == str(roots[0].inner)
    assert texts[texts.index("output") + 1] == roots[0].output().path()


def test_a_compare_table_is_a_table():
    rows = tuple(CompareRow(f"{n:032x}", "run", "last", "", "now", {"depth": str(n), "auc": n / 10}) for n in range(60))
    table = CompareTable("Train", ("depth", "auc"), ("auc",), rows, {"auc": 59})
    texts = Cells(table._repr_html_()).texts
    assert texts[:4] == ["depth", "auc", "run", "when"]
    assert texts[-2:] == ["... 10 more", "60 variants; * best"]
    lines = repr(table).splitlines()
    assert len(lines) == 22
    assert lines[0].split() == ["depth", "auc", "run", "when"]
    assert lines[-1].startswith("60 variants, 20 shown")


def test_secrets_are_masked():
    with overriding({Inner: {"token": Override("hunter2hunter2", "x.yaml", secret=True)}}):
        text = Inner()._repr_html_()
    assert "hunter2" not in text
    assert MASK in Cells(text).texts


def test_a_plan_a_summary_and_a_run_are_tables_with_a_short_repr(roots, tmp_path):
    plan = make_plan(roots)
    assert repr(plan) == "<Plan of 4 tasks: 4 run>"
    assert Cells(plan._repr_html_()).texts[:4] == ["Plan of 4 tasks: 4 run", "task", "action", "reason"]
    summary, _ = run_build(roots, BuildSettings())
    assert repr(summary) == f"<Summary of {summary.text()}>"
    texts = Cells(summary._repr_html_()).texts
    assert "ValueError: <b>no</b>" in texts
    assert "0.123457" in texts
    with open_index(str(tmp_path)) as index:
        (row,) = index.runs()
        run = index.run(row.id)
    assert repr(row).startswith(f"<Run {row.id}: failed in ")
    assert row.id in Cells(row._repr_html_()).texts[0]
    assert repr(run) == f"<Run {run.id}: failed, 3 attempts>"
    assert "Inner" in Cells(run._repr_html_()).texts
    assert pformat({"plan": plan, "summary": summary}).count("\n") <= 2
