"""How does a test get a cluster? By the commands that a person types: a scheduler and workers, each a process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client

QUIET = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "warning"}
DASK = str(Path(sys.executable).with_name("dask"))


def until(condition, seconds=120.0):
    """Wait for something; say whether it came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@dataclass
class Cluster:
    """A scheduler and its workers."""

    folder: Path
    processes: list[subprocess.Popen] = field(default_factory=list)
    address: str = ""

    def start_scheduler(self, **environ: str) -> None:
        """Start the scheduler on a free port."""
        file = self.folder / "scheduler.json"
        self._start(["scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)], environ)
        assert until(lambda: file.exists() and file.read_text().strip().endswith("}")), self.log()
        self.address = json.loads(file.read_text())["address"]

    def start_worker(self, *options: str, nanny: bool = False, **environ: str) -> subprocess.Popen:
        """Start a worker of one thread."""
        kind = "--nanny" if nanny else "--no-nanny"
        fixed = ["worker", self.address, kind, "--nthreads", "1", "--local-directory", str(self.folder / "local")]
        return self._start([*fixed, *options], environ)

    def _start(self, words, environ):
        log = (self.folder / "log.txt").open("a")
        with log:
            process = subprocess.Popen(
                [DASK, *words, "--no-dashboard"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **QUIET, **environ},
            )
        self.processes.append(process)
        return process

    def log(self) -> str:
        """Return what the processes have said."""
        return (self.folder / "log.txt").read_text()

    def wait_for_workers(self, number: int) -> None:
        """Return when a number of workers have come."""
        with Client(self.address) as client:
            client.wait_for_workers(number, timeout=120)

    def close(self) -> None:
        """End the processes, and those that they have started."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in self.processes:
            process.wait(30)


@contextlib.contextmanager
def cluster(folder: Path, workers: int = 2, nanny: bool = False, **environ: str) -> Iterator[Cluster]:
    """Have a cluster inside the block.

    Parameters
    ----------
    folder
        Where its processes stand, and what they say is written.
    workers
        How many workers it begins with.
    nanny
        Whether a worker that dies is started again.
    environ
        Further variables of all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = Cluster(folder)
    try:
        made.start_scheduler(**environ)
        for _ in range(workers):
            made.start_worker(nanny=nanny, **environ)
        if workers:
            made.wait_for_workers(workers)
        yield made
    finally:
        made.close()
