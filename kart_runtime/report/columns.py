"""Data of the page as columns, packed so that a task costs little: gzip and base64, which the browser unpacks."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kart_runtime.history.runs import RunRecord
from kart_runtime.report.data import Contents
from kart_runtime.report.layers import layers
from kart_runtime.storage.target import OutputRecord

_MOST_TEXT = 20_000
"""Characters to keep of one value."""


class Texts:
    """Table of texts, each once, and the numbers that stand for them."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: object) -> int:
        """Return the number of a text; "" has the number 0 if it is the first one asked for."""
        found = self._numbers.get(text) if type(text) is str else None
        if found is not None:
            return found
        text = str(text)
        if len(text) > _MOST_TEXT:
            text = f"{text[:_MOST_TEXT]}… ({len(text):,} characters)"
        return self._numbers.setdefault(text, len(self._numbers))

    def all(self) -> list[str]:
        """Return the texts by number."""
        return list(self._numbers)


def packed(values: object) -> str:
    """Return values as JSON, compressed, in letters that HTML does not interpret."""
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(errors="replace"), 6, mtime=0)).decode()


def columns(contents: Contents, labels: Sequence[str]) -> dict[str, Any]:
    """Return the tasks, groups, bars and texts of a report, as the page unpacks them."""
    texts = Texts()
    texts.number("")
    groups, of_task = _groups(contents)
    return {
        "modules": groups[0],
        "classes": groups[1],
        "tasks": _tasks(contents, labels, of_task, texts),
        "layout": _layout(contents, groups, of_task),
        "bars": _bars(contents),
        "lanes": contents.timeline.lanes,
        "path": list(contents.path),
        "seconds": round(contents.timeline.seconds, 3),
        "texts": texts.all(),
    }


def _groups(contents: Contents) -> tuple[tuple[list[str], list[tuple[int, str]]], list[int]]:
    """Return the modules, the classes with the numbers of their modules, and the number of each task's class."""
    modules: dict[str, int] = {}
    classes: dict[tuple[int, str], int] = {}
    of_task = []
    for task in contents.tasks:
        module = modules.setdefault(task.name.module, len(modules))
        of_task.append(classes.setdefault((module, task.name.task), len(classes)))
    return (list(modules), list(classes)), of_task


def _tasks(contents: Contents, labels: Sequence[str], of_task: Sequence[int], texts: Texts) -> dict[str, Any]:
    records = [task.record or _NO_RECORD for task in contents.tasks]
    keys: dict[tuple[str, ...], int] = {}  # the names of a task's parameters, which those of a class share
    ours = [record.run_id == contents.run.id for record in records]
    return {
        "class": of_task,
        "id": "".join(f"{task.name.unique_id[:32]:<32}" for task in contents.tasks),
        "label": [texts.number(label) for label in labels],
        "state": "".join(str(task.state) for task in contents.tasks),
        "requires": [list(upstream) for upstream in contents.requires],
        "keys": [keys.setdefault(tuple(record.params), len(keys)) for record in records],
        "keySets": list(map(list, keys)),
        "values": [[texts.number(value) for value in record.params.values()] for record in records],
        "attempts": [task.attempts for task in contents.tasks],
        "seconds": [_milli(record.seconds) for record in records],
        "cpu": [-1 if record.cpu is None else _milli(record.cpu) for record in records],
        "waited": [_milli(record.waited) for record in records],
        "peak": [_number(record.peak_mb) for record in records],
        "started": [texts.number(record.started) if record.started else 0 for record in records],
        "run": [0 if own else texts.number(record.run_id) for own, record in zip(ours, records, strict=True)],
        "worker": [texts.number(record.worker) for record in records],
        "seed": [record.seed for record in records],
        "code": [texts.number(record.code) for record in records],
        "reason": [
            _with_id(record.reason, record, texts) if own else 0 for own, record in zip(ours, records, strict=True)
        ],
        "error": [texts.number(record.error) if own else 0 for own, record in zip(ours, records, strict=True)],
        "outputs": [[_output(output, record, texts) for output in record.outputs] for record in records],
        "metrics": [
            [(texts.number(name), _number(value)) for name, value in record.metrics.items()] for record in records
        ],
    }


def _output(output: OutputRecord, record: RunRecord, texts: Texts) -> tuple[int, int, int, str]:
    algorithm, _, digest = output.checksum.partition(":")
    return _with_id(output.url, record, texts), output.size, texts.number(algorithm), digest[:32]


def _number(value: object) -> object:
    """Return a value as JSON can hold it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


_NO_RECORD = RunRecord("", "", "", "", "", 0.0)


def _milli(seconds: float) -> int:
    return round(seconds * 1000) if math.isfinite(seconds) and seconds > 0 else 0


def _with_id(text: str, record: RunRecord, texts: Texts) -> int:
    """Return the number of a text with a mark for the unique id: tasks of one class share it."""
    return texts.number(text.replace(record.unique_id, "\x01") if len(record.unique_id) > 8 else text)


def _layout(
    contents: Contents, groups: tuple[Sequence[str], Sequence[tuple[int, str]]], of_task: Sequence[int]
) -> dict[str, Any]:
    """Return ranks and places: of the modules, of the classes in each module, of the tasks in each class."""
    modules, classes = groups
    module_of = [module for module, _ in classes]
    edges = [(up, down) for down, upstream in enumerate(contents.requires) for up in upstream]
    between = dict.fromkeys((of_task[up], of_task[down]) for up, down in edges)
    outer = layers(len(modules), ((module_of[up], module_of[down]) for up, down in between))
    middle = _inside(module_of, between)
    inner = _inside(of_task, edges)
    return {"modules": list(outer), "classes": middle, "tasks": inner}


def _inside(group_of: Sequence[int], edges: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return ranks and places of nodes, each among those of its group only."""
    members: dict[int, list[int]] = {}
    local = []
    for node, group in enumerate(group_of):
        own = members.setdefault(group, [])
        local.append(len(own))
        own.append(node)
    within: dict[int, list[tuple[int, int]]] = {}
    for up, down in edges:
        if group_of[up] == group_of[down]:
            within.setdefault(group_of[up], []).append((local[up], local[down]))
    ranks, places = [0] * len(local), [0] * len(local)
    for group, nodes in members.items():
        found = layers(len(nodes), within.get(group, ()))
        for node, rank, place in zip(nodes, *found, strict=True):
            ranks[node], places[node] = rank, place
    return [ranks, places]


def _bars(contents: Contents) -> Mapping[str, Any]:
    bars = contents.timeline.bars
    return {
        "task": [bar.task for bar in bars],
        "lane": [bar.lane for bar in bars],
        "start": [_milli(bar.start) for bar in bars],
        "seconds": [_milli(bar.seconds) for bar in bars],
        "waited": [_milli(bar.waited) for bar in bars],
        "failed": [int(bar.state == "failed") for bar in bars],
    }
