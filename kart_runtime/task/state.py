"""State that the engine attaches to a task object: its identity, and the run in progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import luigi

from kart_runtime.storage.commit import commit
from kart_runtime.storage.scratch import Scratch
from kart_runtime.storage.staging import OutputRecord, StagedWrite, this_process
from kart_runtime.task.parameters import ActiveOverrides, active_overrides


@dataclass(slots=True)
class Identity:
    """Identity of a task, worked out by `identity` and `parameters`, and final once it is known; held as `task._kart`.

    `overrides` are those under which the task was made, `texts` its significant parameters, `required` what
    `requires()` returned and `dependencies` the tasks in it. `serialized` is the task's text as the parameter of
    another one; `abbreviated` says that it holds the id instead of the parameters. `arguments` are those that the task
    was made with, by which it is made again if there was no configuration yet.
    """

    overrides: ActiveOverrides
    arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
    texts: dict[str, str] | None = None
    hash: int | None = None
    unique_id: str | None = None
    required: Any = None
    dependencies: tuple[luigi.Task, ...] | None = None
    serialized: str | None = None
    abbreviated: bool = False


@dataclass(slots=True)
class TaskRun:
    """One run of a task; held as `task._kart_run` while it goes on.

    `output` is what `output()` returned, `stored` the records of what is visible, `rng` the random generator once it
    was asked for. `may_commit` raises if the lock may be lost; None where nothing is locked.

    In an attempt, `task` is the task, `staged` holds what has been dumped, by url, until all of it is committed, and
    `loaded` the checksums of what was loaded. `expected` are records of this build that its workers may not find.
    `checks_types` says whether a dumped value must have the declared type, `scratch` is the scratch folder in use,
    `metrics` and `steps` are what was measured, `keeps_logs` says whether log records are kept, and `lines`
    are those. `secrets` are those that were looked up. `report` is told how far the run is, if somebody watches;
    `progress` is what it has been told. `run_id` is the run of the build, "" if none is recorded. `given_up` is why
    nobody waits for the run any more, although its thread may go on, and `fate` what came first: that, or the commit.
    `marks` says that there is a record of other outputs, so that objects have to say by themselves that they are whole,
    should this process die before it records them. `allows_outside` says whether outputs may lie outside of the
    workspace.
    """

    output: Any = None
    stored: tuple[OutputRecord, ...] = ()
    rng: Any = None
    may_commit: Callable[[], None] | None = None
    task: Any = None
    staged: dict[str, StagedWrite] | None = None
    loaded: dict[str, str] = field(default_factory=dict)
    expected: Mapping[str, OutputRecord] = field(default_factory=dict)
    checks_types: bool = True
    process: object = field(default_factory=this_process)
    scratch: Scratch | None = None
    metrics: dict[str, float | str] = field(default_factory=dict)
    steps: list[tuple[str, int, float | str, float]] = field(default_factory=list)
    keeps_logs: bool = True
    lines: Any = None
    secrets: set[str] = field(default_factory=set)
    report: Callable[[float | None, str], None] | None = None
    progress: Any = None
    marks: bool = False
    allows_outside: bool = True
    run_id: str = ""
    given_up: BaseException | None = None
    fate: dict[str, str] = field(default_factory=dict)

    def give_up(self, error: BaseException) -> bool:
        """Refuse from now on to store anything of this run; return False if its outputs become visible already.

        May be called in another thread, or in a handler of signals. Whoever writes its word first decides.
        """
        if self.fate.setdefault("end", "given up") != "given up":
            return False
        self.given_up = error
        return True

    def add_metric(self, name: str, value: float | str, step: int | None) -> None:
        """Add a value of a metric."""
        self.metrics[name] = value
        if step is not None:
            self.steps.append((name, step, value, time.time()))

    def commit(self) -> None:
        """Make everything that has been dumped visible, all or nothing."""
        if self.may_commit is not None:
            self.may_commit()
        if self.fate.setdefault("end", "committed") != "committed":
            raise self.given_up or RuntimeError("nobody waits for this run any more")
        if self.staged:
            writes = list(self.staged.values())
            if len(writes) > 1:
                commit(writes, getattr(self.task, "workspace_directory", "./resources/"))  # luigi's have none
            else:
                writes[0].commit()
            self.stored += tuple([write.record() for write in writes])
            self.staged.clear()

    def discard(self) -> None:
        """Drop everything that has been dumped and is not visible."""
        while self.staged:
            self.staged.popitem()[1].discard()


def close_scratch(run: TaskRun, *, delete: bool) -> None:
    """Let others use the scratch folder of a run that has ended; delete it after a success."""
    if run.scratch is not None:
        run.scratch.close(delete=delete)
        run.scratch = None


def note_given_up(task: luigi.Task) -> None:
    """Note that a thread may go on with a task object for which nobody waits, in this build and in later ones."""
    vars(task)["_kart_given_up"] = True


def unused_object(task: luigi.Task) -> luigi.Task:
    """Return a task object with which no thread goes on that was given up: that of the task, or else a copy."""
    if "_kart_given_up" not in vars(task):
        return task
    again: luigi.Task = object.__new__(type(task))
    vars(again).update(vars(task) | {"_kart_run": None, "task_log": {}} if "_kart" in vars(task) else vars(task))
    for name in ("_kart_own_run", "_kart_given_up"):
        vars(again).pop(name, None)
    return again


def own_overrides(task: luigi.Task) -> ActiveOverrides | None:
    """Return the overrides that a task must be resolved under where they are not the active ones, else None.

    A task that was made before there was any configuration takes the active one.
    """
    identity: Identity | None = task.__dict__.get("_kart")
    if identity is None or not identity.overrides.by_class or identity.overrides is active_overrides():
        return None
    return identity.overrides


def identity_of(task: luigi.Task) -> Identity | None:
    """Return the identity of a task; None for a luigi task that is not kart's."""
    identity: Identity | None = task.__dict__.get("_kart")
    return identity
