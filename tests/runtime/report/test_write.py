"""The file of a report: of runs of any kind, by the parts that need no script."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kart_runtime.errors import ConfigError
from kart_runtime.history.index import open_index
from kart_runtime.history.run_header import RunInfo
from kart_runtime.history.runs import RunRecord
from kart_runtime.report import write_report
from kart_runtime.report.page import _script, _style
from kart_runtime.report.write import report_text
from kart_runtime.storage.processes import this_process
from tests.runtime.report.made_runs import MadeRun, id_of, layered


@pytest.fixture
def ws(tmp_path):
    (tmp_path / "outputs").mkdir()
    return str(tmp_path / "outputs")


def report(workspace, run_id, **options):
    path = write_report(workspace, run_id, Path("report.html"), **options)
    return path.read_text(encoding="utf-8")


def block(text, name):
    packed = re.search(rf'<script type="application/octet-stream" id="{name}">(.*?)</script>', text)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


class Texts(HTMLParser):
    """The visible text, and all tags."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self._skips = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._skips = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._skips = False

    def handle_data(self, data):
        self.text += "" if self._skips else data


def test_it_has_everything_inside_and_may_not_call_out(ws):
    text = report(ws, layered(100).write(ws, "failed"))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)[1]
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "img-src data:;" in policy
    assert "://" not in re.sub(r"<dd>.*?</dd>", "", text)
    for _, attributes in Texts(text).tags:
        assert not {"style", "src", "onclick", "onload"} & attributes.keys()
        assert attributes.get("href", "#").startswith("#")


@pytest.mark.parametrize(("tasks", "most_seconds"), [(10, 1), (100, 1), (1_000, 1)])
def test_size_and_time_follow_the_number_of_tasks(ws, tasks, most_seconds):
    run_id = layered(tasks).write(ws, "failed")
    report(ws, run_id)  # imports, and builds the index
    start = time.process_time()
    text = report(ws, run_id)
    assert time.process_time() - start < most_seconds
    assert len(text.encode()) <= 60_000 + 150 * tasks


def test_logs_and_traces_do_not_outgrow_it(ws):
    run = MadeRun()
    for number in range(10):
        trace = "".join(f"line {id_of(number, line)}\n" for line in range(400))
        uid = id_of(number)
        run.add("m", "T", unique_id=uid, state="failed", error="E", trace=trace, logged=9)
        lines = Path(ws, "log", "lines")
        lines.mkdir(parents=True, exist_ok=True)
        (lines / f"T_{uid}.log").write_text(trace)
    text = report(ws, run.write(ws, "failed"))
    assert len(text.encode()) <= 60_000 + 150 * 10
    assert "Logs: " in Texts(text).text


def test_the_parts_without_a_script_say_what_happened(ws):
    info = RunInfo(env="dev", overrides={"tasks.train.Train.max_depth": "2"}, settings={"seed": "1"}, label="shallow")
    run = MadeRun(info=info)
    load = run.add("p.load", "Load", verdict="s")
    train = run.add(
        "p.train", "Train", [load], state="failed", error="ValueError: bad", trace="Traceback\n  train.py, line 3"
    )
    run.add("p.all", "All", [train], state="")
    text = Texts(report(ws, run.write(ws, "failed", git={"commit": "1a2b3c" + "0" * 34, "dirty": True}))).text
    for part in (
        "✗ failed: 1 failed, 1 complete, 1 not started",
        "shallow",
        "max_depth=2",
        "seed=1",
        "1a2b3c000000 with changes",
        "ValueError: bad",
        "train.py, line 3",
        "Critical path 1.0 s of",
    ):
        assert part in text


def test_names_of_any_kind_are_escaped_and_whole_in_the_data(ws):
    bad = ["</script><script>alert(1)</script>", "\"quoted\" & 'single'", "\u202egnp.exe", "two\nlines", "x" * 10_000]
    run = MadeRun(info=RunInfo(label=bad[0], overrides={bad[1]: bad[2]}))
    for text in bad:
        run.add("m", "Task", unique_id=id_of(text), params={"value": text}, error=text, state="failed", reason=text)
    page = report(ws, run.write(ws, "failed"))
    parsed = Texts(page)
    assert [tag for tag, _ in parsed.tags].count("script") == 3
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "x" * 2_100 not in page
    data = block(page, "data")
    shown = [data["texts"][value] for own in data["tasks"]["values"] for value in own]
    assert shown == bad


def test_a_run_that_goes_on_and_one_that_died(ws):
    run = MadeRun()
    run.add("m", "A")
    run.add("m", "B", [0], state="")
    run_id = run.write(ws, state=None)
    assert "… still running: 1 ran, 1 pending" in Texts(report(ws, run_id)).text
    (path,) = Path(ws, "log", "runs").iterdir()
    os.utime(path, (time.time() - 700, time.time() - 700))
    own = json.dumps(this_process())
    path.write_text(path.read_text().replace(own, '"of another machine"') + '{"task": "cut')
    os.utime(path, (time.time() - 700, time.time() - 700))
    assert "died? (no end was recorded): 1 ran, 1 not started" in Texts(report(ws, run_id)).text


def test_a_run_of_an_earlier_version_has_tables_and_a_timeline(ws):
    folder = Path(ws, "log", "runs")
    folder.mkdir(parents=True)
    record = {
        "task": "Train", "module": "m", "unique_id": "a" * 32, "state": "done", "seconds": 2.0,
        "started": "2026-01-01T00:00:01+00:00", "seed": 1, "params": {"x": "1"}, "log_files": [],
        "outputs": [{"url": "gone.csv", "size": 3, "sha256": "ab"}], "error": "", "reason": "",
    }  # fmt: skip
    lines = [{"run": "20260101T000000Z-0", "host": "h"}, {"tasks": {"m": {"Train": ["a" * 32], "Load": ["b" * 32]}}}]
    text = "".join(f"{json.dumps(line)}\n" for line in [*lines, record, {"run_id": "x"}])
    (folder / "20260101T000000Z-0.jsonl").write_text(text)
    page = report(ws, "20260101T000000Z-0")
    shown = Texts(page).text
    assert "✓ done: 1 ran, 1 complete" in shown
    assert "Which task requires which is not recorded" in shown
    assert 'class="timeline"' in page
    assert block(page, "data")["hasGraph"] is False


def test_a_run_without_work_takes_its_edges_from_earlier_runs(ws):
    first = MadeRun()
    load = first.add("m", "Load", params={"x": "1"})
    first.add("m", "Train", [load])
    first.write(ws)
    second = MadeRun("20261127T110000Z-0000022222222")
    from kart_runtime.history.ledger import RunTasks

    ids = [name[2] for name in first.names]
    with second.ledger as ledger:
        ledger.record_tasks(ws, RunTasks({"m": {"Load": ids[:1], "Train": ids[1:]}}), runs=False)
        ledger.finish("done", {})
    data = block(report(ws, second.ledger.run_id), "data")
    assert data["tasks"]["requires"] == [[], [0]]
    assert data["tasks"]["state"] == "22"
    assert "1" in data["texts"]


def test_it_says_what_differs_from_the_run_before_and_from_the_nearest_one(ws):
    for number, depth in enumerate(["4", "2"]):
        info = RunInfo(overrides={"Train.max_depth": depth})
        run = MadeRun(f"20261127T1{number}0000Z-0000000000000", info)
        uid = id_of("train", depth)
        run.add(
            "m",
            "Train",
            unique_id=uid,
            start=3600 * number,
            params={"max_depth": depth, "kind": "tree"},
            metrics={"auc": 0.9 + number / 100},
        )
        run_id = run.write(ws, git={"commit": str(number) * 40, "dirty": False})
    page = report(ws, run_id)
    shown = Texts(page).text
    for part in ("Train.max_depth 4 → 2", "git 0000000 → 1111111", "Train: 1 replaced", "Train auc 0.9 → 0.91"):
        assert part in shown
    (nearest,) = block(page, "extras")["nearest"].values()
    assert (nearest["id"], nearest["differs"]) == (id_of("train", "4"), [["max_depth", "4", "2"]])


def test_a_sweep_has_a_table_of_its_variants(ws):
    roots = [[id_of("root", depth)] for depth in (2, 4)]
    sweep = {"keys": ["tasks.model.Train.max_depth"], "variants": [["2"], ["4"]], "roots": roots}
    run = MadeRun(info=RunInfo(sweep=sweep))
    shared = run.add("m", "Load", metrics={"rows": 7})
    for (root,), depth in zip(roots, ("2", "4"), strict=True):
        train = run.add("m", "Train", [shared], params={"max_depth": depth}, metrics={"auc": 0.5 + int(depth) / 10})
        run.add("m", "All", [train], unique_id=root)
    page = report(ws, run.write(ws))
    table = page[page.index('id="sweep"') :].partition("</table>")[0]
    assert re.findall(r"<t[dh]\b.*?>(.*?)</t", table) == ["Train.max_depth", "auc", "2", "0.7", "4", "0.9"]
    assert block(page, "data")["sweep"]["metrics"] == [{"auc": 0.7}, {"auc": 0.9}]


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**9) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
_FIELDS = [*RunRecord.__dataclass_fields__, "end", "git", "versions", "label", "roots", "overrides", "sweep", "command"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(_FIELDS), _ANY), max_size=4), st.integers(0, 300))
def test_foreign_values_and_cut_lines_do_no_harm(tmp_path, changes, cut):
    folder = tmp_path / "foreign" / "log" / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    record = {"task": "A", "module": "m", "unique_id": "a" * 32, "state": "done", "seconds": 1.0}
    record["started"] = "2026-01-01T00:00:01+00:00"
    tasks = {"tasks": {"m": {"A": ["a" * 32], "B": ["b" * 32]}}, "requires": [[], [0]], "verdicts": "rr"}
    lines = [{"run": "20260101T000000Z-0", "format": 2}, tasks, record, {"end": "x", "state": "done"}]
    for line, name, value in changes:
        lines[line][name] = value
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (folder / "20260101T000000Z-0.jsonl").write_text(text[: len(text) - cut])
    with open_index(str(tmp_path / "foreign")) as index:
        page = report_text(index, index.run("20260101T000000Z-0"), with_previews=True, unpickles=False)
    json.loads(json.dumps(block(page, "data"), allow_nan=False))


def test_numbers_that_are_none_are_texts(ws):
    run = MadeRun()
    run.add("m", "T", metrics={"loss": "nan", "most": float("inf")}, peak_mb=1.0)
    data = block(report(ws, run.write(ws)), "data")
    assert [value for _, value in data["tasks"]["metrics"][0]] == ["nan", "inf"]


def test_it_replaces_only_reports(ws):
    run_id = layered(10).write(ws)
    report(ws, run_id)
    report(ws, run_id)
    Path("notes.html").write_text("mine")
    with pytest.raises(ConfigError, match="is no report of kart"):
        write_report(ws, run_id, "notes.html")
    with pytest.raises(ConfigError, match="there is no folder"):
        write_report(ws, run_id, Path("missing", "x.html"))
    with pytest.raises(ConfigError, match="is a folder"):
        write_report(ws, run_id, ws)
    write_report(ws, run_id, "notes.html", force=True)
    assert "kart report" in Path("notes.html").read_text()


def test_it_is_made_of_the_records_in_a_bucket(bucket):
    run = layered(20)
    workspace = f"{bucket.url}/w"
    run.records[-1]["outputs"] = [(f"{workspace}/out.csv", 4, "", "")]
    from kart_runtime.storage.registry import store_for

    store, key = store_for(f"{workspace}/out.csv")
    with store.write(key) as file:
        file.write(b"a\n1\n")
    text = report(workspace, run.write(workspace))
    assert "20 ran" in text or "complete" in text
    (table,) = [each for own in block(text, "extras")["previews"].values() for each in own if each[1] == "table"]
    assert table[2] == [["a"], [["1"]]]


def test_the_guide_shows_how_to_write_one_in_python(ws):
    layered(10).write(ws)
    guide = Path(__file__).parents[3] / "docs" / "how-to" / "read-the-report.md"
    (code,) = re.findall(r"^```python\n(.*?)^```$", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    exec(code, {})
    assert "kart report" in Path("report.html").read_text(encoding="utf-8")


def test_script_and_style_hold_no_line_that_only_people_read():
    assert "//" not in [line[:2] for line in _script().splitlines()]
    assert len(_script()) < 45_000
    assert len(_style()) < 8_000
