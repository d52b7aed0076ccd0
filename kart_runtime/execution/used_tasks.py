"""Record of the complete tasks that a `run()` has yielded, which no plan names, before it goes on with them."""

from __future__ import annotations

from collections.abc import Sequence

import luigi

from kart_runtime.history.cleanup.notice import await_deletions, may_have_missed
from kart_runtime.history.used import add_used
from kart_runtime.task.base import kart_task


def note_used(user: luigi.Task, tasks: Sequence[luigi.Task], run_id: str, since: float) -> bool:
    """Record that a task uses others; return whether outputs may have been deleted since these were found complete.

    `since` is when that was, by the monotonic clock.
    """
    kart = kart_task(user)
    if not run_id or kart is None:
        return False
    named: dict[str, dict[str, dict[str, list[str]]]] = {}
    ids: list[str] = []
    for task in filter(None, map(kart_task, tasks)):
        classes = named.setdefault(task.workspace_directory, {}).setdefault(type(task).__module__, {})
        classes.setdefault(type(task).__name__, []).append(task.make_unique_id())
        ids.append(task.make_unique_id())
    may_be_gone = False
    for workspace, modules in named.items():
        add_used(workspace, run_id, kart.make_unique_id(), modules, ids)
        may_be_gone |= await_deletions(workspace) or may_have_missed(workspace, since)
    return may_be_gone
