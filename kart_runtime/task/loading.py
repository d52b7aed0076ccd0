"""Lookup of the targets that `load` and `dump` refer to.

A request is None (everything), a key of `requires()`, a required task, a list of these, or a target.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import luigi

from kart_runtime.errors import NotRequired
from kart_runtime.storage.target import Target
from kart_runtime.task import identity
from kart_runtime.task.nested import map_structure
from kart_runtime.task.state import TaskRun


def load_values(task: luigi.Task, wanted: Any) -> Any:
    """Return the wanted values in the form of what is wanted, with tuples as lists."""
    return map_structure(_inputs(task, wanted), _value, tuples_as=list)


def generate_values(task: luigi.Task, wanted: Any) -> Iterator[Any]:
    """Go through the wanted values, each loaded when it is asked for; those of a dict come as (key, value)."""
    return _generated(_inputs(task, wanted))


def _generated(targets: Any) -> Iterator[Any]:
    if isinstance(targets, dict):
        for key, inner in targets.items():
            yield key, map_structure(inner, _value, tuples_as=list)
    elif isinstance(targets, list | tuple):
        for inner in targets:
            yield from _generated(inner)
    else:
        yield _value(targets)


def _inputs(task: luigi.Task, wanted: Any) -> Any:
    if wanted is None:
        return task.input()
    if isinstance(wanted, str):
        found = task.input()
        if not isinstance(found, dict) or wanted not in found:
            known = [repr(key) for key in found] if isinstance(found, dict) else []
            raise NotRequired(str(task), f"'{wanted}'", known)
        return found[wanted]
    if isinstance(wanted, luigi.Task):
        required = identity.dependencies(task)
        if wanted not in required and _id(wanted) not in map(_id, required):
            raise NotRequired(str(task), str(wanted), [str(one) for one in required])
        return wanted.output()
    if isinstance(wanted, Iterable):
        return [_inputs(task, item) for item in wanted]
    return wanted


def _id(task: Any) -> str:
    return str(task.make_unique_id() if hasattr(task, "make_unique_id") else task.task_id)


def _value(target: Any) -> Any:
    if not hasattr(target, "load"):
        raise TypeError(f"{target!r} is a target of luigi, which cannot load values; open it by self.input().open().")
    return target.load()


def output_of(task: luigi.Task) -> Any:
    """Return what `output()` returns; asked once in a run."""
    run: TaskRun | None = task.__dict__.get("_kart_run")
    if run is None:
        return task.output()
    if run.output is None:
        run.output = task.output()
    return run.output


def output_target(task: luigi.Task, wanted: Any) -> Target:
    """Return the target that a value is dumped to."""
    name = type(task).__name__
    found = output_of(task) if wanted is None or isinstance(wanted, str) else wanted
    if isinstance(wanted, str):
        if not isinstance(found, dict) or wanted not in found:
            known = ", ".join(map(repr, found)) if isinstance(found, dict) else "one output without a name"
            raise KeyError(f"{name}.output() has no '{wanted}'; it has {known}.")
        found = found[wanted]
    if not hasattr(found, "dump"):
        raise TypeError(
            f"{name}.output() is a {type(found).__name__}; "
            "say which output is meant: self.dump(value, key), or self.dump(value, target)."
        )
    return cast("Target", found)
