"""Labels on stored objects, the same as gokart writes, for stores that support them (GCS).

Labels are the caller's own ones, the task's public significant parameters, and the outputs of the tasks that it
requires. gokart adds them to the finished object with two more requests; here they are part of the upload.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import luigi

from kart_runtime.errors.secrets import MASK, masked
from kart_runtime.storage.target import path_of
from kart_runtime.task import identity
from kart_runtime.task.nested import map_structure
from kart_runtime.task.parameters import (
    ListTaskInstanceParameter,
    TaskInstanceParameter,
    active_overrides,
    has_secrets,
    secret_names,
)
from kart_runtime.task.run_metadata import holds_hidden

LARGEST = 8 * 1024
"""Maximum size of all labels of an object on GCS, in bytes, names and texts together."""

REQUIRED_OUTPUTS = "__required_task_outputs"


def labels_of(task: luigi.Task, custom: Mapping[Any, Any] | None = None) -> dict[str, str]:
    """Return the labels for the output of a task: at most 8 KiB, without the last ones beyond that.

    The first label of a name counts: the caller's come first, then parameters, then inputs. Empty texts are left
    out, secrets are masked.
    """
    labels: dict[str, str] = {}
    for name, text in (*_texts(custom), *_parameters(task), *_inputs(task)):
        if text:
            labels.setdefault(name, text)
    return _fitting(labels)


def _texts(custom: Mapping[Any, Any] | None) -> Iterator[tuple[str, str]]:
    # Two names can have one text, 1 and "1"; gokart takes the last one of these, as a dict does.
    yield from {str(name): masked(str(value)) for name, value in (custom or {}).items()}.items()


def _parameters(task: luigi.Task) -> Iterator[tuple[str, str]]:
    secrets, by_id = secret_names(type(task)), _holds_secrets(task)
    params = dict(task.get_params())
    for name, text in task.to_str_params(only_significant=True, only_public=True).items():
        shown = _by_id(params[name], task.param_kwargs[name], text) if by_id else text
        yield name, MASK if name in secrets else masked(shown)


def _holds_secrets(task: luigi.Task) -> bool:
    """Return whether a task may hold others with secrets."""
    return has_secrets(active_overrides()) or holds_hidden(list(task.param_kwargs.values()))


def _by_id(param: luigi.Parameter[Any], value: Any, text: str) -> str:
    """Return a parameter's text, of tasks only with their ids: their own parameters may be secrets."""
    if isinstance(param, TaskInstanceParameter):
        return json.dumps(_named(value))
    if isinstance(param, ListTaskInstanceParameter):
        return json.dumps([json.dumps(_named(task)) for task in value])
    return text


def _named(task: Any) -> dict[str, str]:
    unique_id = task.make_unique_id() if hasattr(task, "make_unique_id") else task.task_id
    return {"type": task.get_task_family(), "unique_id": unique_id}


def _inputs(task: luigi.Task) -> Iterator[tuple[str, str]]:
    outputs = map_structure(identity.requirements(task), _outputs)
    if outputs:
        yield REQUIRED_OUTPUTS, json.dumps(outputs, skipkeys=True)


def _outputs(task: luigi.Task | None) -> Any:
    if task is None:  # luigi takes it for no requirement
        return None
    family = task.get_task_family()
    return map_structure(
        task.output(), lambda output: {"__gokart_task_name": family, "__gokart_output_path": path_of(output)}
    )


def _fitting(labels: dict[str, str]) -> dict[str, str]:
    """Return the labels without the last ones that do not fit."""
    size = sum(len(name.encode()) + len(text.encode()) for name, text in labels.items())
    while size > LARGEST:
        name, text = labels.popitem()
        size -= len(name.encode()) + len(text.encode())
    return labels
