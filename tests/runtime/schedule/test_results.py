"""What the last lines of a run say came out."""

from __future__ import annotations

from pathlib import Path

import luigi

from kart_runtime import TaskOnKart, WrapperTask, build
from kart_runtime.schedule.events import BuildFinished, PlanMade
from kart_runtime.schedule.results import metrics_text, nearest_metrics, result_lines


class Measured(TaskOnKart[int]):
    n: int = luigi.IntParameter()

    def run(self):
        self.log_metric("auc", 0.9 + self.n / 100)
        self.dump(self.n)


class Report(TaskOnKart[int]):
    n: int = luigi.IntParameter(default=1)

    def requires(self):
        return Measured(n=self.n)

    def run(self):
        self.dump(1)


class Reports(WrapperTask):
    most: int = luigi.IntParameter(default=2)

    def requires(self):
        return [Report(n=n) for n in range(self.most)]


class AllReports(WrapperTask):
    def requires(self):
        return Reports()


def results(*roots):
    """Build tasks, and return what is said of them."""
    events = []
    build(roots, return_value=False, on_event=events.append)
    plan = next(event.plan for event in events if isinstance(event, PlanMade))
    summary = next(event.summary for event in events if isinstance(event, BuildFinished))
    assert summary.roots == roots
    return result_lines(summary.roots, lambda task: summary.metrics.get(task, {}), plan.labels)


def test_a_root_says_what_it_has_measured_and_where_its_output_is():
    metrics, output = results(Measured(n=1))
    assert metrics == "Measured: auc 0.91"
    kind, _, path = output.partition(" -> ")
    assert kind == "Measured"
    assert Path(path).is_file()


def test_the_nearest_tasks_upstream_speak_for_a_root_without_metrics():
    metrics, output = results(Report(n=2))
    assert metrics == "Measured: auc 0.92"
    assert output.startswith("Report -> ")


def test_a_wrapper_stands_for_the_tasks_that_it_requires():
    lines = results(AllReports())
    assert lines[:2] == ["Measured(n=0): auc 0.9", "Measured(n=1): auc 0.91"]
    assert [line.partition(" -> ")[0] for line in lines[2:]] == ["Report(n=0)", "Report(n=1)"]


def test_of_many_results_the_first_and_the_last_are_shown():
    lines = results(Reports(most=30))
    assert lines[0] == "Measured(n=0): auc 0.9"
    assert lines[1:3] == ["... and 28 more", "Measured(n=29): auc 1.19"]
    assert [line.partition(" -> ")[0] for line in lines[3:]] == ["Report(n=0)", "... and 28 more", "Report(n=29)"]


def test_few_tasks_are_asked_for_what_they_have_measured():
    asked = []

    def metrics_of(task):
        asked.append(task)
        return {}

    nearest_metrics([Report(n=n) for n in range(1000)], metrics_of)
    assert len(asked) <= 200


def test_of_many_metrics_the_first_are_shown():
    assert metrics_text({f"m{n}": n for n in range(20)}).endswith("m7 7, ... and 12 more")
