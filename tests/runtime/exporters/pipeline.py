"""A pipeline with metrics, series, a failure and a retry, and its run as `kart export` replays it."""

from __future__ import annotations

import luigi

from kart_runtime import TaskOnKart
from kart_runtime.builder import run_build
from kart_runtime.exporters.replay import replay
from kart_runtime.history.run_header import RunInfo
from kart_runtime.history.runs import list_runs, read_runs
from kart_runtime.settings import BuildSettings

WORKSPACE = "resources/"


class Rows(TaskOnKart[list]):
    def run(self):
        self.dump([1, 2, 3])


class Train(TaskOnKart[int]):
    depth: int = luigi.IntParameter(default=2)

    def requires(self):
        return Rows()

    def run(self):
        self.load()
        for step in range(4):
            self.log_metric("loss", 1 / (step + 1), step=step)
        self.log_metrics({"auc": 0.5 + self.depth / 10, "gap": float("nan"), "most": float("inf")})
        self.dump(self.depth)


class Compare(TaskOnKart[dict]):
    fails: bool = luigi.BoolParameter(default=False)

    def requires(self):
        return [Train(depth=2), Train(depth=3)]

    def run(self):
        if self.fails:
            raise ValueError("no <winner> & no loser")
        self.log_metric("best/../auc all", 0.8)
        self.dump({"best": max(self.load())})


def run(*exporters, fails=False, info=None):
    """Run the pipeline, and return how its file tells it."""
    run_build([Compare(fails=fails)], BuildSettings(export=exporters), info=info or RunInfo())
    return last_run()


def last_run():
    """Return the newest run of the workspace."""
    return next(iter(read_runs(WORKSPACE, list_runs(WORKSPACE)[-1:])))


def send(exporter, of=None):
    """Send a run again, and return what the exporter says about it."""
    replay(of or last_run(), WORKSPACE, exporter, lambda number, total: None)
    return exporter.sent()
