"""Earlier tasks of a class, as far as comparing needs them: a thousand are read in some milliseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from kart_runtime.history.index import Index  # with sqlite, which a plan without a history does not need

_COLUMNS = (
    "SELECT a.uid, a.task, a.module, a.run, a.started, e.requires, a.line FROM attempts a LEFT JOIN edges e USING (uid)"
)
_PARAMS = '"params": {'
_decode = json.JSONDecoder().raw_decode


class Earlier(NamedTuple):
    """A task that has run.

    Attributes
    ----------
    unique_id, task, module
        Its id, and name and module of its class.
    run_id, started
        The newest run of it, and when it started there.
    requires
        Unique ids of the tasks directly upstream, and of those that its `run()` yielded.
    params
        Significant parameters as text.
    """

    unique_id: str
    task: str
    module: str
    run_id: str
    started: str
    requires: tuple[str, ...]
    params: Mapping[str, str]


def earlier_of_class(index: Index, task: str, limit: int = 1000, state: str = "done") -> list[Earlier]:
    """Return the newest attempt with a state at each task of a class, newest first."""
    query = f"{_COLUMNS} WHERE a.task = ? AND a.state = ? ORDER BY a.started DESC, a.id DESC LIMIT ?"
    most = limit
    while True:  # an id may have run more than once
        rows = index.select(query, (task, state, most))
        newest: dict[str, Any] = {}
        for row in rows:
            newest.setdefault(row[0], row)
        if len(newest) >= limit or len(rows) < most:
            return [_earlier(row) for row in list(newest.values())[:limit]]
        most *= 4


def earlier_of_id(index: Index, unique_id: str) -> Earlier | None:
    """Return the newest attempt at a task that was done; None if there is none."""
    query = f"{_COLUMNS} WHERE a.uid = ? AND a.state = 'done' ORDER BY a.started DESC, a.id DESC LIMIT 1"
    rows = index.select(query, (unique_id,))
    return _earlier(rows[0]) if rows else None


def overrides_of(index: Index, run_id: str) -> Mapping[str, Any]:
    """Return the values that the command line of a run gave."""
    rows = index.select("SELECT header FROM runs WHERE run = ?", (run_id,))
    overrides = json.loads(rows[0][0]).get("overrides") if rows and rows[0][0] else None
    return overrides if isinstance(overrides, dict) else {}


def _earlier(row: Sequence[Any]) -> Earlier:
    unique_id, task, module, run_id, started, requires, line = row
    return Earlier(unique_id, task, module, run_id, started, tuple(requires.split()) if requires else (), _params(line))


def _params(line: str) -> Mapping[str, str]:
    """Return the parameters in the line of an attempt, without decoding the rest of it."""
    try:
        values, _ = _decode(line, line.index(_PARAMS) + len(_PARAMS) - 1)
    except ValueError:  # written with other spaces
        try:
            values = json.loads(line).get("params")
        except (ValueError, RecursionError):
            values = None
    return {name: str(text) for name, text in values.items()} if isinstance(values, dict) else {}
