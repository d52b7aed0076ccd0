"""What a task measures is in its record and in the summary, wherever the task runs."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import luigi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime import BuildFailed, TaskFinished, TaskOnKart, build
from kart_runtime.history.runs import list_runs, read_records, read_runs
from kart_runtime.schedule.events import BuildFinished
from kart_runtime.task.metrics import MOST_NAMES, InvalidMetric, _number

EXECUTORS = [
    pytest.param({}, id="serial"),
    pytest.param({"executor": "threads", "workers": 2}, id="threads"),
    pytest.param({"executor": "processes", "workers": 2}, id="processes"),
]


class Train(TaskOnKart[int]):
    fails: luigi.BoolParameter = luigi.BoolParameter(default=False)

    def run(self):
        for epoch in range(3):
            self.log_metric("val/loss", 1.0 / (epoch + 1), step=epoch)
            self.log_metrics({"lr": 0.1, "auc": np.float32(0.5)}, step=np.int64(epoch))
        self.log_metric("rows", 7)
        self.log_metric("rows", np.int64(8))
        self.log_metrics({"nan": float("nan"), "inf": math.inf, "-inf": -math.inf})
        if self.fails:
            raise RuntimeError("after it has measured")
        self.dump(1)


class Evaluate(TaskOnKart[dict]):
    def requires(self):
        return Train()

    def output(self):
        return {"metrics": self.make_target("e/scores.json"), "rest": self.make_target("e/rest.json")}

    def run(self):
        scores = {"forest": {"auc": 0.9, "by fold": {"0": 1.0}, "name": "f"}, "n": 3, "ok": True, "recall@10": 0.25}
        self.dump(scores, "metrics")
        self.dump({"other": 5.0}, "rest")


MEASURED = {"val/loss": 1 / 3, "lr": 0.1, "auc": 0.5, "rows": 8, "nan": "nan", "inf": "inf", "-inf": "-inf"}


def series_of(task):
    file = Path(task.workspace_directory, "log", "series", f"{type(task).__name__}_{task.make_unique_id()}.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("options", EXECUTORS)
def test_metrics_are_in_the_record_the_event_and_the_summary(options):
    events = []
    build(Evaluate(), on_event=events.append, **options)
    records = {record.task: record for record in read_records("resources")}
    assert records["Train"].metrics == MEASURED
    assert isinstance(records["Train"].metrics["rows"], int)
    assert records["Train"].series == ("val/loss", "lr", "auc")
    assert "series" in records["Train"].log_files
    assert records["Evaluate"].metrics == {"forest.auc": 0.9, "n": 3, "recall_10": 0.25}
    assert records["Evaluate"].series == ()
    finished = {event.task: dict(event.outcome.metrics) for event in events if isinstance(event, TaskFinished)}
    assert finished == {Train(): MEASURED, Evaluate(): records["Evaluate"].metrics}
    (end,) = [event for event in events if isinstance(event, BuildFinished)]
    assert end.summary.metrics == finished
    assert end.summary.run_id == records["Train"].run_id

    rows = series_of(Train())
    assert [row[:3] for row in rows if row[0] == "val/loss"] == [["val/loss", n, 1.0 / (n + 1)] for n in range(3)]
    assert all(0 <= row[3] < 60 for row in rows)


@pytest.mark.parametrize("options", EXECUTORS)
def test_a_task_that_fails_keeps_what_it_has_measured(options):
    with pytest.raises(BuildFailed):
        build(Train(fails=True), **options)
    (record,) = read_records("resources")
    assert (record.state, record.metrics["rows"]) == ("failed", 8)
    assert len(series_of(Train(fails=True))) == 9


def test_series_are_kept_in_any_workspace(bucket):
    task = Train(workspace_directory=f"{bucket.url}/w")
    build(task)
    (record,) = read_records(f"{bucket.url}/w")
    assert record.metrics == MEASURED
    text = task._log_files().target("series").path()
    assert text == f"{bucket.url}/w/log/series/Train_{task.make_unique_id()}.jsonl"
    (run,) = read_runs(f"{bucket.url}/w", list_runs(f"{bucket.url}/w"))
    assert run.end is not None
    assert run.end["state"] == "done"


class Logs(TaskOnKart[int]):
    what: luigi.DictParameter = luigi.DictParameter(default={})

    def run(self):
        for name, value in self.what.items():
            self.log_metric(name, value)
        self.dump(1)


@pytest.mark.parametrize(
    ("name", "value", "step", "message"),
    [
        ("a", "high", None, r"metric 'a' is str 'high'\. Log a number"),
        ("a", None, None, r"metric 'a' is NoneType None"),
        ("a", True, None, r"metric 'a' is bool True"),
        ("a", np.bool_(True), None, r"metric 'a' is bool"),
        ("a", [1.0], None, r"metric 'a' is list \[1\.0\]"),
        ("a", np.array([1.0]), None, r"metric 'a' is ndarray"),
        ("a", 1j, None, r"metric 'a' is complex"),
        ("", 1, None, r"'' is not the name of a metric\. Use 1 to 100 letters"),
        ("recall@10", 1, None, r"'recall@10' is not the name"),
        ("x" * 101, 1, None, "is not the name"),
        ("a\nb", 1, None, "is not the name"),
        (3, 1, None, "3 is not the name"),
        ("a", 1, 1.5, r"step 1\.5 of metric 'a' is not a whole number"),
        ("a", 1, True, "step True of metric 'a' is not a whole number"),
    ],
)
def test_what_cannot_be_recorded_is_refused_with_task_and_name(name, value, step, message):
    task = Logs()
    with pytest.raises(InvalidMetric, match=rf"Logs\[{task.make_unique_id()[:8]}\]: .*{message}"):
        task.log_metric(name, value, step=step)


def test_several_metrics_come_as_a_map():
    with pytest.raises(InvalidMetric, match="takes a map of names to numbers, not a list"):
        Logs().log_metrics([("auc", 1.0)])


def test_a_task_has_at_most_200_names():
    assert build(Logs(what={f"m{n}": n for n in range(MOST_NAMES)})) == 1
    with pytest.raises(BuildFailed, match=r"'m\d+' would be metric number 201\. Log at most 200"):
        build(Logs(what={f"m{n}": n for n in range(MOST_NAMES + 1)}))


def test_run_can_be_called_directly():
    Logs(what={"a": 1}).run()


def test_what_is_logged_to_metrics_json_counts_and_a_pickle_of_that_name_does_not():
    class Scores(TaskOnKart[dict]):
        name: luigi.Parameter = luigi.Parameter()

        def output(self):
            return self.make_target(self.name)

        def run(self):
            self.dump({"auc": np.float64(0.5), "none": None})

    for name in ("a/metrics.json", "a/metrics.pkl", "a/my_metrics.json"):
        build(Scores(name=name))
    assert [record.metrics for record in read_records("resources")] == [{"auc": 0.5}, {}, {}]


@given(st.integers() | st.floats() | st.fractions() | st.decimals(allow_nan=True) | st.floats(width=32).map(np.float32))
def test_every_number_has_a_form_in_json(value):
    number = _number(value)
    assert json.loads(json.dumps(number, allow_nan=False)) == number
    if isinstance(number, str):
        is_nan = isinstance(value, Decimal) and value.is_nan()
        assert isinstance(value, Fraction | int) or number == ("nan" if is_nan else str(float(value)))
    else:
        assert number == pytest.approx(float(value), nan_ok=True)
