"""Runs of any size, written by the ledger as a build writes them, without running anything."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kart_runtime.history.ledger import Ledger, RunTasks
from kart_runtime.history.run_header import RunInfo

BEGAN = datetime(2026, 11, 27, 10, 0, 0, tzinfo=UTC)


TRACE = 'Traceback (most recent call last):\n  File "train.py", line 7, in run\nValueError: could not convert'


def id_of(*parts: object) -> str:
    return hashlib.md5(repr(parts).encode()).hexdigest()


class MadeRun:
    """A run to write: tasks are added one by one, upstream before downstream."""

    def __init__(self, run_id: str = "20261127T100000Z-0000011111111", info: RunInfo | None = None) -> None:
        self.ledger = Ledger(run_id, info)
        self.names: list[tuple[str, str, str]] = []
        self.requires: list[list[int]] = []
        self.verdicts = ""
        self.records: list[dict[str, Any]] = []
        self.roots: list[str] = []

    def add(
        self,
        module: str,
        task: str,
        upstream: Sequence[int] = (),
        verdict: str = "r",
        unique_id: str = "",
        **record: Any,
    ) -> int:
        """Add a task; with `verdict` r also its record, unless `state` is ""."""
        number = len(self.names)
        unique_id = unique_id or id_of(module, task, number)
        self.names.append((module, task, unique_id))
        self.requires.append(list(upstream))
        self.verdicts += verdict
        if verdict == "r" and record.get("state", "done"):
            self.records.append(self._record(module, task, unique_id, number, record))
        return number

    def _record(self, module: str, task: str, unique_id: str, number: int, given: Mapping[str, Any]) -> dict[str, Any]:
        start, seconds = given.get("start", float(number)), given.get("seconds", 1.0)
        defaults: dict[str, Any] = {
            "task": task, "module": module, "unique_id": unique_id, "state": "done",
            "started": (BEGAN + timedelta(seconds=start)).isoformat(timespec="milliseconds"),
            "ended": (BEGAN + timedelta(seconds=start + seconds)).isoformat(timespec="milliseconds"),
            "seconds": seconds, "waited": 0.0, "cpu": seconds * 0.9, "worker": "host:1:MainThread", "seed": 7,
            "params": {}, "outputs": [], "log_files": (), "error": "", "reason": "its output does not exist",
            "inputs": {}, "code": "27254d8e32fc27254d8e32fc27254d8e",
        }  # fmt: skip
        return defaults | {key: value for key, value in given.items() if key != "start"}

    def write(self, workspace: str, state: str | None = "done", **end: Any) -> str:
        """Write the run; a `state` of None leaves out the end. Return its id."""
        keys = {key: place for place, key in enumerate(dict.fromkeys((module, task) for module, task, _ in self.names))}
        modules = {module: place for place, module in enumerate(dict.fromkeys(module for module, _, _ in self.names))}
        order = sorted(
            range(len(self.names)),
            key=lambda n: (modules[self.names[n][0]], keys[self.names[n][:2]], n),
        )
        place = {number: new for new, number in enumerate(order)}
        tasks: dict[str, dict[str, list[str]]] = {}
        for number in order:
            module, task, unique_id = self.names[number]
            tasks.setdefault(module, {}).setdefault(task, []).append(unique_id)
        requires = [[place[up] for up in self.requires[number]] for number in order]
        verdicts = "".join(self.verdicts[number] for number in order)
        self.ledger.roots = self.roots or [self.names[-1][2]] if self.names else []
        with self.ledger as ledger:
            ledger.record_tasks(workspace, RunTasks(tasks, requires, verdicts))
            for record in self.records:
                ledger.append(workspace, record)
            if state is not None:
                seconds = max((each["seconds"] for each in self.records), default=0.0)
                ledger.finish(state, {"seconds": seconds, "ran": len(self.records), **end})
        return self.ledger.run_id


def layered(tasks: int, workers: int = 8, seed: int = 1, info: RunInfo | None = None, **first: Any) -> MadeRun:
    """Return a run of a pipeline as teams have them: load, clean, train by fold, evaluate, one report at the end."""
    rng = random.Random(seed)
    run = MadeRun(info=info, **first)
    stages = [
        "data.load.LoadShard",
        "data.clean.CleanShard",
        "model.train.TrainFold",
        "model.train.TuneFold",
        "model.evaluate.Evaluate",
    ]
    stages = [f"shop.tasks.{stage}" for stage in stages]
    per_stage = max((tasks - 1) // len(stages), 1)
    before: list[int] = []
    free = [0.0] * workers
    ended: dict[int, float] = {}
    while len(run.names) < tasks - 1:
        stage = stages[min(len(run.names) // per_stage, len(stages) - 1)]
        if len(run.names) % per_stage == 0:
            before = list(range(max(len(run.names) - per_stage, 0), len(run.names)))
        module, _, task = stage.rpartition(".")
        upstream = sorted(rng.sample(before, min(3, len(before))))
        ready = max((ended[up] for up in upstream), default=0.0)
        worker = min(range(workers), key=free.__getitem__)
        start, seconds = max(ready, free[worker]), rng.lognormvariate(0, 0.8)
        number, draw = len(run.names), rng.random()
        unique_id = id_of(module, task, number)
        failed = draw < 0.004 and number > 8
        ended[number] = free[worker] = start + seconds
        rows, checksum = f"CleanShard[{id_of(upstream)[:8]}]", f"xxh3_128:{rng.randbytes(16).hex()}"
        run.add(
            module, task, upstream, "s" if draw > 0.93 else "r", unique_id, start=start, seconds=seconds,
            waited=round(start - ready, 3), worker=f"host:{100 + worker}:MainThread",
            state="failed" if failed else "done",
            params={"fold": str(number), "max_depth": str(rng.choice([2, 4, 8])), "rows": rows},
            outputs=[(f"outputs/{task}_{unique_id}.parquet", rng.randrange(10**6), checksum, "")],
            error="ValueError: could not convert string to float: 'n/a'" if failed else "",
            trace=TRACE if failed else "",
            metrics={"auc": round(rng.random(), 4)} if "Evaluate" in task else {},
        )  # fmt: skip
    run.add(
        "shop.tasks.report", "Report", list(range(len(run.names)))[-min(per_stage, 30) :], start=max(free), seconds=0.5
    )
    return run
