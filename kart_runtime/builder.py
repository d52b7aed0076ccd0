"""How does a program run tasks? `build(task)` plans, runs and returns the value."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Literal, TypedDict, TypeVar, Unpack, cast, overload

import luigi

from kart_runtime import identity
from kart_runtime.errors import BuildFailed
from kart_runtime.events import Event, Listener, Summary
from kart_runtime.executors import make_executor
from kart_runtime.ledger import Ledger
from kart_runtime.locks import make_locks
from kart_runtime.plan import describe, plan
from kart_runtime.schedule import Loop, Surroundings
from kart_runtime.structures import mapped
from kart_runtime.task import TaskOnKart

T = TypeVar("T")


class BuildOptions(TypedDict, total=False):
    """The keyword arguments of `build`, described there."""

    executor: str
    workers: int
    locks: str
    lock_wait: float
    check_all: bool
    on_event: Listener | None


def _nobody(_event: Event) -> None:
    """Listen to nothing."""


@overload
def build(task: TaskOnKart[T], return_value: Literal[True] = True, **options: Unpack[BuildOptions]) -> T: ...


@overload
def build(
    task: Sequence[luigi.Task], return_value: Literal[True] = True, **options: Unpack[BuildOptions]
) -> list[Any]: ...


@overload
def build(
    task: luigi.Task | Sequence[luigi.Task], return_value: bool = True, **options: Unpack[BuildOptions]
) -> Any: ...


def build(
    task: luigi.Task | Sequence[luigi.Task],
    return_value: bool = True,
    *,
    executor: str = "serial",
    workers: int = 1,
    locks: str = "none",
    lock_wait: float = 600.0,
    check_all: bool = False,
    on_event: Listener | None = None,
) -> Any:
    """Run a task, and first whatever it requires that is not complete, and return what it has stored.

    Parameters
    ----------
    task
        The task, or several, which are run as one plan.
    return_value
        Whether the stored values are loaded and returned; else None is.
    executor
        Where tasks run: "serial".
    workers
        How many run at once.
    locks
        "none", or "file" where several processes of one machine share the workspace.
    lock_wait
        How long to wait for another process that runs the same task, in seconds.
    check_all
        Ask every task whether it is complete, also those that nothing needs; only the summary differs.
    on_event
        Is told of `PlanMade`, `TaskStarted`, `TaskFinished` and `BuildFinished`.

    Returns
    -------
    The value of the task: what `self.dump` was given, in the form of `output()`. A list of values for several tasks.

    Raises
    ------
    PlanError
        When the tasks cannot be put into an order; nothing has run.
    NotATask
        When something else than tasks is given.
    ConfigError
        When an option is not acceptable; nothing has run.
    BuildFailed
        When tasks failed. The others have been run as far as they could be, and their outputs stay.
    """
    roots = list(task) if isinstance(task, list | tuple) else [cast("luigi.Task", task)]
    for root in roots:
        identity.check_task(root, "build()")
    made = plan(roots, check_all=check_all)
    workspace = next((root.workspace_directory for root in roots if isinstance(root, TaskOnKart)), "./resources/")
    run_ledger = Ledger()
    pool = make_executor(executor, workers)
    around = Surroundings(pool, workers, make_locks(locks, workspace), lock_wait, run_ledger, on_event or _nobody)
    try:
        with pool:
            summary = Loop(made, around).run()
    finally:
        run_ledger.close()
        _forget_reruns(made.tasks)
    if not summary.ok:
        raise _failure(summary)
    if not return_value:
        return None
    values = [_value(root) for root in roots]
    return values[0] if isinstance(task, luigi.Task) else values


def _forget_reruns(tasks: Sequence[luigi.Task]) -> None:
    # `rerun` means once a build; the task objects live on in luigi's registry.
    for task in tasks:
        state = identity.kept_with(task)
        if state is not None:
            state.reran = False


def _failure(summary: Summary) -> BuildFailed:
    errors: dict[luigi.Task, BaseException] = dict(summary.failed)
    for task in summary.missing:
        errors[task] = FileNotFoundError(f"it comes from outside, and its output does not exist: {task}")
    names = _names([*errors, *summary.not_started])
    raised: dict[str, list[BaseException]] = defaultdict(list)
    for task, error in summary.failed.items():
        if isinstance(task, TaskOnKart):
            raised[task.make_unique_id()].append(error)
    causes = {names[task]: error for task, error in errors.items()}
    not_started = {names[task]: names[cause] for task, cause in summary.not_started.items()}
    failure = BuildFailed(causes, not_started, summary.text(), raised)
    failure.__cause__ = next(iter(causes.values()), None)
    return failure


def _names(tasks: Sequence[luigi.Task]) -> dict[luigi.Task, str]:
    """Return a name for each task; where one task runs in several workspaces, with the workspace."""
    names = {task: describe(task) for task in tasks}
    counts = Counter(names.values())
    for task, name in names.items():
        if counts[name] > 1 and isinstance(task, TaskOnKart):
            names[task] = f"{name} in {task.workspace_directory}"
    return names


def _value(task: luigi.Task) -> Any:
    # Of a target of luigi's there is no value to give, which is no reason to fail after everything has run.
    return mapped(task.output(), lambda target: target.load() if hasattr(target, "load") else None, tuples_as=list)
