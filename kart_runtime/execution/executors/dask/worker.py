"""The worker's side of a call: take over the state of its build, run it, and answer in bytes.

A worker may serve several programs, and have several threads. The state of a build (packages, luigi's configuration,
overrides) holds for the whole process, so calls of another build wait, in the order in which they came, until those of
the active one have ended. Environment variables, arguments and logging stay the worker's own.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kart_runtime.errors import ConfigError, ExecutorError, NotImportable, add_note
from kart_runtime.execution.executors.calls import RESULT, Answer, error_answer
from kart_runtime.execution.executors.dask.limited import call_of, notify_program, run_limited
from kart_runtime.execution.executors.dask.packages import Package, activate_packages
from kart_runtime.execution.executors.dask.remote import make_version
from kart_runtime.execution.executors.pickling import DefinitionTable, loads
from kart_runtime.execution.executors.program_state import Choices, LuigiConfiguration
from kart_runtime.storage import registry
from kart_runtime.storage.signing_keys import VARIABLE, keyring
from kart_runtime.storage.system import after_fork
from kart_runtime.storage.time_limits import set_project_timeout
from kart_runtime.task.progress import remote_report

VERSION = make_version()()

_INITIAL_FOLDER = Path.cwd()
_NOTIFY_SECONDS = 10
"""How long the scheduler may take to hear that a call starts."""

_APPEAR_SECONDS = 3
"""How long a network's disk may take to show a new file."""

own_tables: dict[str, DefinitionTable] = {}
"""Tables of the builds of this process, whose workers may be its threads and then need no state."""
after_fork(own_tables.clear)


@dataclass(frozen=True)
class CallMessage:
    """A call, and the number of state plugins that it needs.

    `key` is the scheduler's name for it; `on_start` the handler of its death counter, if it has one; `call` the pickle
    of function and arguments, and `name` the function's name, for messages. `topic` is that of the events by which the
    call reports how far it is, if anybody wants to know. `timeout` is its time in seconds, if that is limited,
    `started` the topic of the event that it begins, and `task` the name of its task.
    """

    build: str
    n_plugins: int
    key: str
    on_start: str | None
    call: bytes
    name: str
    topic: str | None = None
    timeout: float | None = None
    started: str = ""
    task: str = ""


@dataclass(frozen=True)
class ProgramState:
    """What the program has set and a worker lacks; `marks` are files that a worker has to see in the workspaces.

    `signing_key` is the id of the key with which the program signs, which a worker must have in its own environment.
    """

    luigi: LuigiConfiguration
    registered: tuple[dict[str, str], dict[str, str]]
    folder: str | None
    marks: tuple[str, ...]
    network_timeout: float | None = None
    signing_key: str = ""

    def apply(self, worker: str) -> None:
        """Set the same here, or raise `ConfigError` when a workspace is not visible."""
        os.chdir(self.folder if self.folder is not None and Path(self.folder).is_dir() else _INITIAL_FOLDER)
        deadline = time.monotonic() + _APPEAR_SECONDS
        missing = [mark for mark in self.marks if not _appears(Path(mark), deadline)]
        if missing:
            raise not_shared([str(Path(mark).parent) for mark in missing], [worker])
        keys = keyring()
        if self.signing_key and self.signing_key not in (keys.keys if keys is not None else ()):
            message = f"the Dask worker {worker} does not have the key {self.signing_key} that this program signs with"
            raise ConfigError(f"{message}. Set {VARIABLE} where the worker is started", key=VARIABLE)
        self.luigi.apply()
        registry.adopt(self.registered)
        set_project_timeout(self.network_timeout)


def not_shared(folders: Sequence[str], workers: Sequence[str]) -> ConfigError:
    """Return the error for workspaces that workers cannot see."""
    return ConfigError(
        f"{' and '.join(sorted(set(folders)))} is not the same folder for {first_of(workers)}",
        key="run.workspace",
        expected="a folder that all machines share, or s3:// or gs://",
    )


def first_of(workers: Sequence[str]) -> str:
    """Return the addresses of some workers, for messages."""
    return ", ".join(workers[:5]) + (f" and {len(workers) - 5} more" if len(workers) > 5 else "")


def plugin_name(build: str, number: int) -> str:
    """Return the name of a state plugin of a build."""
    return f"kart-{build}-{number}"


class _ActiveBuild:
    """The build whose state this process has, and the calls that wait for another one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._running = 0
        self._build, self._n_plugins = "", 0
        self._table = DefinitionTable(defines=False)

    @contextmanager
    def of(self, worker: Any, message: CallMessage) -> Iterator[DefinitionTable]:
        """Have the state of a message's build inside the block."""
        table = own_tables.get(message.build)
        if table is not None:
            yield table
            return
        with self._changed:
            self._wait(message)
            if not self._has(message):
                self._take_over(worker, message)
            self._running += 1
            table = self._table
        try:
            yield table
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _wait(self, message: CallMessage) -> None:
        me = object()
        self._waiting.append(me)
        try:
            self._changed.wait_for(lambda: self._waiting[0] is me and (not self._running or self._has(message)))
        finally:
            self._waiting.remove(me)
            self._changed.notify_all()

    def _has(self, message: CallMessage) -> bool:
        return self._build == message.build and self._n_plugins >= message.n_plugins

    def _take_over(self, worker: Any, message: CallMessage) -> None:
        """Apply what has come since the last time; everything, when that was another build's."""
        plugins = [worker.plugins.get(plugin_name(message.build, number)) for number in range(message.n_plugins)]
        if None in plugins:
            raise ExecutorError(
                f"Dask worker {worker.address} has no state for this build; it was probably restarted. Run the build "
                "again."
            )
        applied = self._n_plugins if self._build == message.build else 0
        self._build, self._n_plugins = "", 0  # until all is well
        if not applied:
            self._table.forget()
            self._table = DefinitionTable(defines=False)
        packages = [Package(*package) for plugin in plugins for package in plugin.packages]
        activate_packages(packages, Path(worker.local_directory) / "kart-code")
        if not applied:
            state: ProgramState = pickle.loads(plugins[0].state)
            state.apply(worker.address)
        for plugin in plugins[applied:]:
            for numbers, code in plugin.definitions:
                self._table.learn(numbers, code)
        if not applied:
            choices: Choices = loads(plugins[0].choices)
            choices.apply()
        self._build, self._n_plugins = message.build, message.n_plugins


_active_build = _ActiveBuild()


def serve(worker: Any, data: bytes) -> Answer:
    """Run the call of a pickled `CallMessage`, and return its answer."""
    message: CallMessage = pickle.loads(data)
    try:
        with _active_build.of(worker, message) as table:
            if message.on_start is not None and _is_marked(worker, message):
                _notify(worker, message.on_start, message.key)
            return _run(worker, message, table)
    except NotImportable as error:
        return _failure(worker, NotImportable(error.module, error.why, worker.address), DefinitionTable(defines=False))
    except BaseException as error:  # noqa: BLE001 - whatever is wrong with the build's state
        return _failure(worker, error, DefinitionTable(defines=False))


def _run(worker: Any, message: CallMessage, table: DefinitionTable) -> Answer:
    function, args, kwargs = loads(message.call)
    topic = message.topic
    token = remote_report.set(
        None if topic is None else lambda done, text: worker.log_event(topic, [message.key, done, text])
    )
    try:
        if message.timeout is None:
            with call_of(message.build):
                value = function(*args, **kwargs)
        else:
            start = partial(notify_program, worker, message.started, message.key)
            value = run_limited(worker, function.__self__, message.build, message.task, message.timeout, start)
        failure = getattr(value, "error", None)  # an attempt returns its failure
        if isinstance(failure, BaseException):
            add_note(failure, f"On the Dask worker {worker.address}.")
        return RESULT, table.dumps(value, f"the result of {message.name}"), ""
    except BaseException as error:  # noqa: BLE001 - also SystemExit: it ends the call, and not the worker
        return _failure(worker, error, table)
    finally:
        remote_report.reset(token)


def _failure(worker: Any, error: BaseException, table: DefinitionTable) -> Answer:
    return error_answer(error, f"On the Dask worker {worker.address}", table)


def _is_marked(worker: Any, message: CallMessage) -> bool:
    """Return whether a worker has died that had this call, so that the scheduler has to know when it starts."""
    task = worker.state.tasks.get(message.key)
    return task is not None and message.on_start in (task.annotations or {})


def _notify(worker: Any, handler: str, key: str) -> None:
    """Have the scheduler know that a call starts, before the call can end this process."""
    from distributed.utils import sync

    call: Callable[..., Any] = getattr(worker.scheduler, handler)
    with contextlib.suppress(Exception):  # without it, only the count of deaths is less exact
        sync(worker.loop, call, callback_timeout=_NOTIFY_SECONDS, key=key, worker=worker.address)


def _appears(path: Path, deadline: float) -> bool:
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
