"""What does a Dask worker do with an attempt? It takes over the build's state, runs it, and answers in bytes.

A worker may serve several programs, and have several threads. What a build brings along (the packages, luigi's
configuration, what was chosen for task classes) holds for the whole process, so attempts of another build wait until
those of the present one have ended; they take turns in the order in which they came.

`dask_cluster` sends the state as plugins (parts), before the work that needs it. Environment variables, arguments and
logging stay the worker's own. Called by the code of `dask_sent`.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kart_runtime.errors import ConfigError, ExecutorError, NotImportable
from kart_runtime.execution.executors.calls import ERROR, RESULT, Answer
from kart_runtime.execution.executors.dask.packages import Package, use
from kart_runtime.execution.executors.dask.remote import BEGAN
from kart_runtime.execution.executors.pickling import DefinitionTable, loads
from kart_runtime.execution.executors.program_state import Choices, LuigiConfiguration
from kart_runtime.storage.registry import STORES
from kart_runtime.storage.system import after_fork

_HOME = Path.cwd()
_TELL_SECONDS = 10
"""How long the scheduler may take to hear that an attempt begins."""

_APPEAR_SECONDS = 3
"""How long a network's disk may take to show a new file."""

here: dict[str, DefinitionTable] = {}
"""The builds of this process itself: its workers, if it has any, know all that there is to know."""
after_fork(here.clear)


@dataclass(frozen=True)
class Parcel:
    """One call.

    Attributes
    ----------
    build
        The build that it belongs to.
    parts
        How many parts of that build's state it needs.
    key
        What the scheduler calls it.
    has_referee
        Whether the scheduler wants to know when it begins.
    work
        The function and its arguments, pickled.
    name
        The function's name, for messages.
    """

    build: str
    parts: int
    key: str
    has_referee: bool
    work: bytes
    name: str


@dataclass(frozen=True)
class State:
    """What the program sets, and a worker lacks.

    Attributes
    ----------
    luigi
        luigi's configuration.
    stores
        Which stores are known, by scheme.
    folder
        The program's working folder, where the workspace is relative to it.
    marks
        Files that tell whether workspaces on disk are the same ones here.
    """

    luigi: LuigiConfiguration
    stores: dict[str, str]
    folder: str | None
    marks: tuple[str, ...]

    def apply(self, worker: str) -> None:
        """Make this process's the same.

        Parameters
        ----------
        worker
            The address of this worker.

        Raises
        ------
        ConfigError
            When a workspace is not to be seen here.
        """
        os.chdir(self.folder if self.folder is not None and Path(self.folder).is_dir() else _HOME)
        until = time.monotonic() + _APPEAR_SECONDS
        missing = [mark for mark in self.marks if not _appears(Path(mark), until)]
        if missing:
            raise not_shared([str(Path(mark).parent) for mark in missing], [worker])
        self.luigi.apply()
        STORES.update(self.stores)


def not_shared(folders: Sequence[str], workers: Sequence[str]) -> ConfigError:
    """Return the error for workspaces that workers cannot see.

    Parameters
    ----------
    folders
        The workspaces.
    workers
        The workers' addresses.
    """
    shown = ", ".join(workers[:5]) + (f" and {len(workers) - 5} more" if len(workers) > 5 else "")
    return ConfigError(
        f"{' and '.join(sorted(set(folders)))} is not the same folder for {shown}",
        key="run.workspace",
        expected="a folder that all machines share, or s3:// or gs://",
    )


def part_name(build: str, number: int) -> str:
    """Return what the plugin of a part is called.

    Parameters
    ----------
    build, number
        The build, and which of its parts.
    """
    return f"kart-{build}-{number}"


class _Turns:
    """Whose state this process has, and who waits for another one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._running = 0
        self._build, self._parts = "", 0
        self._vocabulary = DefinitionTable(defines=False)

    @contextmanager
    def of(self, worker: Any, parcel: Parcel) -> Iterator[DefinitionTable]:
        """Have the state of a parcel's build inside the block."""
        vocabulary = here.get(parcel.build)
        if vocabulary is not None:
            yield vocabulary
            return
        with self._changed:
            self._wait(parcel)
            if not self._has(parcel):
                self._take_over(worker, parcel)
            self._running += 1
            vocabulary = self._vocabulary
        try:
            yield vocabulary
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _wait(self, parcel: Parcel) -> None:
        me = object()
        self._waiting.append(me)
        try:
            self._changed.wait_for(lambda: self._waiting[0] is me and (not self._running or self._has(parcel)))
        finally:
            self._waiting.remove(me)
            self._changed.notify_all()

    def _has(self, parcel: Parcel) -> bool:
        return self._build == parcel.build and self._parts >= parcel.parts

    def _take_over(self, worker: Any, parcel: Parcel) -> None:
        """Apply what has come since the last time; everything, when that was another build's."""
        parts = [worker.plugins.get(part_name(parcel.build, number)) for number in range(parcel.parts)]
        if None in parts:
            raise ExecutorError(f"the Dask worker {worker.address} was not told of this build; was it restarted?")
        known = self._parts if self._build == parcel.build else 0
        self._build, self._parts = "", 0  # until all is well
        if not known:
            self._vocabulary.forget()
            self._vocabulary = DefinitionTable(defines=False)
        packages = [Package(*package) for part in parts for package in part.packages]
        use(packages, Path(worker.local_directory) / "kart-code")
        if not known:
            state: State = pickle.loads(parts[0].state)
            state.apply(worker.address)
        for part in parts[known:]:
            for numbers, code in part.definitions:
                self._vocabulary.learn(numbers, code)
        if not known:
            choices: Choices = loads(parts[0].choices)
            choices.apply()
        self._build, self._parts = parcel.build, parcel.parts


_turns = _Turns()


def serve(worker: Any, data: bytes) -> Answer:
    """Run the call of a parcel, and return what it came to, in the form that `Work.settle` takes.

    Parameters
    ----------
    worker
        The Dask worker.
    data
        The pickled `Parcel`.
    """
    parcel: Parcel = pickle.loads(data)
    try:
        with _turns.of(worker, parcel) as vocabulary:
            if parcel.has_referee:
                _tell_scheduler(worker, parcel.key)
            return _run(worker, parcel, vocabulary)
    except NotImportable as error:
        return _failure(worker, NotImportable(error.module, error.why, worker.address), DefinitionTable(defines=False))
    except BaseException as error:  # noqa: BLE001 - whatever is wrong with the build's state
        return _failure(worker, error, DefinitionTable(defines=False))


def _run(worker: Any, parcel: Parcel, vocabulary: DefinitionTable) -> Answer:
    function, args, kwargs = loads(parcel.work)
    try:
        value = function(*args, **kwargs)
        failed = getattr(value, "error", None)  # an attempt states its failure
        if isinstance(failed, BaseException):
            failed.add_note(f"On the Dask worker {worker.address}.")
        return RESULT, vocabulary.dumps(value, f"the result of {parcel.name}"), ""
    except BaseException as error:  # noqa: BLE001 - also SystemExit: it ends the work, and not the worker
        return _failure(worker, error, vocabulary)


def _failure(worker: Any, error: BaseException, vocabulary: DefinitionTable) -> Answer:
    text = "".join(traceback.format_exception(error))
    with contextlib.suppress(Exception):
        error.add_note(f"On the Dask worker {worker.address}:\n{text}")
    try:
        return ERROR, vocabulary.dumps(error, "the error"), text
    except Exception:  # noqa: BLE001 - whatever its class does when it is pickled; its text arrives
        return ERROR, b"", text


def _tell_scheduler(worker: Any, key: str) -> None:
    """Have the scheduler know that an attempt begins, before it can end this process."""
    from distributed.utils import sync

    call: Callable[..., Any] = getattr(worker.scheduler, BEGAN)
    with contextlib.suppress(Exception):  # without it, only the count of deaths is less exact
        sync(worker.loop, call, callback_timeout=_TELL_SECONDS, key=key, worker=worker.address)


def _appears(path: Path, until: float) -> bool:
    while not path.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True
