"""A task in a notebook: its parameters, what it requires and where its outputs are, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kart_runtime.history.html_tables import html_pairs
from kart_runtime.storage.target import path_of
from kart_runtime.task import identity
from kart_runtime.task.nested import iter_flat

_MOST = 10
"""Required tasks and outputs to list."""


def task_html(task: Any) -> str:
    """Return a task as HTML; asks no store, and leaves out what the task cannot tell."""
    pairs = [
        *task._shown_params(only_public=False),
        *_listed("requires", _required(task)),
        *_listed("output", _outputs(task)),
    ]
    return html_pairs(f"{task.get_task_family()}[{task.make_unique_id()[:8]}]", pairs)


def _required(task: Any) -> Iterator[str]:
    try:
        for other in identity.dependencies(task):
            yield str(other)
    except Exception:  # noqa: BLE001 - whatever requires() raises
        return


def _outputs(task: Any) -> Iterator[str]:
    try:
        for target in iter_flat(task.output()):
            yield path_of(target)
    except Exception:  # noqa: BLE001 - whatever output() raises
        return


def _listed(name: str, texts: Iterator[str]) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(texts):
        if number == _MOST:
            yield "", "..."
            return
        yield ("" if number else name), text
