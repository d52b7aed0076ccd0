"""Random pipelines: their tasks, and a model that computes every value without kart."""

from __future__ import annotations

import json
import os
import random
import time
from functools import cache
from pathlib import Path
from typing import Any

import luigi

from kart_runtime import TaskOnKart
from kart_runtime.storage.stores import local

FORMS = ("pkl", "json", "txt", "several", "folder", "csv", "parquet", "npy")
"""Suffixes of outputs, several outputs, and a folder."""

_LIGHT = 5
"""How many of them need no library that takes long to import."""

_PRIME = 1_000_003
_ROWS = 60


def random_pipeline(dice: random.Random, size: int, *, light: bool = False) -> dict[str, Any]:
    """Return the steps of a pipeline: form, dependencies, yielded steps, failures, seconds."""
    steps: list[dict[str, Any]] = []
    shape = dice.choice(("chain", "fan", "layers", "random"))
    yielded: set[int] = set()
    for number in range(size):
        before = [other for other in range(number) if other not in yielded]
        width = {"chain": 1, "fan": 0 if number < size // 2 else len(before), "layers": 3, "random": dice.randint(0, 3)}
        recent = before[-1:] if shape == "chain" else before
        dependencies = dice.sample(recent, min(width[shape], len(recent)))
        step = {
            "form": dice.choice(FORMS[:_LIGHT] if light else FORMS),
            "requires": sorted(dependencies),
            "yields": [],
            "failures": 0,
        }
        step["seconds"] = round(dice.choice((0, 0, 0.01, 0.05)), 3)
        if dice.random() < 0.1:
            step["failures"] = dice.randint(1, 2)
        if before and dice.random() < 0.1:
            step["yields"] = [dice.choice(before)]
        steps.append(step)
    last = {"form": "json", "requires": list(range(size)), "yields": [], "failures": 0, "seconds": 0}
    return {"shape": shape, "steps": [*steps, last]}


def values_of(pipeline: dict[str, Any]) -> list[int]:
    """Return the value of each step, by plain Python."""
    values: list[int] = []
    for number, step in enumerate(pipeline["steps"]):
        values.append(_value(number, [values[each] for each in (*step["requires"], *step["yields"])]))
    return values


def _value(number: int, inputs: list[int]) -> int:
    total = number * 7919 + 17
    for value in inputs:
        total = (total * 31 + value) % _PRIME
    return total


@cache
def _pipeline(path: str) -> dict[str, Any]:
    pipeline: dict[str, Any] = json.loads(Path(path).read_text())
    return pipeline


class Step(TaskOnKart[Any]):
    """One step of a pipeline that a file describes."""

    pipeline: Any = luigi.Parameter()
    number: Any = luigi.IntParameter()
    retries = 3

    @property
    def step(self) -> dict[str, Any]:
        """The description of the step."""
        step: dict[str, Any] = _pipeline(str(self.pipeline))["steps"][self.number]
        return step

    def other(self, number: int) -> Step:
        """Return another step of the pipeline."""
        return Step(pipeline=self.pipeline, number=number, workspace_directory=self.workspace_directory)

    def requires(self) -> Any:
        """Return the steps that this one needs."""
        return [self.other(number) for number in self.step["requires"]]

    def output(self) -> Any:
        """Return the output of the form that the description names."""
        form, name = self.step["form"], f"steps/{self.number}"
        if form == "several":
            return {key: self.make_target(f"{name}/{key}.json") for key in "ab"}
        if form == "folder":
            return {"folder": self.make_folder_target(f"{name}/files"), "note": self.make_target(f"{name}/note.txt")}
        return self.make_target(f"{name}.{form}")

    def run(self) -> Any:
        """Note that it runs, wait, fail if it has to, and compute the value."""
        self._note()
        time.sleep(self.step["seconds"])
        inputs = [decode(output) for output in (self.load() if self.step["requires"] else [])]
        for number in self.step["yields"]:
            other = self.other(number)
            yield other
            inputs.append(decode(_loaded(other.output())))
        self._dump(_value(self.number, inputs))

    def _note(self) -> None:
        """Add a line to the journal of all runs; fail as often in each program as the description says."""
        journal, line = f"{self.pipeline}.runs", f"{self.number} {os.environ.get('SOAK_PROGRAM', os.getpid())}"
        descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)
        if Path(journal).read_text().split("\n").count(line) <= self.step["failures"]:
            raise RuntimeError("a failure of the schedule")

    def _dump(self, value: int) -> None:
        form = self.step["form"]
        if form == "several":
            for key in "ab":
                self.dump({"value": value}, key)
        elif form == "folder":
            with self.folder("folder") as path:
                for name in "xyz":
                    (path / name).write_text(f"{value}\n" * _ROWS)
            self.dump(f"{value}", "note")
        elif form in ("csv", "parquet"):
            import pandas as pd

            self.dump(pd.DataFrame({"value": [value] * _ROWS}))
        elif form == "npy":
            import numpy as np

            self.dump(np.full(_ROWS, value))
        else:
            self.dump(f"{value}" if form == "txt" else {"value": value})


def _loaded(output: Any) -> Any:
    if isinstance(output, dict):
        return {key: target.load() for key, target in output.items()}
    return output.load()


def decode(value: Any) -> int:
    """Return the number in a loaded value, all parts of which must hold the same one."""
    numbers: set[int] = set()
    _collect(value, numbers)
    if len(numbers) != 1:
        raise ValueError(f"parts of a value differ: {sorted(numbers)[:5]}")
    return numbers.pop()


def _collect(value: Any, numbers: set[int]) -> None:
    if isinstance(value, dict):
        for part in value.values():
            _collect(part, numbers)
    elif isinstance(value, Path):
        for name in "xyz":
            lines = (value / name).read_text().split()
            numbers.update(map(int, lines) if len(lines) == _ROWS else {-1})
    elif hasattr(value, "columns"):
        numbers.update(map(int, value["value"]) if len(value) == _ROWS else {-1})
    elif isinstance(value, list | tuple):
        for part in value:
            _collect(part, numbers)
    elif getattr(value, "ndim", 0):
        numbers.update(map(int, value) if len(value) == _ROWS else {-1})
    else:
        numbers.add(int(value))


def _break_store() -> None:
    """Let a file appear under its name before it is whole: each third one stays cut, which nobody is told."""
    commit, counter = local._Write.commit, iter(range(1, 1_000_000))

    def broken(write: Any) -> None:
        if next(counter) % 3 == 0:
            os.truncate(write.temporary, Path(write.temporary).stat().st_size // 2)
        commit(write)

    local._Write.commit = broken  # type: ignore[method-assign]


if os.environ.get("SOAK_BROKEN"):  # here, as worker processes import this module as well
    _break_store()
