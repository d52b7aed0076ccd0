"""How does a program run tasks? `build(task)` plans, runs and returns the value."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, cast, overload

import luigi

from kart_runtime.errors import BuildFailed, ConfigError
from kart_runtime.execution.executors import Executors
from kart_runtime.execution.locks import make_locks
from kart_runtime.execution.locks.redis_server import RedisLocks
from kart_runtime.history.durations import typical_seconds
from kart_runtime.history.ledger import Ledger
from kart_runtime.plan.decisions import Action, plan
from kart_runtime.schedule.event_log import logged
from kart_runtime.schedule.events import Listener, Summary
from kart_runtime.schedule.resources import Limits
from kart_runtime.schedule.scheduler import Loop, Surroundings
from kart_runtime.storage.stores import background
from kart_runtime.storage.value_cache import handing_off
from kart_runtime.task import identity
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.metaclass import forget_classes
from kart_runtime.task.naming import describe
from kart_runtime.task.nested import mapped

if TYPE_CHECKING:
    from kart_runtime.gokart.tree import TaskDumpConfig

T = TypeVar("T")


class BuildOptions(TypedDict, total=False):
    """The keyword arguments of `build`, described there."""

    executor: str | None
    workers: int | None
    address: str | None
    resources: Mapping[str, float]
    locks: str
    lock_wait: float
    hand_off: int
    check_all: bool
    on_event: Listener | None
    reset_register: bool
    log_level: int | None
    task_lock_exception_max_tries: int
    task_lock_exception_max_wait_seconds: float | None
    task_dump_config: TaskDumpConfig | None
    local_scheduler: bool
    detailed_summary: bool


NO_LIMITS: Mapping[str, float] = {}
HAND_OFF = 256_000_000


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


def build(  # noqa: PLR0917 - gokart's form
    task: luigi.Task | Sequence[luigi.Task],
    return_value: bool = True,
    reset_register: bool = False,
    log_level: int | None = None,
    task_lock_exception_max_tries: int = 10,
    task_lock_exception_max_wait_seconds: float | None = None,
    task_dump_config: TaskDumpConfig | None = None,
    *,
    executor: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    resources: Mapping[str, float] = NO_LIMITS,
    locks: str = "none",
    lock_wait: float = 600.0,
    hand_off: int = HAND_OFF,
    check_all: bool = False,
    on_event: Listener | None = None,
    local_scheduler: bool = True,
    detailed_summary: bool = True,  # noqa: ARG001 - an argument of luigi's; the summary has one form
) -> Any:
    """Run a task, and first whatever it requires that is not complete, and return what it has stored.

    Parameters
    ----------
    task
        The task, or several, which are run as one plan.
    return_value
        Whether the stored values are loaded and returned; else None is.
    reset_register
        Whether luigi forgets the task classes of other modules than its own and kart's before it begins. Nothing in
        kart needs it; it is there for programs that define classes of one name again and again.
    log_level
        The level from which messages of the build, of luigi and of tasks are shown on standard error, as in
        `logging.DEBUG`. None: logging stays as it is.
    task_lock_exception_max_tries
        gokart's; locks are waited for up to a time, so that a number of tries does not count.
    task_lock_exception_max_wait_seconds
        gokart's name of `lock_wait`.
    task_dump_config
        Whether a tree or table of the tasks is printed or stored first. None: neither.
    executor
        Where tasks run: "serial", "threads", "processes" or "dask". None: dask where there is an address, else serial
        for one worker, else processes. A task class that has an attribute `executor` runs there.
    workers
        How many run at once. None: 1; on a Dask cluster, what the cluster can.
    address
        Of the scheduler of a Dask cluster, such as ``tcp://HOST:8786``. None, with the executor "dask": the program's
        current `distributed.Client`, else the cluster that Dask's configuration names.
    resources
        How much there is of what tasks declare that they need, for example ``{"gpu": 1}``. Of a resource that is not
        named here or in luigi's configuration there is 1.
    locks
        Whether processes that share the workspace keep from running the same task: "none"; "file", for processes of one
        machine; "workspace", for machines that share an object store (or a disk); "redis://HOST:PORT", by a server.
        A task that another process runs lets others go first.
    lock_wait
        How long to wait for another process that runs the same task, in seconds, when nothing else can be started.
    hand_off
        How many bytes of dumped values may be kept in memory, so that tasks of this process, and the end of the build,
        need not read them. They get what reading gives, and copies of their own. 0: everything is read.
    check_all
        Ask every task whether it is complete, also those that nothing needs; only the summary differs.
    on_event
        Is told of `PlanMade`, `TaskStarted`, `TaskFinished` and `BuildFinished`.
    local_scheduler, detailed_summary
        Arguments of `luigi.build` that gokart passes on. To use luigi's central scheduler, run the tasks by
        `luigi.build(..., local_scheduler=False)`.

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
    if not local_scheduler:
        raise ConfigError("build() orders tasks itself; luigi's central scheduler is used by luigi.build(tasks)")
    if task_lock_exception_max_tries < 1:
        raise ConfigError("at least one try is needed", key="task_lock_exception_max_tries", expected="at least 1")
    if hand_off < 0:
        raise ConfigError("a negative number of bytes cannot be kept", key="hand_off", expected="at least 0")
    if reset_register:
        forget_classes()
    if task_lock_exception_max_wait_seconds is not None:
        lock_wait = task_lock_exception_max_wait_seconds
    with (
        handing_off(hand_off),
        logged(log_level, on_event) as listen,
        background.storing(),
        Executors(executor, workers, address) as executors,
        Ledger() as ledger,
    ):
        if task_dump_config is not None:
            _dump_information(roots, task_dump_config)
        around = Surroundings(
            executors=executors,
            workers=executors.workers,
            locks=make_locks(locks, _workspace(roots)),
            lock_wait=lock_wait,
            ledger=ledger,
            listen=listen,
            limits=Limits(resources),
        )
        summary = _run(roots, check_all, around)
        values = [_value(root) for root in roots] if summary.ok and return_value else []
    if not summary.ok:
        raise _failure(summary)
    if not return_value:
        return None
    return values[0] if isinstance(task, luigi.Task) else values


def _dump_information(roots: Sequence[luigi.Task], wanted: TaskDumpConfig) -> None:
    # Few builds want it, and every program would wait for it to be loaded.
    task_info = import_module("kart_runtime.gokart.tree")
    for root in roots:
        task_info.process_task_info(root, wanted)


def _workspace(roots: Sequence[luigi.Task]) -> str:
    return next((root.workspace_directory for root in roots if isinstance(root, TaskOnKart)), "./resources/")


def _run(roots: Sequence[luigi.Task], check_all: bool, around: Surroundings) -> Summary:
    made = plan(roots, check_all=check_all)
    wanted = made.with_action(Action.RUN)
    if around.workers > 1 and len(wanted) > 1:
        around = replace(around, seconds=typical_seconds(_workspace(roots)))
    loop = Loop(made, around)
    around.executors.open(wanted)
    # Each task would find that out by itself, after a time-out. On a cluster it is the workers that ask the server.
    if wanted and isinstance(around.locks, RedisLocks) and around.executors.kind != "dask":
        around.locks.reach()
    _refer(around.ledger, made.tasks, optional=not wanted)
    try:
        return loop.run()
    finally:
        _refer(around.ledger, [task for task in loop.tasks if task not in made.graph.numbers])
        _forget_build(loop.tasks)


def _refer(ledger: Ledger, tasks: Iterable[luigi.Task], optional: bool = False) -> None:
    """Note which tasks this build is about, for whoever asks what may be removed."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for task in tasks:
        if isinstance(task, TaskOnKart):
            cls = type(task)
            names = found.setdefault(task.workspace_directory, {}).setdefault(cls.__module__, {})
            names.setdefault(cls.__name__, []).append(task.make_unique_id())
    for workspace, classes in found.items():
        ledger.refer(workspace, classes, optional)


def _forget_build(tasks: Iterable[luigi.Task]) -> None:
    # The task objects live on: `rerun` means once a build, and the next one asks for outputs anew.
    for task in tasks:
        state = identity.kept_with(task)
        if state is not None:
            state.reran = state.output = None


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
