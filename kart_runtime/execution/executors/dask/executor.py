"""Executor for a Dask cluster.

`client` connects and checks the cluster, `plugins` sends the program's state and its own `packages` to the workers,
and `call_stream` sends calls and fetches answers; `remote` is the code for where kart may be missing, and `worker` runs
the calls.

Dask runs the calls of a worker that died elsewhere; a scheduler plugin counts deaths, and fails a call that kills
workers. A call that is canceled, but not by us, means that the scheduler is lost.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import threading
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from kart_runtime.errors import ConfigError, ExecutorError, WorkersKilled
from kart_runtime.execution.executors.base import CallLimits, Rank, Report, TaskExecutor
from kart_runtime.execution.executors.calls import Answer, WorkItem
from kart_runtime.execution.executors.dask.call_stream import Call, CallStream
from kart_runtime.execution.executors.dask.client import check_pythons, check_workers, connect, lacks_kart, within
from kart_runtime.execution.executors.dask.plugins import ModuleTracker, StatePlugins
from kart_runtime.execution.executors.dask.remote import (
    PREFIX,
    UNFIT,
    make_call,
    make_death_counter,
    make_version,
)
from kart_runtime.execution.executors.dask.worker import CallMessage, own_tables, serve
from kart_runtime.storage.registry import split_url
from kart_runtime.storage.temporary import temporary_name

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

DEATHS = 3
"""Number of workers that may die running a call before it is failed."""

_DEATH_COUNTER = "kart-death-counter-1"
"""Name of the plugin on the scheduler; a new number for another behavior."""

_ON_START = "kart_call_started_1"
"""The death counter's handler on the scheduler, which workers call before they run a call."""

_REPORTS = "kart-progress-1"
"""Topic of the events by which workers report how far calls are; one for all builds, since a scheduler keeps the last
events of each topic. A new number for another form."""

_LOOK_SECONDS = 10.0
"""How often to look whether there are workers."""

_GRACE_SECONDS = 5.0
"""How long a cluster may take to forget a build."""


class DaskExecutor(TaskExecutor):
    """Runs calls on a Dask cluster.

    Parameters
    ----------
    address
        Address of the scheduler. None: the program's current `distributed.Client`, or the scheduler that Dask's
        configuration names.
    """

    def __init__(self, address: str | None = None) -> None:
        self._requested = address
        self._build = uuid.uuid4().hex
        self._lock = threading.RLock()
        self._table = ModuleTracker()
        self._client: Any = None
        self._address = ""
        self._owns_client = self._released = False
        self._on_start: str | None = None
        self._marks: list[Path] = []
        self._plugins: StatePlugins
        self._stream: CallStream
        self._lost: ExecutorError | None = None
        self._receives_reports = False
        self._warned: set[str] = set()
        self._closed = threading.Event()

    def open(self, classes: Iterable[type] = (), workspaces: Iterable[str] = ()) -> None:
        """Connect to the cluster, check that it is fit for the calls, and send it the program's state.

        Parameters
        ----------
        classes
            The task classes, as far as they are known.
        workspaces
            The tasks' workspaces.

        Raises
        ------
        ConfigError
            When there is no cluster, its workers lack kart or run another Python, or do not see a workspace.
        """
        if self._client is not None:
            return
        folders = [folder for workspace in workspaces if (folder := _folder(workspace)) is not None]
        here = os.getcwd()  # noqa: PTH109 - as text, for another machine
        relative = not all(map(os.path.isabs, folders))
        client, self._owns_client = connect(self._requested)
        self._client, self._address = client, str(client.scheduler.address)
        self._plugins = StatePlugins(client, self._build, self._table)
        try:
            check_pythons(client)
            self._marks = _mark({os.path.join(here, folder) for folder in folders}, self._build)  # noqa: PTH118
            check_workers(client, self._marks)
            self._count_deaths()
            own_tables[self._build] = self._table
            self._stream = CallStream(client, make_call(make_version()(), serve.__module__), self._settle, self._fail)
            self._plugins.send_state(classes, here if relative else None, map(str, self._marks))
            self._look_at_workers()
        except BaseException:
            self._release()
            raise
        threading.Thread(target=self._watch, name="kart-dask", daemon=True).start()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have a worker run a function, and return its future.

        The future fails with `CannotSend` when the call or its result cannot be pickled, with `NotImportable` when the
        worker cannot import a module of it, with `WorkersKilled` when it has killed three workers, and with
        `ExecutorError` when the cluster is lost.
        """
        return self._submit(fn, args, kwargs, -1.0)

    def submit_ranked(
        self,
        rank: Rank,
        fn: Callable[[], R],
        limits: CallLimits | None = None,  # noqa: ARG002
        report: Report | None = None,
    ) -> Future[R]:
        """Have a worker run a function, those of the highest rank first."""
        # Below what others run there, and what a call itself may compute on the cluster: that has the priority 0.
        return self._submit(fn, (), {}, rank[0] - 1 / (1 + rank[1]), report)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and have the cluster forget this program when all have ended."""
        self._closed.set()
        if cancel_futures:
            self._cancel()
        if wait:
            self._finish()
        else:
            threading.Thread(target=self._finish, name="kart-dask-end", daemon=True).start()

    def close(self, kill: bool = False) -> None:
        """Shut down; `kill` drops what has not ended, though what runs on a worker goes on there."""
        self.shutdown(cancel_futures=kill)

    # -- before anything runs ------------------------------------------------------------------------------------

    def _count_deaths(self) -> None:
        try:
            self._client.register_plugin(make_death_counter(PREFIX, DEATHS, _ON_START), name=_DEATH_COUNTER)
            self._on_start = _ON_START
        except Exception as error:  # noqa: BLE001 - whatever a scheduler has against it
            logger.warning(
                "The Dask scheduler accepts no plugin (%s): its setting allowed-failures decides when to give up on a "
                "task that kills workers.",
                error,
            )

    def _watch(self) -> None:
        """Warn, once each, of a cluster without workers, and of workers with several threads."""
        while not self._closed.wait(_LOOK_SECONDS):
            try:
                self._look_at_workers()
            except Exception:  # noqa: BLE001 - the scheduler is lost; the futures will say so
                return

    def _look_at_workers(self) -> None:
        threads = self._client.nthreads().values()
        if any(number > 1 for number in threads):
            self._warn_once(
                "Some Dask workers have several threads, which share the global random generators: draw from self.rng, "
                "or start workers with --nthreads 1."
            )
        if self._stream.pending and not threads:
            self._warn_once(f"The Dask cluster at {self._address} has no workers yet; waiting for some to join.")

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            logger.warning(text)

    # -- calls ---------------------------------------------------------------------------------------------------

    def _submit(
        self, fn: Callable[..., R], args: Any, kwargs: Any, priority: float, report: Report | None = None
    ) -> Future[R]:
        if self._closed.is_set():
            raise RuntimeError("the executor is closed; nothing can be submitted any more")
        self.open()
        future: Future[R] = Future()
        name = str(getattr(fn, "__qualname__", type(fn).__qualname__))
        try:
            if self._lost is not None:
                raise self._lost
            key = f"{PREFIX}{_label(fn)}-{uuid.uuid4().hex}"
            with self._lock:
                pickled = self._table.dumps((fn, args, kwargs), f"the call of {name}")
                n_plugins = self._plugins.send_new()
            topic = self._reports_topic() if report is not None else None
            message = CallMessage(self._build, n_plugins, key, self._on_start, pickled, name, topic)
            self._stream.put(Call(WorkItem(future, b"", name, report=report), key, pickle.dumps(message), priority))
        except ExecutorError as error:
            future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - whatever Dask raises without a scheduler
            future.set_exception(self._explain(error))
        return future

    def _reports_topic(self) -> str:
        """Return the topic of the cluster's events under which workers report, which this program receives."""
        if not self._receives_reports:
            self._receives_reports = True
            self._client.subscribe_topic(_REPORTS, self._receive_report)
        return _REPORTS

    def _receive_report(self, event: tuple[float, Any]) -> None:
        """Pass on the report of a call of this build; called in the client's event loop."""
        with contextlib.suppress(Exception):  # it may be of another version
            key, done, text = event[1]
            call = self._stream.sent(key)
            if call is not None and call.work.report is not None:
                call.work.report(done, text)

    def _settle(self, call: Call, answer: Answer) -> None:
        tag, version, worker = answer
        if tag == UNFIT:
            call.work.future.set_exception(ExecutorError(lacks_kart([worker], version.decode() or None)))
        else:
            call.work.settle(answer)

    def _fail(self, call: Call, error: BaseException) -> None:
        call.work.future.set_exception(self._explain(error))

    def _explain(self, error: BaseException) -> ExecutorError:
        """Return what it means that Dask did not bring an answer."""
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            deaths = DEATHS if self._on_start is not None else error.allowed_failures + 1
            return WorkersKilled(deaths, str(error.last_worker.address))
        cause = f"{type(error).__name__}: {error}".rstrip(". \n")
        if self._client.status != "running":
            self._lost = ExecutorError(f"Lost the connection to the Dask scheduler at {self._address}: {cause}.")
            return self._lost
        return ExecutorError(f"The Dask cluster at {self._address} did not run the task: {cause}.")

    # -- the end -------------------------------------------------------------------------------------------------

    def _cancel(self) -> None:
        pending = {} if self._client is None or self._released else dict(self._stream.pending)
        for future in pending:
            future.cancel()
        if pending:
            self._warn_once(
                f"Tasks that are running on the Dask cluster at {self._address} cannot be canceled and keep their "
                "workers busy. Call Client.restart() to stop them."
            )
            sent = [dask_future for dask_future in pending.values() if dask_future is not None]
            with contextlib.suppress(Exception):
                within(_GRACE_SECONDS, lambda: self._client.cancel(sent))

    def _finish(self) -> None:
        if self._client is not None and not self._released:
            wait([future for future in list(self._stream.pending) if not future.cancelled()])
        self._release()

    def _release(self) -> None:
        """Have the cluster, and this process, forget the build; nothing happens the second time."""
        with self._lock:
            if self._client is None or self._released:
                return
            self._released = True
        if self._lost is None:
            with contextlib.suppress(Exception):
                within(_GRACE_SECONDS, self._plugins.withdraw)
            with contextlib.suppress(Exception):
                if self._receives_reports:
                    self._client.unsubscribe_topic(_REPORTS)
        for mark in self._marks:
            with contextlib.suppress(OSError):
                mark.unlink()
        own_tables.pop(self._build, None)
        self._table.forget()
        if self._owns_client:
            with contextlib.suppress(Exception):
                self._client.close(timeout=_GRACE_SECONDS)


def _folder(workspace: str) -> str | None:
    """Return the folder of a workspace on disk, None for one that every machine can reach."""
    scheme, path = split_url(workspace)
    if scheme == "memory":
        raise ConfigError(
            "the workers of a Dask cluster cannot see the memory of this process",
            key="run.workspace",
            expected="a folder that all machines share, or s3:// or gs://",
        )
    return os.path.expanduser(path) if scheme in {"", "file"} else None  # noqa: PTH111 - as text, like the workspace


def _mark(folders: Iterable[str], build: str) -> list[Path]:
    """Write a file into each workspace on disk, by which workers recognize it; return the files."""
    marks = [Path(os.path.abspath(folder), f"{temporary_name()}-{build}") for folder in sorted(folders)]  # noqa: PTH100
    for mark in marks:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return marks


def _label(fn: Callable[..., Any]) -> str:
    """Return what Dask's dashboard shows, and groups calls by: the class of an attempt's task."""
    task = getattr(getattr(fn, "__self__", None), "task", None)
    return type(task).__name__ if task is not None else str(getattr(fn, "__name__", "call"))
