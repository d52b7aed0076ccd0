"""A cluster that has no workers, hangs or dies is given up in time, and the error says so."""

from __future__ import annotations

import os
import signal
import time

import pytest

from kart_runtime.errors import ExecutorError
from kart_runtime.execution.executors import DaskExecutor
from kart_runtime.execution.executors.dask import executor as dask_executor
from kart_runtime.storage.time_limits import using_network_timeout
from tests.runtime.execution.executors.dask_clusters import cluster


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (None, "has had no workers for .* start some"),
        (signal.SIGSTOP, r"scheduler at .* did not answer within .*run\.network_timeout"),
        (signal.SIGKILL, "scheduler"),
    ],
)
def test_what_waits_for_a_cluster_ends_in_time(tmp_path, monkeypatch, fault, told):
    monkeypatch.setattr(dask_executor, "_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(dask_executor, "_GRACE_SECONDS", 1.0)
    with cluster(tmp_path / "cluster", workers=0) as dask:
        with DaskExecutor(dask.address) as executor, using_network_timeout(1.5):
            future = executor.submit(os.getpid)
            if fault is not None:
                dask.processes[0].send_signal(fault)
            began = time.monotonic()
            with pytest.raises(ExecutorError, match=told):
                future.result(60)
        assert time.monotonic() - began < 30  # also of a loaded machine; at most three limits of 1.5 s, and two graces
        assert (dask.processes[0].poll() is None) == (fault is not signal.SIGKILL)
