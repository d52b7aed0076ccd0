"""Comparison of complete tasks with the records of their outputs, which finds changed code and inputs.

Outputs without a record, those of gokart and of versions before 0.1.0, count as unchanged.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import luigi

from kart_runtime.code import Code, changed, code_of
from kart_runtime.code.syntax import hash_of
from kart_runtime.errors import ObjectCorrupt
from kart_runtime.history.cleanup.notice import Watch
from kart_runtime.history.ledger import Ledger
from kart_runtime.history.records import Records, records_of
from kart_runtime.history.task_record import TaskRecord
from kart_runtime.settings import BuildSettings
from kart_runtime.storage.signing_keys import keyring
from kart_runtime.storage.target import Target
from kart_runtime.task.base import TaskOnKart, kart_task
from kart_runtime.task.loading import output_of
from kart_runtime.task.nested import iter_flat
from kart_runtime.task.origin import origin_of, other_writer
from kart_runtime.task.run_metadata import visible_params

_MAX_NAMED = 3
"""Definitions or inputs that a reason names; of more, only the number."""


class Difference(enum.Enum):
    """Kind of difference between a task and the record of its output."""

    CODE = "code"
    INPUT = "input"
    OUTPUT = "output"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"


class Change(NamedTuple):
    """A difference, and what it concerns as text."""

    kind: Difference
    detail: str

    @property
    def is_acceptable(self) -> bool:
        """Whether somebody may have meant it: what a machine has damaged or a kill interrupted is no result."""
        return self.kind in (Difference.CODE, Difference.INPUT, Difference.OUTPUT)


class Changes:
    """Compares the tasks of one build with the records of their outputs.

    Attributes
    ----------
    reruns
        Whether a change is a reason to run a task; else it is reported only.
    run_id
        The run of this build, whose records are added one by one and need not be read; or "".
    recomputes
        Whether an output that is not what its task wrote is computed again.
    allows_outside
        Whether outputs may lie outside of the workspace.
    """

    def __init__(self, settings: BuildSettings | None = None) -> None:
        settings = settings or BuildSettings()
        self.reruns = settings.code_changed == "rerun"
        self.recomputes = settings.on_corrupt == "recompute"
        self.allows_outside = settings.outside_paths == "allow"
        self._is_off = settings.code_changed == "ignore"
        self._packages: Sequence[str] = tuple(settings.code_packages)
        self.run_id = ""
        self._records: dict[str, Records] = {}
        self._watch = Watch()
        self._origins: dict[type, str] = {}
        self._codes: dict[type, Code] = {}

    def records(self, workspace: str) -> Records:
        """Return the records of a workspace, up to date when this build first asks for them."""
        records = self._records.get(workspace)
        if records is None:
            records = self._records[workspace] = records_of(workspace)
            if self.run_id:
                records.own_file(self.run_id)
            records.refresh()
            self._watch.listed(workspace, has_notice=records.has_notice)
        return records

    def await_deletions(self, workspaces: Iterable[str]) -> bool:
        """Wait for processes that delete files of some workspaces; return whether there were any: then plan again.

        To be called when the ledger says what this build uses.
        """
        if not self._watch.await_deletions(workspaces):
            return False
        for records in self._records.values():
            records.refresh()
        return True

    def runs_before(self, workspace: str) -> Sequence[str]:
        """Return the newest runs of a workspace at the time when this build asked for its records."""
        return self.records(workspace).newest_runs

    def save(self) -> None:
        """Write the caches of the records that this build has asked for."""
        for records in self._records.values():
            records.save()

    def code(self, cls: type) -> Code:
        """Return the code of a task class; empty when changes of code are ignored."""
        code = self._codes.get(cls)
        if code is None:
            code = self._codes[cls] = Code("", {}) if self._is_off else code_of(cls, self._packages)
        return code

    def files(self) -> dict[str, str]:
        """Return a fingerprint of each file of the project that code of this build is in, by its path."""
        texts: dict[str, set[str]] = {}
        for code in self._codes.values():
            for label, text in code.definitions.items():
                file, colon, name = label.partition(": ")
                if colon:
                    texts.setdefault(file, set()).add(f"{name} {text}")
        return {file: hash_of(" ".join(sorted(texts[file]))) for file in sorted(texts)}

    def origin(self, cls: type) -> str:
        """Return what tells a class from another one of its name."""
        origin = self._origins.get(cls)
        if origin is None:
            origin = self._origins[cls] = origin_of(cls)
        return origin

    def record(self, task: luigi.Task) -> TaskRecord | None:
        """Return the record of a task, written by its class; None if there is none."""
        if "_kart" not in task.__dict__:
            return None
        kart, cls = cast("TaskOnKart[Any]", task), type(task)
        workspace = kart.workspace_directory
        records = self._records.get(workspace) or self.records(workspace)
        record = records.find(kart._kart.unique_id or kart.make_unique_id(), cls.__module__)
        if record is None:
            return None
        origin = self._origins.get(cls)
        return record if record.origin == (self.origin(cls) if origin is None else origin) else None

    def pending(self, task: luigi.Task) -> frozenset[str]:
        """Return the urls in a task's workspace that another process has begun to replace."""
        kart = kart_task(task)
        return frozenset() if kart is None else self.records(kart.workspace_directory).pending

    def of(self, task: luigi.Task) -> Change | None:
        """Return how a task differs from the record of its output; None if it does not, or none is known."""
        record = self.record(task)
        if record is None:
            return self._lost(task)
        records = self._records[cast("TaskOnKart[Any]", task).workspace_directory]
        record = records.settled(record)
        if records.interrupted and (record.unique_id, record.module) in records.interrupted:
            return Change(Difference.INTERRUPTED, "")
        has_outputs = records.has_recorded_outputs(record) and not records.damaged
        if not has_outputs and records.is_torn(record):
            return Change(Difference.DAMAGED, ", ".join(output.url for output in record.outputs[:_MAX_NAMED]))
        if self._is_off:
            return None
        code = self._codes.get(type(task)) or self.code(type(task))
        if code.fingerprint != record.code and code.fingerprint and record.code:
            names = self._changed_names(type(task), records.definitions(record.code))
            return Change(Difference.CODE, names)
        if record.inputs and not records.has_content(record.inputs):
            return Change(Difference.INPUT, self._changed_inputs(records, record.inputs))
        if not (has_outputs or records.has_recorded_outputs(record)):
            changed_outputs = {output.url: output.checksum for output in record.outputs if output.checksum}
            if other_writer(task, map(records.absolute, changed_outputs), records):
                return None  # of a name without id, which the task of other parameters has: the plan says so
            if records.was_replaced(record):
                return Change(Difference.INTERRUPTED, "")
            return Change(Difference.OUTPUT, self._changed_inputs(records, changed_outputs))
        return None

    def _lost(self, task: luigi.Task) -> Change | None:
        """Return that a task without a record was interrupted, if its outputs come from just before a restart."""
        kart = kart_task(task)
        if kart is None or "_kart" not in task.__dict__ or type(task).complete is not TaskOnKart.complete:
            return None
        records = self.records(kart.workspace_directory)
        if not records.saw_restart:
            return None
        targets = [target for target in iter_flat(output_of(kart)) if hasattr(target, "stat")]
        stats = [stat for target in targets if (stat := target.stat()) is not None]
        is_lost = any(records.was_lost(stat.modified) for stat in stats)
        return Change(Difference.INTERRUPTED, "the machine was restarted") if is_lost else None

    def may_recompute(self, error: ObjectCorrupt) -> bool:
        """Return whether the task that stored what cannot be loaded may run again: by the setting, or for what the
        machine has damaged, and nobody has changed.
        """
        if self.recomputes or error.producer is None:
            return self.recomputes
        kart = kart_task(error.producer)
        if kart is None:
            return False
        records = self.records(kart.workspace_directory)
        writer = records.writer(error.url)
        if writer is not None and records.has_tries(writer):  # nobody has changed it: two tries were stored at once
            return True
        output = records.expected(error.url)
        return output is not None and records.was_damaged(output)

    def has_same_inputs(self, task: luigi.Task) -> bool:
        """Return whether everything that a task loaded, when it last ran, is still the same."""
        record = self.record(task)
        if record is None or record.inputs is None:
            return False
        return self._records[cast("TaskOnKart[Any]", task).workspace_directory].has_content(record.inputs)

    def input_change(self, task: luigi.Task) -> str:
        """Return the inputs of a task that have changed, as text."""
        record = self.record(task)
        if record is None or record.inputs is None:
            return ""
        return self._changed_inputs(self.records(cast("TaskOnKart[Any]", task).workspace_directory), record.inputs)

    def restarted(self) -> Sequence[str]:
        """Return the workspaces with a restart of the machine that no run's file tells of yet."""
        return [workspace for workspace, records in self._records.items() if records.restart is not None]

    def restart_lines(self, workspace: str) -> Sequence[dict[str, Any]]:
        """Return the line for a restart of the machine that this process was the first to find, when first asked."""
        records = self.records(workspace)
        restart, records.restart = records.restart, None
        return [restart.line(records.damaged)] if restart is not None else []

    def accept(self, task: luigi.Task, ledger: Ledger) -> None:
        """Record that the output of a task is what its code gives from what is there now."""
        record = self.record(task)
        kart = kart_task(task)
        if record is None or kart is None:
            return
        records = self.records(kart.workspace_directory)
        inputs = {path: records.content(path) or checksum for path, checksum in (record.inputs or {}).items()}
        code = self.code(type(task))
        accepted = record._replace(
            code=code.fingerprint or record.code,
            run_id=ledger.run_id,
            outputs=tuple(map(records.as_it_is, record.outputs)),
            inputs=inputs if record.inputs is not None else None,
            started=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        if code.fingerprint:
            ledger.append_definitions(kart.workspace_directory, code.fingerprint, code.definitions)
        ledger.append(
            kart.workspace_directory,
            accepted._asdict()
            | {
                "state": "accepted",
                "seconds": 0.0,
                "seed": None,
                "params": visible_params(kart),
                "log_files": (),
                "error": "",
                "reason": "accepted",
                "outputs": [one._replace(url=records.absolute(one.url)) for one in accepted.outputs],
                "inputs": {records.absolute(path): checksum for path, checksum in inputs.items()},
            },
        )
        records.own_file(ledger.run_id)
        records.add(accepted)
        for target in iter_flat(kart.output()) if keyring() is not None else ():
            if isinstance(target, Target) and target.owner is kart and target.exists():
                target.sign()

    def _changed_names(self, cls: type, before: Mapping[str, str]) -> str:
        if not before:
            return ""
        return _listed(changed(before, self.code(cls).definitions))

    @staticmethod
    def _changed_inputs(records: Records, inputs: Mapping[str, str]) -> str:
        return _listed(
            path
            for path, checksum in inputs.items()
            if records.content(path) not in (checksum, None) or records.is_left(path)
        )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    rest = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
