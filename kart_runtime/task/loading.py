"""Lookup of the targets that `load` and `dump` refer to.

A request is None (everything), a key of `requires()`, a required task, a list of these, or a target.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import luigi

from kart_runtime.errors import NotRequired
from kart_runtime.storage.staging import running
from kart_runtime.storage.target import Target
from kart_runtime.task import identity
from kart_runtime.task.nested import map_structure
from kart_runtime.task.parameters import under_active_overrides
from kart_runtime.task.state import TaskRun


def load_values(task: luigi.Task, request: Any) -> Any:
    """Return the wanted values in the form of what is wanted, with tuples as lists."""
    targets = _inputs(task, request)
    with running(task.__dict__.get("_kart_run")):  # this may be a thread that run() has started
        return map_structure(targets, _value, tuples_as=list)


def generate_values(task: luigi.Task, request: Any) -> Iterator[Any]:
    """Go through the wanted values, each loaded when it is asked for; those of a dict come as (key, value)."""
    return _generated(_inputs(task, request), task.__dict__.get("_kart_run"))


def _generated(targets: Any, run: TaskRun | None) -> Iterator[Any]:
    if isinstance(targets, dict):
        for key, inner in targets.items():
            with running(run):
                values = map_structure(inner, _value, tuples_as=list)
            yield key, values
    elif isinstance(targets, list | tuple):
        for inner in targets:
            yield from _generated(inner, run)
    else:
        with running(run):
            value = _value(targets)
        yield value


def _inputs(task: luigi.Task, request: Any) -> Any:
    if request is None:
        return task.input()
    if isinstance(request, str):
        inputs = task.input()
        if not isinstance(inputs, dict) or request not in inputs:
            known = [repr(key) for key in inputs] if isinstance(inputs, dict) else []
            raise NotRequired(str(task), f"'{request}'", known)
        return inputs[request]
    if isinstance(request, luigi.Task):
        required, request = identity.dependencies(task), under_active_overrides(request)
        if request not in required and _id(request) not in map(_id, required):
            raise NotRequired(str(task), str(request), [str(dependency) for dependency in required])
        return request.output()
    if _is_key(request, identity.requirements(task)):
        return cast("Any", task.input())[request]
    if isinstance(request, Iterable):
        return [_inputs(task, item) for item in request]
    return request


def _is_key(request: Any, required: Any) -> bool:
    """Return whether a request is a key of what a task requires, which need not be text."""
    try:
        return isinstance(required, dict) and request in required
    except TypeError:  # it cannot be hashed
        return False


def _id(task: Any) -> str:
    return str(task.make_unique_id() if hasattr(task, "make_unique_id") else task.task_id)


def _value(target: Any) -> Any:
    if target is None:  # in the place of an optional requirement
        return None
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


def output_target(task: luigi.Task, request: Any) -> Target:
    """Return the target that a value is dumped to."""
    name = type(task).__name__
    target = output_of(task) if request is None or isinstance(request, str) else request
    if isinstance(request, str):
        if not isinstance(target, dict) or request not in target:
            known = ", ".join(map(repr, target)) if isinstance(target, dict) else "one output without a name"
            raise KeyError(f"{name}.output() has no '{request}'; it has {known}.")
        target = target[request]
    if not hasattr(target, "dump"):
        raise TypeError(
            f"{name}.output() is a {type(target).__name__}; "
            "say which output is meant: self.dump(value, key), or self.dump(value, target)."
        )
    return cast("Target", target)
