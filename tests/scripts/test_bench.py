"""`scripts/bench`: a tiny run prints its tables; figures, failures and the end of child processes."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def bench_lib(monkeypatch):
    """Import modules of the bench as it does itself."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return lambda name: importlib.import_module(f"bench_lib.{name}")


@pytest.fixture
def filled(bench_lib, tmp_path):
    """A bench in which a grid task costs 2 ms and 4 KiB, for any number of tasks, and the imports 1 s and 1 MiB."""
    bench, sizes, child = bench_lib("bench"), bench_lib("sizes"), bench_lib("child")
    instance = bench.Bench(replace(sizes.SMOKE, growth=(10, 100), deep=1_000), tmp_path, tmp_path)
    instance.cells.add("import", "process", "kart_runtime", 0, child.Sample(1.0, 1.0, 2**20))
    for count in (10, 100, 1_000):
        column = bench_lib("sections.graphs").column("grid", count)
        cost = child.Sample(1 + 0.002 * count, 1.0, 2**20 + 4096 * count)
        instance.cells.add("first run", column, "kart_runtime", count, cost)
    return instance


def bench(*words, **options):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(SCRIPTS / "bench"), "--smoke", "--python", sys.executable, *map(str, words)]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


@pytest.mark.slow
def test_tiny_run_prints_the_tables(tmp_path):
    sections = ("graphs", "growth", "memory", "parallel", "dynamic", "history", "display", "recording")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    running = bench(
        "--peers", "bare", "kart", "--shapes", "grid", "--sections", *sections,
        "--scratch", scratch, "--envs", tmp_path / "none", "--json", tmp_path / "all.json",
    )  # fmt: skip
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    for title in (
        "First run",
        "No-op",
        "Growth",
        "Memory",
        "Several workers",
        "5 dynamic requirements",
        "A history of 300",
        "Display",
        "Records of runs",
        "Goals",
    ):
        assert f"\n### {title}" in out
    assert "failed" not in out, err
    data = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    rows = {cell["row"] for cell in data["cells"]}
    assert rows >= {"bare loop", "kart_runtime", "kart_runtime, threads", "kart runs", "kart runs, the first command"}
    assert {goal["work"]: goal["reached"] for goal in data["goals"]}["5 requirements yielded: calls of run()"] is True
    assert not (tmp_path / "none").exists()
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_frames_are_measured_from_inside(tmp_path):
    running = bench("--peers", "bare", "--sections", "frames", "--json", tmp_path / "all.json")
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert "### A data frame of 1,000 × 8 through five tasks" in out
    cells = {cell["column"]: cell for cell in json.loads((tmp_path / "all.json").read_text())["cells"]}
    assert set(cells) == {"pkl", "parquet", "feather", "csv", "polars-parquet", "polars-feather"}
    assert all(cell["failure"] is None and cell["spread"]["reported.wall"]["min"] > 0 for cell in cells.values())


def test_stopped_run_leaves_nothing_behind(tmp_path):
    running = bench("--peers", "bare", "kart", "--sections", "graphs", "--scratch", tmp_path, start_new_session=True)
    while not list(tmp_path.glob("*/work")):
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert list(tmp_path.iterdir()) == []


def test_late_child_is_ended_with_all_that_it_started(bench_lib, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('pid', 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    sample = bench_lib("child").measure((sys.executable, "-c", code), folder, 3)
    assert sample.failure == "timed out"
    number = int((folder / "pid").read_text())
    deadline = time.monotonic() + 30
    while lives(number):  # a signal takes its time
        assert time.monotonic() < deadline
        time.sleep(0.01)


def lives(number):
    """Return whether a process exists and is no zombie (which it is until init reaps it)."""
    try:
        return Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("raise KeyError('x')", "failed (KeyError)"),
        ("def f(): f()\nf()", "failed (RecursionError)"),
        ("import os; os.abort()", "failed (SIGABRT)"),
        ("pass", None),
    ],
)
def test_why_a_child_failed(bench_lib, tmp_path, code, failure):
    folder = tmp_path / "work"
    folder.mkdir()
    assert bench_lib("child").measure((sys.executable, "-c", code), folder, 60).failure == failure


def test_memory_of_a_child_is_its_own(bench_lib, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    ballast = bytearray(200_000_000)
    sample = bench_lib("child").measure((sys.executable, "-S", "-c", "pass"), folder, 60)
    assert 1_000_000 < sample.memory < len(ballast) / 2


def test_cost_per_task_is_without_the_imports(bench_lib, filled):
    figures = bench_lib("figures")
    assert figures.per_task(filled.cells, "first run", "grid", 100, "kart_runtime") == pytest.approx(2)
    assert figures.memory_per_task(filled.cells, 100, "kart_runtime") == pytest.approx(4)
    assert figures.exponent(filled.cells, "first run", "grid", (10, 100, 1_000), "kart_runtime") == pytest.approx(1)
    assert figures.per_task(filled.cells, "no-op", "grid", 100, "kart_runtime") is None


def test_exponent_of_quadratic_growth_is_two(bench_lib, filled):
    child, graphs = bench_lib("child"), bench_lib("sections.graphs")
    for count in (10, 100):
        cost = child.Sample(1 + 0.001 * count**2, 1.0, 0)
        filled.cells.add("first run", graphs.column("chain", count), "kart_runtime", count, cost)
    figures = bench_lib("figures")
    assert figures.exponent(filled.cells, "first run", "chain", (10, 100), "kart_runtime") == pytest.approx(2)


def test_a_cell_that_failed_or_took_long_is_not_measured_again(bench_lib, filled):
    child = bench_lib("child")
    filled.sizes = replace(filled.sizes, rounds=2, patience=5)
    assert filled.needs_sample("hello", "process", "kart_runtime")
    for row, sample in {
        "slow": child.Sample(1, 6, 0), "broken": child.Sample(1, 1, 0, "failed"), "fast": child.Sample(1, 1, 0)
    }.items():  # fmt: skip
        filled.cells.add("hello", "process", row, 0, sample)
    assert [row for row in ("slow", "broken", "fast") if filled.needs_sample("hello", "process", row)] == ["fast"]


@pytest.mark.parametrize(
    ("values", "least", "reached"),
    [
        ({"a": 1.4, "b": 1.5}, False, True),
        ({"a": 1.4, "b": 1.6}, False, False),
        ({"a": 1.4, "b": None}, False, None),
        ({"a": 1.6, "b": None}, False, False),
        ({"a": 1.6, "b": 1.5}, True, True),
        ({"a": 1.4}, True, False),
        ({}, False, None),
    ],
)
def test_a_goal_is_reached_when_every_value_is_known_and_within_it(bench_lib, values, least, reached):
    assert bench_lib("goals").make_goal("work", 1.5, values, least=least).reached is reached


def test_results_replace_what_stands_between_the_marks(bench_lib, tmp_path):
    report = bench_lib("report")
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{report.MARKS[0]}\n\nold\n\n{report.MARKS[1]}\n\nThe end.\n", encoding="utf-8")
    report.replace_results(page, "new")
    text = page.read_text(encoding="utf-8")
    assert text == f"# Page\n\n{report.MARKS[0]}\n\nnew\n\n{report.MARKS[1]}\n\nThe end.\n"


@pytest.mark.parametrize("shape", ["chain", "fan-in", "grid"])
def test_every_task_of_a_shape_leads_to_the_root(bench_lib, shape):
    graphs = bench_lib("graphs")
    above = [set(graphs.dependencies(shape, 80, index)) for index in range(80)]
    assert all(other < index for index, others in enumerate(above) for other in others)
    assert set().union(*above) == set(range(79))
