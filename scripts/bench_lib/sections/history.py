"""Commands on a long history: the first one, which builds the index, and the others."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench_lib.bench import Bench
from bench_lib.child import measure

VERSION, FIRST, AGAIN = "kart --version", "kart runs, the first command", "kart runs"
COMMANDS = {
    VERSION: ["--version"],
    FIRST: ["runs"],
    AGAIN: ["runs"],
    "kart show": ["show"],
    "kart show last TrainModel": ["show", "last", "TrainModel"],
    "kart compare EvaluateModels": ["compare", "EvaluateModels"],
    "kart diff": ["diff"],
}
_CLASSES = ("LoadData", "SplitData", "TrainModel", "EvaluateModels")
_FOLDS = 25
_ATTEMPTS = len(_CLASSES) * _FOLDS
"""Attempts of a run."""

_PROGRAM = "import os, sys; os.environ['KART_CACHE'] = 'cache'; from kart_runtime.cli import main; main(sys.argv[1:])"


def history(bench: Bench) -> None:
    """Measure the commands as processes of their own, on as many records as the size says."""
    folder = bench.scratch / "history"
    write_project(folder, bench.sizes.records // _ATTEMPTS)
    python = bench.python("kart")
    for _ in bench.each_round("history"):
        shutil.rmtree(folder / "cache", ignore_errors=True)
        for row, words in COMMANDS.items():
            bench.progress(row)
            sample = measure((python, "-c", _PROGRAM, *words), folder, bench.sizes.timeout)
            bench.cells.add("history", "process", row, 0, sample)
    shutil.rmtree(folder)


def write_project(folder: Path, runs: int) -> None:
    """Write a project whose workspace has the files of some runs, as the ledger writes them."""
    for part in ("conf/base", "conf/dev", "src/long_lived/tasks", "outputs/log/runs"):
        (folder / part).mkdir(parents=True)
    (folder / "src" / "long_lived" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text('[tool.kart]\npackage = "long_lived"\n')
    (folder / "conf" / "base" / "run.yaml").write_text("workspace: outputs/\n")
    for number in range(runs):
        run = f"{_start(number):%Y%m%dT%H%M%SZ}-{number:013x}"
        lines = "".join(f"{json.dumps(line)}\n" for line in _lines(run, number))
        (folder / "outputs" / "log" / "runs" / f"{run}.jsonl").write_text(lines)


def _start(number: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)


def _lines(run: str, number: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of a run; five runs in a row have the same tasks."""
    ids = {
        (name, fold): hashlib.md5(f"{name} {fold} {number // 5}".encode(), usedforsecurity=False).hexdigest()
        for name in _CLASSES
        for fold in range(_FOLDS)
    }
    started = _start(number).isoformat(timespec="milliseconds")
    root = ids["EvaluateModels", 0]
    yield {
        "run": run, "format": 2, "started": started, "host": "bench", "pid": 1, "command": ["kart", "run"],
        "versions": {"python": "3.11.7"}, "workspace": "outputs/", "folder": "/bench", "env": "dev", "roots": [root],
        "label": "", "overrides": {"tasks.TrainModel.max_depth": str(number // 5)}, "settings": {},
    }  # fmt: skip
    tasks = {"tasks": {name: [ids[name, fold] for fold in range(_FOLDS)] for name in _CLASSES}}
    requires = [[place - _FOLDS] if place >= _FOLDS else [] for place in range(_ATTEMPTS)]
    yield {"run_id": run, "tasks": tasks, "requires": requires, "verdicts": "r" * _ATTEMPTS}
    for (name, fold), unique_id in ids.items():
        yield _attempt(run, name, unique_id, started, {"max_depth": str(number // 5), "fold": str(fold)})
    yield {"run_id": run, "end": started, "state": "done", "seconds": 100.0, "total": _ATTEMPTS, "ran": _ATTEMPTS}


def _attempt(run: str, name: str, unique_id: str, started: str, params: dict[str, str]) -> dict[str, Any]:
    url = f"outputs/tasks/{name}_{unique_id}.pkl"
    measured = {"auc": int(unique_id[:6], 16) / 0xFFFFFF, "loss": int(unique_id[6:12], 16) / 0xFFFFFF}
    return {
        "task": name, "module": "tasks", "unique_id": unique_id, "state": "done", "started": started, "ended": started,
        "waited": 0.01, "seconds": 1.25, "cpu": 1.0, "worker": "bench:1:MainThread", "seed": 1, "peak_mb": None,
        "params": params,
        "outputs": [{"url": url, "size": 1000, "checksum": f"xxh3_128:{unique_id}", "version": "1-1"}],
        "log_files": ["task_log", "task_params", "random_seed", "processing_time", "module_versions"], "error": "",
        "reason": f"its output does not exist: {url}", "inputs": {f"outputs/tasks/X_{unique_id}.pkl": "xxh3_128:1"},
        "origin": "", "code": unique_id, **({"metrics": measured} if name == "EvaluateModels" else {}), "run_id": run,
    }  # fmt: skip
