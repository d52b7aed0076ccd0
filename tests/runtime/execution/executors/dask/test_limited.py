"""A task on a Dask worker that takes longer than it may is ended; its worker is restarted where nothing else helps."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import luigi
import pytest
from distributed import Client

from kart_runtime import BuildFailed, TaskOnKart, build
from kart_runtime.execution.executors.calls import WorkItem
from kart_runtime.execution.executors.dask import executor
from kart_runtime.execution.time_limit import TaskTimeout
from tests.runtime.execution.executors.dask_clusters import cluster, until


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


class Unlimited(Hangs):
    timeout = 0


class Fine(TaskOnKart[int]):
    def run(self):
        self.dump(1)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Return the address of a cluster of two workers, which are started again when they end."""
    with cluster(tmp_path_factory.mktemp("cluster"), workers=0) as made:
        made.start_worker("--nworkers", "2", nanny=True)
        made.wait_for_workers(2)
        yield made.address


def errors_of(kinds, address):
    """Build tasks that hang, and one that does not; return the errors by kind."""
    with pytest.raises(BuildFailed) as failed:
        build([*(Hangs(kind=kind) for kind in kinds), Fine()], return_value=False, executor="dask", address=address)
    causes = failed.value.causes
    errors = {kind: next(e for name, e in causes.items() if kind in name or len(causes) == 1) for kind in kinds}
    assert Fine().complete()
    for kind, error in errors.items():
        assert Path(f"began-{kind}").exists()  # it hung where it was meant to
        assert isinstance(error, TaskTimeout)
        assert not Hangs(kind=kind).complete()
        process = int(Path(f"began-{kind}").read_text())
        assert "on the Dask worker" in str(error) or until(lambda process=process: not is_running(process))
    return errors


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_tasks_are_ended_whatever_they_do_and_others_run(address, monkeypatch):
    monkeypatch.setattr(executor, "_LATE_SECONDS", 60.0)  # the workers answer, however busy the machine is
    errors = errors_of(("loop", "sleep"), address)
    assert "was ended on the Dask worker" in str(errors["loop"])
    assert "was ended with the Dask worker" in str(errors["sleep"])
    assert "It was in run (test_limited.py:" in str(errors["sleep"])


def test_a_worker_that_does_not_answer_is_restarted(address, monkeypatch):
    monkeypatch.setattr(executor, "_LATE_SECONDS", 1.0)
    errors = errors_of(("stopped",), address)
    assert "which does not answer" in str(errors["stopped"])


def test_after_ctrl_c_the_workers_are_free(address):
    def has_any_call():  # inside, so that it goes by its code
        from kart_runtime.execution.executors.dask import limited

        return bool(limited._calls)

    kinds = ("loop", "sleep")

    def interrupt():
        until(lambda: all(Path(f"began-{kind}").exists() for kind in kinds))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        build([Unlimited(kind=kind) for kind in kinds], return_value=False, executor="dask", address=address)
    assert not is_running(int(Path("began-sleep").read_text()))  # nothing else ends what sleeps
    with Client(address) as client:
        assert until(lambda: not any(client.processing().values()))
        assert until(lambda: not any(client.run(has_any_call).values()))
    build(Fine(), executor="dask", address=address)
    assert Fine().complete()
    assert not any(Unlimited(kind=kind).complete() for kind in kinds)


def test_of_two_ends_of_a_call_only_the_first_counts():
    work = WorkItem(Future(), b"", "call")
    assert work.expire(TimeoutError("first"))
    assert not work.expire(TimeoutError("second"))
    assert not work.begin_end()
    assert str(work.future.exception()) == "first"
