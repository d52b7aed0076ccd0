"""Complete tasks that a `run()` has yielded: recorded by the process that runs it, before it loads them.

`kart gc` must not delete what a run that goes on is about to load. Nobody but the attempt knows of these tasks, as it
goes on without waiting, so it adds a line to the file of the run itself; a remote store gets an object of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from kart_runtime.history.losses import report_loss
from kart_runtime.history.run_header import line_of
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import put
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.workspace import Workspace

_MARK = 10**9
"""Numbers of parts that are no parts in a row begin here."""


def is_part_in_row(number: int) -> bool:
    """Return whether the part of a run's file with a number follows the one before it."""
    return number < _MARK


def add_used(
    workspace: str, run_id: str, user: str, tasks: Mapping[str, Mapping[str, Sequence[str]]], others: Sequence[str] = ()
) -> None:
    """Record that the task with the unique id `user` uses tasks: of a workspace, module to class name to unique ids.

    `others` are the unique ids of all that it uses.
    """
    line = line_of({"run_id": run_id, "tasks": tasks, "uses": {user: others}})
    store, key = store_for(f"{Workspace(workspace).runs}/{run_id}")
    try:
        if not isinstance(store, LocalStore):
            number = _MARK + int.from_bytes(os.urandom(6), "big")
            put(store, f"{key}.part{number}.jsonl", line.encode())
            return
        Path(key).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{key}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        report_loss("record what a task uses (`kart gc` may delete it)", Workspace(workspace).runs, error)
