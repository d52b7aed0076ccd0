"""A task on a Dask worker that takes longer than it may is ended; its worker is restarted where nothing else helps."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import luigi
import pytest

from kart_runtime import BuildFailed, TaskOnKart, build
from kart_runtime.execution.executors.dask import executor
from kart_runtime.execution.time_limit import TaskTimeout
from tests.runtime.execution.executors.dask_clusters import cluster


class Hangs(TaskOnKart[int]):
    timeout = 0.5
    kind: str = luigi.Parameter()

    def run(self):
        Path(f"began-{self.kind}").write_text(str(os.getpid()))
        if self.kind == "loop":
            while True:
                pass
        elif self.kind == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(90)
        self.dump(1)


class Fine(TaskOnKart[int]):
    def run(self):
        self.dump(1)


def test_tasks_are_ended_whatever_they_do_and_others_run(tmp_path, monkeypatch):
    monkeypatch.setattr(executor, "_LATE_SECONDS", 1.0)
    kinds = ("loop", "sleep", "stopped")
    with cluster(tmp_path / "cluster", workers=2, nanny=True) as made, pytest.raises(BuildFailed) as failed:
        build(
            [*(Hangs(kind=kind) for kind in kinds), Fine()], return_value=False, executor="dask", address=made.address
        )
    errors = {kind: next(e for name, e in failed.value.causes.items() if kind in name) for kind in kinds}
    assert Fine().complete()
    for kind, error in errors.items():
        assert Path(f"began-{kind}").exists()
        assert isinstance(error, TaskTimeout)
        assert not Hangs(kind=kind).complete()
    assert "was ended on the Dask worker" in str(errors["loop"])
    assert "was ended with the Dask worker" in str(errors["sleep"])
    assert "It was in run (test_limited.py:" in str(errors["sleep"])
    assert "which does not answer" in str(errors["stopped"])
