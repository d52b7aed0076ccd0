"""Histories written for tests: files of runs as builds write them, without building."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

from kart_runtime.storage.registry import store_for

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def uid(text):
    """Return an id made of a text."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def run_id(number, at=None):
    """Return the id of a run, an hour after the one before."""
    at = at or START + timedelta(hours=number)
    return f"{at:%Y%m%dT%H%M%SZ}-{number:05x}{uid(str(number))[:8]}"


def header(run, workspace="outputs/", **more):
    started = datetime.strptime(run[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return {
        "run": run,
        "format": 2,
        "started": started.isoformat(timespec="milliseconds"),
        "host": "vm",
        "command": ["kart", "run"],
        "versions": {"python": "3.11.7"},
        "workspace": workspace,
        "folder": "/srv/p",
        "roots": [],
        "label": "",
        "overrides": {},
        "settings": {},
        **more,
    }


def tasks(run, graph):
    """Return the line of tasks; `graph` is (class, id, ids upstream) of each."""
    numbers = {unique_id: number for number, (_, unique_id, _) in enumerate(_ordered(graph))}
    ordered = _ordered(graph)
    names: dict[str, list[str]] = {}
    for task, unique_id, _ in ordered:
        names.setdefault(task, []).append(unique_id)
    requires = [[numbers[each] for each in upstream] for _, _, upstream in ordered]
    return {"run_id": run, "tasks": {"p.tasks": names}, "requires": requires, "verdicts": "r" * len(ordered)}


def _ordered(graph):
    classes = list(dict.fromkeys(task for task, _, _ in graph))
    return sorted(graph, key=lambda each: classes.index(each[0]))


def attempt(run, task, unique_id, **more):
    """Return the line of an attempt, with its keys in the order of the ledger."""
    values = {
        "task": task,
        "module": "p.tasks",
        "unique_id": unique_id,
        "state": "done",
        "started": header(run)["started"],
        "ended": header(run)["started"],
        "waited": 0.0,
        "seconds": 1.5,
        "cpu": 1.0,
        "worker": "vm:1:MainThread",
        "seed": 7,
        "peak_mb": None,
        "params": {},
        "outputs": [],
        "log_files": [],
        "error": "",
        "reason": "its output does not exist",
        "inputs": {},
        "origin": "",
        "code": "c0de",
        "run_id": run,
    }
    return {**values, **more}


def end(run, **more):
    counts = {"total": 1, "ran": 1, "complete": 0, "not_needed": 0, "failed": 0, "missing": 0, "not_started": 0}
    return {"run_id": run, "end": header(run)["started"], "state": "done", "seconds": 4.25, **counts, **more}


def text(*lines):
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def put(workspace, run, *lines, name=None):
    """Write the file of a run."""
    store, key = store_for(f"{workspace}/log/runs/{name or f'{run}.jsonl'}")
    with store.write(key) as file:
        file.write(text(*lines).encode())
    return run


def variants(workspace, depths=(4, 2, 8)):
    """Write a run for each depth of two models and their evaluation; return the ids of the runs."""
    runs = []
    for number, depth in enumerate(depths):
        run, split = run_id(number), uid("split")
        models = {kind: uid(f"{kind} {depth}") for kind in ("tree", "forest")}
        evaluate = uid(f"evaluate {depth}")
        graph = [("SplitData", split, []), *(("TrainModel", model, [split]) for model in models.values())]
        graph.append(("EvaluateModels", evaluate, list(models.values())))
        lines = [
            header(run, roots=[evaluate], overrides={"tasks.model.train.TrainModel.max_depth": str(depth)}),
            tasks(run, graph),
        ]
        if not number:
            lines.append(attempt(run, "SplitData", split, params={"test_fraction": "0.25"}))
        for kind, model in models.items():
            params = {"rows": f"SplitData[{split[:8]}]", "kind": kind, "max_depth": str(depth)}
            lines.append(attempt(run, "TrainModel", model, params=params, seconds=2.0 + depth))
        output = {"url": f"outputs/metrics_{evaluate}.json", "size": 12, "checksum": ""}
        metrics = {"auc": round(0.9 + depth / 100, 4), "loss": 1 / depth}
        lines.append(attempt(run, "EvaluateModels", evaluate, outputs=[output], metrics=metrics))
        lines.append(end(run, ran=len(graph), git={"commit": f"{number}" * 40, "dirty": bool(number)}))
        runs.append(put(workspace, run, *lines))
    return runs
