"""Processes that build the same tasks in one folder, and are killed at random. Which tasks run twice?

    python -m tests.runtime.lock_chaos --kills 200 --seed 7 --locks auto

A task writes a line when its `run()` begins. Of its runs, all but one must be of processes that were killed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import luigi

from kart_runtime import TaskOnKart, build
from kart_runtime.execution.locks import lock_file

TASKS = 60


class Step(TaskOnKart[int]):
    """One of several tasks, each of which takes some milliseconds."""

    number: int = luigi.IntParameter()

    def run(self) -> None:
        """Say that it runs, and store its number."""
        with open("ran.txt", "a") as file:
            file.write(f"{self.number} {os.getpid()}\n")
        time.sleep(0.003)
        self.dump(self.number)


class Yields(TaskOnKart[int]):
    """A task that yields some of the others."""

    number: int = luigi.IntParameter()

    def run(self) -> Any:
        """Wait for the others, and store a number."""
        yield [Step(number=self.number * 5 + step) for step in range(5)]
        self.dump(self.number)


def start(locks: str, options: dict[str, Any]) -> int:
    """Fork a process that builds all tasks; return its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.dup2(os.open("errors.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        tasks = [*(Yields(number=number) for number in range(4)), *(Step(number=number) for number in range(TASKS))]
        build(tasks, return_value=False, locks=locks, **options)
        status = 0
    finally:
        os._exit(status)


def check(kills: int, seed: int, locks: str = "auto", processes: int = 3) -> dict[str, int]:
    """Build again and again until so many processes were killed; return what was counted. The folder is the current."""
    chance, counts = random.Random(seed), Counter[str]()
    while counts["kills"] < kills or not counts["rounds"]:
        counts["rounds"] += 1
        _round(kills - counts["kills"], chance, locks, processes, counts)
        _count_runs(counts)
    return dict(counts)


def _round(kills: int, chance: random.Random, locks: str, processes: int, counts: Counter[str]) -> None:
    options: dict[str, Any] = {"executor": "threads", "workers": 3} if chance.random() < 0.5 else {}
    killed: set[int] = set()
    running = {start(locks, options) for _ in range(processes)}
    while running:
        if kills > len(killed):
            time.sleep(chance.uniform(0.01, 0.12))
            victim = chance.choice(sorted(running))
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        pid, status = os.wait()
        running.discard(pid)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            killed.add(pid)
            counts["kills"] += 1
            running.add(start(locks, options))
        else:
            assert os.waitstatus_to_exitcode(status) == 0, Path("errors.txt").read_text()
    Path("killed.json").write_text(json.dumps(sorted(killed)))


def _count_runs(counts: Counter[str]) -> None:
    killed = set(json.loads(Path("killed.json").read_text()))
    runs: dict[int, list[int]] = defaultdict(list)
    for line in Path("ran.txt").read_text().splitlines():
        number, pid = map(int, line.split())
        runs[number].append(pid)
    assert set(runs) == set(range(TASKS))
    for pids in runs.values():
        counts["runs"] += len(pids)
        counts["again after a kill"] += min(len(pids) - 1, len(killed.intersection(pids)))
        counts["twice"] += max(len(pids) - 1 - len([pid for pid in pids if pid in killed]), 0)
    counts["lock files"] = max(counts["lock files"], len(list(Path("resources/log/locks").glob("*"))))
    for path in ("ran.txt", "resources"):
        os.replace(path, f"{path}-{counts['rounds']}")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--locks", default="auto")
    parser.add_argument("--hashes", type=int, help="number of different hashes of locks, to let them collide")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    if arguments.hashes:
        lock_file.hash_of = lambda name: zlib.crc32(name.encode()) % arguments.hashes
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        build(Step(number=0, workspace_directory="warm"), return_value=False)  # imports everything once
        os.unlink("ran.txt")
        print(json.dumps(check(arguments.kills, arguments.seed, arguments.locks)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
