"""Details of causes, for `kart why`: contents of inputs before and now, changed code with its commits, and notes.

They ask git, the files of single runs and the store, which a plan of a thousand tasks does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import luigi

from kart_runtime.code import changed
from kart_runtime.history.log_files import LogFiles
from kart_runtime.history.run_header import GitState
from kart_runtime.history.runs import RunRecord
from kart_runtime.plan.causes import Cause, Explainer, Past, some
from kart_runtime.plan.comparison import Difference, Leaf, digits, origin_of_value
from kart_runtime.plan.decisions import RUNNING, Action, Decision, Plan, Reason, is_configured_to_rerun
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.workspace import KEPT_FILES
from kart_runtime.task.base import TaskOnKart, kart_task
from kart_runtime.task.input_file import InputFile

_MAX_NAMED = 3


class Details:
    """Finds the causes of single tasks of a plan with all that is to be known of them."""

    def __init__(self, plan: Plan, explainer: Explainer) -> None:
        self._plan, self._explainer = plan, explainer
        self._warnings: Mapping[luigi.Task, Decision] = dict(plan.warnings)
        self._git: Mapping[str, Any] | None = None

    def of(self, task: luigi.Task) -> Cause:
        """Return why a task runs; of one that does not, the kind is "complete", "not needed" or "missing"."""
        decision, kart = self._plan.decision_by_task[task], kart_task(task)
        cause = self._explainer.cause(task, decision) if decision.action in RUNNING else without_history(decision)
        if kart is None:
            return cause
        past = self._explainer.past(kart.workspace_directory)
        if past is None:
            return cause
        if cause.kind in ("failed", "interrupted"):
            attempts = past.index.attempts(unique_id=kart.make_unique_id())
            cause = replace(cause, nearest=attempts[-1] if attempts else None)
        elif cause.nearest is None and cause.kind not in ("first", "moved"):
            cause = replace(cause, nearest=past.index.newest(kart.make_unique_id(), type(kart).__module__))
        if cause.kind == "input":
            cause = replace(cause, differences=cause.differences or tuple(self._inputs(kart)))
        cause = replace(cause, differences=tuple(map(self._with_file, cause.differences)))
        notes = self._notes(kart, decision, cause, past)
        return replace(cause, notes=(*cause.notes, *notes))

    def _notes(self, task: TaskOnKart[Any], decision: Decision, cause: Cause, past: Past) -> Iterator[str]:
        warning = self._warnings.get(task)
        if warning is not None and decision.action not in RUNNING:
            yield f"{warning.text}{self._commits(cause.nearest, past)}; kart does not run again for that."
        if decision.reason is Reason.RERUN:
            yield from self._asked(task)
        if cause.nearest is None:
            return
        if cause.kind == "file gone":
            yield from _who_deleted(task, cause.nearest)
        if cause.kind == "code" and decision.reason is Reason.CODE_CHANGED:
            commits = self._commits(cause.nearest, past).strip(" ()")
            if commits:
                yield f"{commits} since the run that made its output."
        elif cause.kind not in ("complete", "not needed", "code", "moved", "renamed"):
            yield from self._code_since(task, cause.nearest, past)
        if cause.kind == "parameters":
            before = past.comparison.nearest(task)
            found = past.comparison.upstream(task, before) if before is not None else ()
            for leaf, steps in past.comparison.leaves(found)[:_MAX_NAMED]:
                yield f"{leaf.text()}{_away(leaf, steps)}."

    # -- code ----------------------------------------------------------------------------------------------------

    def _code_since(self, task: TaskOnKart[Any], nearest: RunRecord, past: Past) -> Iterator[str]:
        """Yield what has changed in the code since an earlier run."""
        code = self._plan.changes.code(type(task))
        if not nearest.code or not code.fingerprint or code.fingerprint == nearest.code:
            return
        before = self._plan.changes.records(task.workspace_directory).definitions(nearest.code)
        names = some(changed(before, code.definitions)) if before else f"the code of {type(task).__name__}"
        yield f"the code has changed since: {names}{self._commits(nearest, past)}."

    def _commits(self, nearest: RunRecord | None, past: Past) -> str:
        """Return the commits of git of an earlier run and of now, as far as they are known."""
        if self._git is None:
            self._git = GitState(os.getcwd()).result()  # noqa: PTH109 - the text
        end = past.index.run(nearest.run_id).end if nearest is not None and nearest.run_id else None
        before, now = (end or {}).get("git") or {}, self._git
        if not before.get("commit") or not now.get("commit"):
            return ""
        if before["commit"] == now["commit"]:
            return f" (git {_commit(now)})"
        return f" (git {_commit(before)} → {_commit(now)})"

    # -- inputs --------------------------------------------------------------------------------------------------

    def _with_file(self, difference: Difference) -> Difference:
        """Return the difference of a file from outside with its size and time."""
        files = self._files if difference.name == "content" else {}
        file = files.get(difference.task)
        return replace(difference, after=difference.after + stored_now(file.url)) if file is not None else difference

    @cached_property
    def _files(self) -> Mapping[str, InputFile[Any]]:
        return {task.path: task for task in self._plan.tasks if isinstance(task, InputFile)}

    def _inputs(self, task: TaskOnKart[Any]) -> Iterator[Difference]:
        """Yield how the files differ that a complete task had loaded."""
        record, records = self._plan.changes.record(task), self._plan.changes.records(task.workspace_directory)
        for path, before in ((record.inputs or {}) if record is not None else {}).items():
            now = records.content(path)
            if now == before:
                continue
            writer = records.writer(records.absolute(path))
            by = f"run {writer.run_id}" if writer is not None else ""
            after = f"{digits(now)}{stored_now(records.absolute(path))}" if now else "gone"
            yield Difference(path, "content", digits(before), after, "", by, 1)

    def _asked(self, task: TaskOnKart[Any]) -> Iterator[str]:
        """Yield who asked for the task to run again."""
        if is_configured_to_rerun(task):
            yield f"rerun is set in: {origin_of_value(task, 'rerun')}."
        else:
            yield "the code sets rerun." if task.rerun else "--rerun was given."


def _who_deleted(task: TaskOnKart[Any], record: RunRecord) -> Iterator[str]:
    """Yield who may have deleted an output: kart deletes the log files of a task with it."""
    logs = LogFiles(task.workspace_directory, record.task, record.unique_id)
    urls = [logs.url(kind) for kind in record.log_files if kind in KEPT_FILES]
    if urls:
        by = "not kart: its log files are still there" if any(map(_exists, urls)) else "`kart clean` or `kart gc`"
        yield f"what has deleted it is {by}."


def _exists(url: str) -> bool:
    store, key = store_for(url)
    return store.stat(key) is not None


def without_history(decision: Decision) -> Cause:
    """Return what a decision says by itself."""
    if decision.action in RUNNING:
        return Cause("no output", decision.text)
    if decision.action is Action.MISSING:
        return Cause("missing", decision.text)
    unneeded = decision.reason in (Reason.NOT_NEEDED, Reason.DELETED)
    return Cause("not needed" if unneeded else "complete", decision.text)


def _away(leaf: Leaf, steps: int) -> str:
    """Return whose value it is, and how many steps away, as text."""
    if not steps:
        return ""
    of = "" if leaf.name == "content" else f" of {leaf.place()}"
    return f"{of}, {steps} step{'' if steps == 1 else 's'} upstream"


def _commit(git: Mapping[str, Any]) -> str:
    return f"{git['commit'][:7]}{' with changes' if git.get('dirty') else ''}"


def stored_now(url: str) -> str:
    """Return size and time of a file as a note; "" if it cannot be looked at."""
    try:
        store, key = store_for(url)
        stat = store.stat(key)
    except OSError:
        return ""
    if stat is None:
        return ""
    return f" ({stat.size:,} bytes, written {datetime.fromtimestamp(stat.modified, UTC):%Y-%m-%d %H:%M:%S} UTC)"
