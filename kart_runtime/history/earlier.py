"""Earlier tasks of a class, as far as comparing needs them: a thousand are read in some milliseconds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from kart_runtime.history.index import Index  # with sqlite, which a plan without a history does not need

_COLUMNS = (
    "SELECT a.uid, a.task, a.module, a.run, a.started, e.requires, a.line FROM attempts a LEFT JOIN edges e USING (uid)"
)
_PARAMS = '"params": {'
_TASKS = re.compile(r"\[?[\w.]+(?:\[[0-9a-f]{8}\]|\([0-9a-f]{32}\))")
"""A task, or a list of them, as the value of a parameter."""

_BLOB = re.compile(r'\[?"?[0-9a-f]{80,}')
"""A task in records of earlier versions."""

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
    params, plain
        Significant parameters as text, and those of them that hold no tasks.
    """

    unique_id: str
    task: str
    module: str
    run_id: str
    started: str
    requires: tuple[str, ...]
    params: Mapping[str, str]
    plain: Mapping[str, str]


def holds_tasks(text: str) -> bool:
    """Return whether the text of a parameter stands for tasks: what differs in it is found upstream."""
    if not text or (text[-1] not in "])" and len(text) < 80):
        return False
    return bool(_TASKS.match(text) or _BLOB.match(text))


def plain_params(params: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that hold no tasks."""
    return {name: text for name, text in params.items() if not holds_tasks(text)}


def earlier_of_class(index: Index, task: str, limit: int = 1000, state: str = "done") -> list[Earlier]:
    """Return the newest attempt with a state at each task of a class, newest first."""
    query = f"{_COLUMNS} WHERE a.task = ? AND a.state = ? ORDER BY a.started DESC, a.id DESC LIMIT ?"
    newest: dict[str, Any] = {}
    for row in index.select(query, (task, state, limit)):
        newest.setdefault(row[0], row)
    return [_earlier(row) for row in list(newest.values())[:limit]]


def earlier_of_id(index: Index, unique_id: str) -> Earlier | None:
    """Return the newest attempt at a task that was done; None if there is none."""
    query = f"{_COLUMNS} WHERE a.uid = ? AND a.state = 'done' ORDER BY a.started DESC, a.id DESC LIMIT 1"
    rows = index.select(query, (unique_id,))
    return _earlier(rows[0]) if rows else None


def given_keys(index: Index, run_id: str) -> frozenset[str]:
    """Return the keys to which the command line of a run gave values, those of a sweep too."""
    rows = index.select("SELECT header FROM runs WHERE run = ?", (run_id,))
    header = json.loads(rows[0][0]) if rows and rows[0][0] else {}
    overrides, sweep = header.get("overrides"), header.get("sweep")
    keys = [*overrides] if isinstance(overrides, dict) else []
    swept = sweep.get("keys") if isinstance(sweep, dict) else None
    return frozenset(map(str, [*keys, *(swept if isinstance(swept, list) else [])]))


def _earlier(row: Sequence[Any]) -> Earlier:
    unique_id, task, module, run_id, started, requires, line = row
    params = _params(line)
    upstream = tuple(requires.split()) if requires else ()
    return Earlier(unique_id, task, module, run_id, started, upstream, params, plain_params(params))


def _params(line: str) -> Mapping[str, str]:
    """Return the parameters in the line of an attempt, without decoding the rest of it."""
    try:
        values, _ = _decode(line, line.index(_PARAMS) + len(_PARAMS) - 1)
    except ValueError:  # written with other spaces
        try:
            values = json.loads(line).get("params")
        except (ValueError, RecursionError):
            values = None
    return values if isinstance(values, dict) and all(type(text) is str for text in values.values()) else {}
