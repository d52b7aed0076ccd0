"""What is written of a run and of its tasks comes back."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kart_runtime.gokart.tree.task_info
from kart_runtime import BuildFailed, TaskOnKart, build
from kart_runtime.errors.secrets import note_secret
from kart_runtime.history.ledger import Ledger, RunTasks, new_run_id
from kart_runtime.history.log_files import LogFiles, module_versions
from kart_runtime.history.run_header import RunInfo
from kart_runtime.history.runs import RunRecord, read_records
from kart_runtime.storage import registry
from kart_runtime.storage.target import OutputRecord
from tests.runtime.far_store import FarStore

RECORD = RunRecord(
    "Task",
    "module",
    "id",
    "done",
    "2026-01-01T00:00:00+00:00",
    0.5,
    7,
    {"a": "1"},
    (OutputRecord("u", 1, "c"),),
    ("l",),
)


def write(workspace, *records):
    ledger = Ledger()
    for record in records:
        ledger.append(str(workspace), vars(record))
    ledger.close()
    return ledger.run_id


def test_records_come_back(tmp_path):
    run_id = write(tmp_path, RECORD, RECORD)
    found = list(read_records(str(tmp_path)))
    assert [record.run_id for record in found] == [run_id, run_id]
    assert found[0].outputs == RECORD.outputs
    assert found[0].log_files == ("l",)


@given(
    texts=st.lists(st.text(), min_size=8, max_size=8),
    params=st.dictionaries(st.text(), st.text(), max_size=4),
    outputs=st.lists(
        st.builds(OutputRecord, st.text(), st.integers(0), st.text("0123456789abcdef"), st.text()), max_size=3
    ),
    inputs=st.dictionaries(st.text(), st.text("0123456789abcdef"), max_size=3),
    seed=st.none() | st.integers(),
    times=st.tuples(*[st.floats(0, 1e9)] * 3),
    cpu=st.none() | st.floats(0, 1e9),
    metrics=st.dictionaries(
        st.text(min_size=1),
        st.integers(-(2**63), 2**63)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.sampled_from(["nan", "inf"]),
        max_size=3,
    ),
    logged=st.integers(0, 10**6),
)
def test_a_line_is_the_record_as_json(texts, params, outputs, inputs, seed, times, cpu, metrics, logged):
    task, module, reason, error, worker, origin, trace, series = texts
    seconds, waited, peak = times
    values = {
        "task": task,
        "module": module,
        "unique_id": "0" * 32,
        "state": "done",
        "started": "2026",
        "ended": "2027",
        "waited": round(waited, 3),
        "seconds": round(seconds, 6),
        "cpu": None if cpu is None else round(cpu, 6),
        "worker": worker,
        "seed": seed,
        "peak_mb": round(peak, 1),
        "params": params,
        "outputs": [dict(zip(OutputRecord._fields, output, strict=True)) for output in outputs],
        "log_files": ("task_log", "lines"),
        "error": error,
        "reason": reason,
        "inputs": inputs,
        "origin": origin,
        "code": "0a",
        "metrics": metrics,
        "series": (series,),
        "logged": logged,
        "trace": trace,
    }
    line = Ledger("run")._line({**values, "outputs": outputs, "inputs": tuple(inputs.items())})
    assert line.count("\n") == 1
    assert line.isascii()  # so that no reader takes U+2028 for the end of a line
    found = {"metrics": {}, "series": [], "logged": 0, "trace": "", **json.loads(line)}
    if not (metrics or logged or trace):
        values["series"] = ()
    assert found == json.loads(json.dumps({**values, "run_id": "run"}))
    record = RunRecord.from_json(json.loads(line))
    assert (record.metrics, record.trace, record.inputs, record.outputs) == (metrics, trace, inputs, tuple(outputs))


class Receiver:
    def __init__(self, *raises):
        self.received, self.raises = [], raises

    def __getattr__(self, name):
        if name not in ("begin", "task", "end"):
            raise AttributeError(name)

        def receive(values):
            json.dumps(values, allow_nan=False)
            self.received.append((name, values))
            if name in self.raises:
                raise RuntimeError("gone")

        return receive


def test_listeners_receive_what_is_recorded_and_no_secret(tmp_path, caplog):
    note_secret("hunter2-hunter2")
    fine, broken = Receiver(), Receiver("task")
    info = RunInfo(env="dev", overrides={"Task.a": "hunter2-hunter2"}, label="l")
    with Ledger(info=info) as ledger:
        ledger.listeners += [broken, fine]
        for workspace in (tmp_path / "a", tmp_path / "b"):
            ledger.append(str(workspace), {**vars(RECORD), "error": "hunter2-hunter2", "metrics": {"auc": 1.0}})
        ledger.finish("failed", {"ran": 2})
    assert [name for name, _ in fine.received] == ["begin", "task", "task", "end"]
    assert [name for name, _ in broken.received] == ["begin", "task"]
    header, record, _, end = [values for _, values in fine.received]
    assert header["overrides"] == {"Task.a": "***"}
    assert (record["task"], record["error"], record["metrics"]) == ("Task", "***", {"auc": 1.0})
    assert (end["state"], end["ran"], end["run_id"]) == ("failed", 2, header["run"])
    assert caplog.text.count("Receiver raised, and receives no more of this run: RuntimeError: gone") == 1
    written = [path.read_text() for path in tmp_path.rglob("*.jsonl")]
    assert len(written) == 2
    assert not [text for text in written if "hunter2" in text]


def test_an_empty_log_file_was_begun_by_a_process_that_died(tmp_path):
    files = LogFiles(str(tmp_path), "Task", "0" * 32)
    assert files.read("task_log") is None
    files.write("task_log", b"")
    assert files.read("task_log") is None


@pytest.mark.parametrize("data", [b"no pickle", b"\x80\x05\x95", b"cnowhere\nname\n.", b"\x80\x05K\x01."])
def test_a_damaged_log_file_ends_nothing(data, caplog):
    class Logged(TaskOnKart[int]):
        def run(self):
            self.dump(1)

    build(Logged())
    files = Logged()._log_files()
    Logged().task_log.clear()  # that of the run in this process
    for kind in ("task_log", "task_params"):
        Path(files.url(kind)).write_bytes(data)
    Path(files.url("processing_time")).write_bytes(data[:5])
    assert (Logged().get_task_log(), Logged().get_task_params()) == ({}, {})
    assert Logged().get_processing_time() == "unknown" or data.endswith(b"K\x01.")
    kart_runtime.gokart.tree.task_info.make_task_info_as_tree_str(Logged())
    assert "log file that cannot be read" in caplog.text or data.endswith(b"K\x01.")


def test_a_run_starts_with_versions_host_and_command(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["run", "Task.password=hunter2", "--env=prod"])
    run_id = write(tmp_path, RECORD)
    text = (tmp_path / "log" / "runs" / f"{run_id}.jsonl").read_text()
    header = json.loads(text.splitlines()[0])
    assert header["versions"]["luigi"]
    assert header["command"] == ["run", "Task.password=...", "--env=..."]
    assert "hunter2" not in text


def test_a_run_that_does_nothing_leaves_nothing(tmp_path):
    Ledger().close()
    assert list(tmp_path.iterdir()) == []


def test_run_ids_sort_by_time_and_differ():
    ids = [new_run_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert [name[:16] for name in ids] == sorted(name[:16] for name in ids)


def test_versions_are_those_of_the_imported_libraries():
    import luigi

    assert module_versions()["luigi"] == luigi.__version__
    assert "json" not in module_versions()


def test_a_run_says_which_tasks_it_is_about_also_when_none_of_them_runs(tmp_path):
    class One(TaskOnKart[int]):
        def run(self):
            self.dump(1)

    class Two(TaskOnKart[int]):
        def requires(self):
            return One()

        def run(self):
            if self.fails:
                raise RuntimeError("while it runs the file is there")
            self.dump(2)

        fails = True

    def runs():
        files = sorted(Path("resources/log/runs").iterdir())
        lines = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
        return [[line["tasks"][__name__] for line in run if "tasks" in line] for run in lines]

    ids = {"One": [One().make_unique_id()], "Two": [Two().make_unique_id()]}
    with pytest.raises(BuildFailed):
        build(Two())
    assert runs() == [[ids]]
    Two.fails = False
    build(Two())
    build(Two())  # nothing runs
    assert runs() == [[ids], [ids], [ids]]


def test_a_run_says_what_it_has_yielded(tmp_path):
    class Yielded(TaskOnKart[int]):
        def run(self):
            self.dump(1)

    class Yields(TaskOnKart[int]):
        def run(self):
            yield Yielded()
            self.dump(2)

    build(Yields())
    (file,) = Path("resources/log/runs").iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [set(line["tasks"][__name__]) for line in lines if "tasks" in line] == [{"Yields"}, {"Yielded"}]


def test_where_a_run_cannot_be_noted_a_build_goes_on(caplog):
    class One(TaskOnKart[int]):
        def run(self):
            self.dump(1)

    build(One())
    shutil.rmtree("resources/log/runs")
    Path("resources/log/runs").write_text("in the way")
    assert build(One()) == 1
    assert "Could not record this run" in caplog.text
    caplog.clear()
    assert build(One(rerun=True)) == 1
    assert "Could not record this run" in caplog.text
    assert "resources/log/runs" in caplog.text


def test_a_store_that_cannot_append_gets_parts(monkeypatch):
    store = FarStore()
    monkeypatch.setitem(registry.STORES, "far", "tests.runtime.far_store:FarStore")
    monkeypatch.setitem(registry._loaded, "tests.runtime.far_store:FarStore", store)
    with Ledger("run") as ledger:
        ledger.record_tasks("far://w", RunTasks({"module": {"Task": ["id"]}}))
        ledger.append("far://w/", vars(RECORD))
        monkeypatch.setattr("kart_runtime.history.ledger._FLUSH_SECONDS", -1.0)
        ledger.append("far://w/", vars(RECORD))
        ledger.append("far://w/", vars(RECORD))
    found = {stat.key: store.open(stat.key).read().decode().splitlines() for stat in store.list("w")}
    lengths = {key.removeprefix("w/log/runs/"): len(lines) for key, lines in found.items()}
    assert lengths == {"run.jsonl": 2, "run.part0001.jsonl": 2, "run.part0002.jsonl": 1}


def test_first_lines_are_written_with_the_header_at_once(tmp_path, monkeypatch):
    real, written = os.write, []

    def write_once(descriptor, data):
        written.append(data)
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write_once)
    with Ledger() as ledger:
        ledger.first_lines = lambda workspace: [{"restart": 1.0, "workspace": workspace}]
        ledger.begin(str(tmp_path))
        ledger.begin(str(tmp_path))
        header, restart = written[0].decode().splitlines()
        assert len(written) == 1
        assert next(iter(json.loads(header))) == "run"
        assert json.loads(restart) == {"restart": 1.0, "workspace": str(tmp_path)}
