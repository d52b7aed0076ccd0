"""The bench's section `remote`: requests are counted by kind, memory is measured, and no server outlives the bench."""

from __future__ import annotations

import importlib
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
    monkeypatch.syspath_prepend(str(SCRIPTS.parent))
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return lambda name: importlib.import_module(f"bench_lib.{name}")


@pytest.fixture
def tiny_bench(bench_lib, tmp_path):
    """A bench that uses this environment for all programs."""
    here = Path(sys.executable)
    sizes = replace(bench_lib("sizes").SMOKE, remote=(5,), megabytes=20)
    pythons = {"kart": here, "servers": here}
    return bench_lib("bench").Bench(sizes, tmp_path, tmp_path, peers=(bench_lib("peers").KART,), pythons=pythons)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "put"), [("S3", "PUT"), ("GCS", "POST object")])
def test_requests_are_counted_and_memory_is_measured(bench_lib, tiny_bench, monkeypatch, name, put):
    remote, tables = bench_lib("sections.remote"), bench_lib("tables")
    for part, value in {"DELAYS": (0,), "FORMS": ("file",), "VARIANTS": remote.VARIANTS[2:3]}.items():
        monkeypatch.setattr(remote, part, value)
    for module in (remote, tables):
        monkeypatch.setattr(module, "SERVICES", (name,))
    monkeypatch.setattr(bench_lib("services"), "PROBES", 10)
    remote.remote(tiny_bench)
    remote.values(tiny_bench)
    assert [cell.failure for cell in tiny_bench.cells.values() if cell.failure] == []
    row = remote.VARIANTS[0].row
    first = tiny_bench.cells["remote", remote.column(name, "first run", 5, 0), row].samples[0].reported
    again = tiny_bench.cells["remote", remote.column(name, "no-op", 5, 0), row].samples[0].reported
    assert (first["ran"], again["ran"]) == (5, 0)
    assert first[f"requests {put}"] >= 5 * 6
    assert first["requests GET"] == 4
    assert again["requests GET"] <= 4  # the records of the runs
    text = "\n".join(tables.every_table(tiny_bench.cells, tiny_bench.sizes, ()))
    assert f"### {name}, 5 tasks" in text
    assert f"| first run: {row} |" in text
    assert "### A value of 20 MB" in text
    assert -10 < bench_lib("figures").value_memory(tiny_bench.cells, f"{name}, file", "kart_runtime")[1] < 200


@pytest.mark.parametrize(
    ("scheme", "method", "target", "kind"),
    [
        ("s3", "PUT", "/bench/a/b.pkl", "PUT"),
        ("s3", "PUT", "/bench/a?partNumber=3&uploadId=x", "PUT part"),
        ("s3", "POST", "/bench/a?uploads", "multipart"),
        ("s3", "POST", "/bench/a?uploadId=x", "multipart"),
        ("s3", "GET", "/bench/a", "GET"),
        ("s3", "GET", "/bench?list-type=2&prefix=a", "LIST"),
        ("s3", "HEAD", "/bench", "HEAD bucket"),
        ("s3", "POST", "/bench?delete", "DELETE many"),
        ("gcs", "POST", "/upload/storage/v1/b/bench/o?uploadType=multipart&name=a", "POST object"),
        ("gcs", "POST", "/upload/storage/v1/b/bench/o?uploadType=resumable&name=a", "POST begin"),
        ("gcs", "PUT", "/upload/storage/v1/b/bench/o?uploadType=resumable&upload_id=x", "PUT part"),
        ("gcs", "GET", "/storage/v1/b/bench/o?prefix=a", "LIST"),
        ("gcs", "GET", "/storage/v1/b/bench/o/a%2Fo?alt=json", "GET metadata"),
        ("gcs", "GET", "/download/storage/v1/b/bench/o/a?alt=media", "GET"),
        ("gcs", "GET", "/storage/v1/b/bench", "GET bucket"),
        ("gcs", "PATCH", "/storage/v1/b/bench/o/a", "PATCH"),
    ],
)
def test_kind_of_a_request(bench_lib, scheme, method, target, kind):
    assert getattr(bench_lib("workers.remote_proxy"), f"{scheme}_kind")(method, target) == kind


def add_counts(bench_lib, tiny_bench, row, **requests):
    remote, child = bench_lib("sections.remote"), bench_lib("child")
    reported = {"wall": 2.0, "ran": 5.0, **{f"requests {kind}": number for kind, number in requests.items()}}
    tiny_bench.cells.add(
        "remote", remote.column("S3", "first run", 5, 0), row, 5, child.Sample(1.0, 3.0, 1, reported=reported)
    )


def test_what_would_only_wait_is_not_run(bench_lib, tiny_bench):
    remote, services = bench_lib("sections.remote"), bench_lib("services")
    gokart = remote.VARIANTS[-1]
    add_counts(bench_lib, tiny_bench, gokart.row, PUT=10_000, HEAD=20_000)
    tiny_bench.sizes = replace(tiny_bench.sizes, timeout=300)
    unused = services.Service.__new__(services.Service)
    unused.name = "S3"
    remote.graph(tiny_bench, unused, gokart, 5, 20)
    where = remote.column("S3", "first run", 5, 20)
    assert tiny_bench.cells["remote", where, gokart.row].failure == "> 600 s"
    assert f"| first run: {gokart.row} |" in (text := bench_lib("tables").requests(tiny_bench.cells, "S3", 5))
    assert "> 600 s" in text


def test_table_shows_requests_per_task_and_their_total(bench_lib, tiny_bench):
    add_counts(bench_lib, tiny_bench, "kart_runtime", PUT=31, LIST=1)
    lines = bench_lib("tables").requests(tiny_bench.cells, "S3", 5).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[0] == ["", "PUT", "LIST", "all", "s", "s, 20 ms a request"]
    assert rows[2] == ["first run: kart_runtime", "6.2", "0.2", "32", "2.0", "-"]


@pytest.mark.parametrize(("lists", "reached"), [(2, True), (9, False)])
def test_goal_of_requests_allows_a_list_and_a_record(bench_lib, tiny_bench, lists, reached):
    add_counts(bench_lib, tiny_bench, "kart_runtime", PUT=30, LIST=lists)
    goals = bench_lib("goals")
    by_name = {goal.work: goal for goal in goals.remote_goals(tiny_bench.cells, tiny_bench.sizes)}
    goal = by_name["remote, first run of 5: requests beyond 6 per task"]
    assert goal.measured == f"S3 {lists} · GCS -"
    assert goal.reached is (None if reached else False)


def test_servers_end_with_a_bench_that_is_killed(tmp_path):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from bench_lib import bench, services, sizes\n"
        "here = Path(sys.executable)\n"
        "tiny = bench.Bench(sizes.SMOKE, Path(sys.argv[1]), Path(sys.argv[1]), pythons={'servers': here})\n"
        "with services.service(tiny, 'GCS') as service:\n"
        "    service.begin(0)\n"
        "    print(service.counts(), service._port, service._proxy_port, flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        words = running.stdout.readline().split()
        os.kill(running.pid, signal.SIGKILL)
    assert words[0] == "{}"
    deadline = time.monotonic() + 30
    while any(listens(int(port)) for port in words[1:]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def listens(port):
    """Return whether a local process listens on a port."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)
