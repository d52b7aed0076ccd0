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
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from kart_runtime.errors import ConfigError, ExecutorError, WorkersKilled, described
from kart_runtime.execution.executors.base import CallLimits, Rank, Report, TaskExecutor
from kart_runtime.execution.executors.calls import Answer, WorkItem
from kart_runtime.execution.executors.dask.call_stream import Call, CallStream
from kart_runtime.execution.executors.dask.client import (
    check_pythons,
    check_workers,
    connect,
    lacks_kart,
    no_workers,
    no_workers_limit,
    not_answering,
    within,
)
from kart_runtime.execution.executors.dask.limited import can_be_restarted, end_calls, has_calls
from kart_runtime.execution.executors.dask.plugins import ModuleTracker, StatePlugins
from kart_runtime.execution.executors.dask.remote import (
    PREFIX,
    UNFIT,
    make_ages,
    make_call,
    make_death_counter,
    make_kill,
    make_version,
)
from kart_runtime.execution.executors.dask.worker import CallMessage, first_of, own_tables, serve
from kart_runtime.execution.time_limit import Stack, TaskTimeout
from kart_runtime.storage.registry import split_url
from kart_runtime.storage.temporary import temporary_name
from kart_runtime.storage.time_limits import network_timeout

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

_STARTS = "kart-started-1"
"""Topic of the events by which workers say that the time of a call begins."""

_LATE_SECONDS = 5.0
"""How long a worker may take to answer a call whose time is over, before it is restarted."""

_KILL_SECONDS = 10.0
"""How long the nanny of a worker may take to kill it, which starts another one by itself."""

_LOOK_SECONDS = 10.0
"""How often to look whether there are workers."""

_PAUSE_SECONDS = 0.05
"""How often to ask whether an interrupted call has ended."""

_GRACE_SECONDS, _INTERRUPTED_SECONDS = 5.0, 2.0
"""How long a cluster may take to forget a build, and one that was interrupted or is lost."""

_SILENT_SECONDS = 10.0
"""Seconds without a sign of life after which a worker is named as the one that may hang."""


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
        self._receives_reports = self._receives_starts = False
        self._timers: dict[str, threading.Timer] = {}
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
            self._in_time(lambda: check_pythons(client))
            self._marks = _mark({os.path.join(here, folder) for folder in folders}, self._build)  # noqa: PTH118
            self._in_time(lambda: check_workers(client, self._marks))
            self._in_time(self._count_deaths)
            own_tables[self._build] = self._table
            self._stream = CallStream(client, make_call(make_version()(), serve.__module__), self._settle, self._fail)
            folder = here if relative else None
            self._in_time(lambda: self._plugins.send_state(classes, folder, map(str, self._marks)))
            self._in_time(self._look_at_workers)
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
        limits: CallLimits | None = None,
        report: Report | None = None,
    ) -> Future[R]:
        """Have a worker run a function, those of the highest rank first; the time of an attempt may be limited."""
        # Below what others run there, and what a call itself may compute on the cluster: that has the priority 0.
        return self._submit(fn, (), {}, rank[0] - 1 / (1 + rank[1]), report, limits)

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
        """Shut down; `kill` drops what has not ended, and ends what runs on the workers."""
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

    def _in_time(self, function: Callable[[], object]) -> None:
        """Call what asks the cluster; raise `ExecutorError` when it does not answer in time."""
        limit = network_timeout()
        try:
            within(limit, function)
        except TimeoutError as error:
            ages: Mapping[str, float] = {}
            with contextlib.suppress(Exception):
                ages = within(min(_GRACE_SECONDS, limit), lambda: self._client.run_on_scheduler(make_ages()))
            silent = [worker for worker, age in ages.items() if age > min(limit, _SILENT_SECONDS)]
            raise not_answering(self._address, limit, silent, known=bool(ages)) from error

    def _watch(self) -> None:
        """Look at the cluster now and then, and fail what waits for one that does not answer or has no workers."""
        lonely_since: float | None = None
        while not self._closed.wait(min(_LOOK_SECONDS, network_timeout() / 4)):
            limit = network_timeout()
            try:
                within(limit, self._look_at_workers)
                ages = within(limit, lambda: self._client.run_on_scheduler(make_ages()))
            except TimeoutError:
                self._give_up(not_answering(self._address, limit))
                return
            except Exception as error:  # noqa: BLE001 - the scheduler is lost
                if self._client.status != "running":
                    self._give_up(self._explain(error))
                    return
                continue
            self._warn_of_silent(ages, limit)
            if ages or not self._stream.pending:
                lonely_since = None
                continue
            lonely_since = lonely_since or time.monotonic()
            if time.monotonic() - lonely_since >= no_workers_limit(limit):
                self._give_up(no_workers(self._address, time.monotonic() - lonely_since))
                return

    def _warn_of_silent(self, ages: Mapping[str, float], limit: float) -> None:
        for worker, age in ages.items():
            if age > limit:
                self._warn_once(
                    f"The Dask worker {worker} has not answered for {limit:.0f} s: if it hangs, end it, and its tasks "
                    "run on another one. The scheduler does so after `distributed.scheduler.worker-ttl`."
                )

    def _give_up(self, error: ExecutorError) -> None:
        """Fail everything that waits for the cluster, and what is submitted from now on."""
        self._lost = error
        sent = [future for future in self._stream.pending.values() if future is not None]
        self._client.loop.add_callback(self._stream.abandon, error)
        with contextlib.suppress(Exception):
            within(_GRACE_SECONDS, lambda: self._client.cancel(sent))

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

    def _submit(  # noqa: PLR0917
        self,
        fn: Callable[..., R],
        args: Any,
        kwargs: Any,
        priority: float,
        report: Report | None = None,
        limits: CallLimits | None = None,
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
            if limits is not None and limits.timeout is not None:
                started = self._starts_topic()
                message = replace(message, timeout=limits.timeout, started=started, task=limits.name)
            work = WorkItem(future, b"", name, limits, report)
            self._stream.put(Call(work, key, pickle.dumps(message), priority))
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

    def _starts_topic(self) -> str:
        """Return the topic of the cluster's events under which workers say that the time of a call begins."""
        if not self._receives_starts:
            self._receives_starts = True
            self._client.subscribe_topic(_STARTS, self._receive_start)
        return _STARTS

    def _receive_start(self, event: tuple[float, Any]) -> None:
        """Wait for the answer of a call of this build for as long as it may take; called in the client's event loop."""
        with contextlib.suppress(Exception):  # it may be of another version
            key, where, worker = event[1]
            call = self._stream.sent(key)
            limits = None if call is None else call.work.limits
            if call is not None and limits is not None and limits.timeout is not None:
                self._forget_timer(call)  # of a worker that died
                seconds = limits.timeout + _LATE_SECONDS if where is None else 0.0
                timer = threading.Timer(seconds, self._end_late, (call, limits.timeout, worker, where))
                timer.daemon = True
                self._timers[key] = timer
                timer.start()

    def _forget_timer(self, call: Call) -> None:
        timer = self._timers.pop(call.key, None)
        if timer is not None:
            timer.cancel()

    def _end_late(self, call: Call, timeout: float, worker: str, where: Stack | None) -> None:
        """Fail a call whose worker cannot end it, or does not answer in time, and restart the worker."""
        future = self._stream.pending.get(call.work.future)
        how = "" if where is not None else ", which does not answer"
        name = call.work.limits.name if call.work.limits is not None else call.work.name
        stack = [(str(file), int(line), str(function)) for file, line, function in where or ()]
        if not call.work.expire(TaskTimeout(name, timeout, stack, f"was ended with the Dask worker {worker}{how}")):
            return
        self._stream.drop(call)
        with contextlib.suppress(Exception):
            within(_GRACE_SECONDS, lambda: self._client.cancel([future], force=True))
        try:
            kill = make_kill()
            within(_KILL_SECONDS, lambda: self._client.run(kill, workers=[worker], nanny=True))
        except Exception as error:  # noqa: BLE001 - without a nanny, for example
            self._warn_once(f"The Dask worker {worker} does not answer, and cannot be restarted: {described(error)}.")

    def _receive_report(self, event: tuple[float, Any]) -> None:
        """Pass on the report of a call of this build; called in the client's event loop."""
        with contextlib.suppress(Exception):  # it may be of another version
            key, done, text = event[1]
            call = self._stream.sent(key)
            if call is not None and call.work.report is not None:
                call.work.report(done, text)

    def _settle(self, call: Call, answer: Answer) -> None:
        self._forget_timer(call)
        tag, version, worker = answer
        if tag == UNFIT:
            call.work.future.set_exception(ExecutorError(lacks_kart([worker], version.decode() or None)))
        else:
            call.work.settle(answer)

    def _fail(self, call: Call, error: BaseException) -> None:
        self._forget_timer(call)
        call.work.future.set_exception(self._explain(error))

    def _explain(self, error: BaseException) -> ExecutorError:
        """Return what it means that Dask did not bring an answer."""
        from distributed import KilledWorker

        if isinstance(error, ExecutorError):
            return error
        if isinstance(error, KilledWorker):
            deaths = DEATHS if self._on_start is not None else error.allowed_failures + 1
            return WorkersKilled(deaths, str(error.last_worker.address))
        cause = f"{type(error).__name__}: {error}".rstrip(". \n")
        if self._client.status != "running":
            self._lost = ExecutorError(
                f"Lost the connection to the Dask scheduler at {self._address}: {cause}. Start it again, and run "
                "again; what has been stored is not computed again."
            )
            return self._lost
        return ExecutorError(f"The Dask cluster at {self._address} did not run the task: {cause}.")

    # -- the end -------------------------------------------------------------------------------------------------

    def _cancel(self) -> None:
        pending = {} if self._client is None or self._released else dict(self._stream.pending)
        for future in pending:
            future.cancel()
        sent = [dask_future for dask_future in pending.values() if dask_future is not None]
        if sent:
            workers: list[str] = []
            with contextlib.suppress(Exception):
                workers = within(_INTERRUPTED_SECONDS, lambda: self._workers_of({future.key for future in sent}))
            with contextlib.suppress(Exception):
                within(_INTERRUPTED_SECONDS, lambda: self._client.cancel(sent, force=True))
            busy = [worker for worker in workers if self._goes_on(worker)]
            if busy:
                self._warn_once(
                    f"Tasks go on, and nothing that they dump is wanted, on the Dask workers {first_of(busy)}: they "
                    "have several threads or no nanny, or do not answer. Restart them to have them free."
                )

    def _workers_of(self, keys: set[str]) -> list[str]:
        """Return the workers that have some of these calls."""
        return [worker for worker, calls in self._client.processing().items() if not keys.isdisjoint(calls)]

    def _goes_on(self, worker: str) -> bool:
        """End the calls of this build on a worker, and the worker if they go on; return whether they still do."""
        try:
            run = partial(self._client.run, workers=[worker])
            within(_INTERRUPTED_SECONDS, lambda: run(end_calls, self._build))
            until = time.monotonic() + _INTERRUPTED_SECONDS
            while within(_INTERRUPTED_SECONDS, lambda: run(has_calls, self._build))[worker]:
                if time.monotonic() > until:
                    if not within(_INTERRUPTED_SECONDS, lambda: run(can_be_restarted))[worker]:
                        return True
                    within(_KILL_SECONDS, lambda: run(make_kill(), nanny=True))
                    return False
                time.sleep(_PAUSE_SECONDS)
        except Exception:  # noqa: BLE001 - it does not answer, or has no nanny
            return True
        return False

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
                    within(_GRACE_SECONDS, lambda: self._client.unsubscribe_topic(_REPORTS))
                if self._receives_starts:
                    within(_GRACE_SECONDS, lambda: self._client.unsubscribe_topic(_STARTS))
        for mark in self._marks:
            with contextlib.suppress(OSError):
                mark.unlink()
        own_tables.pop(self._build, None)
        self._table.forget()
        if self._owns_client:
            with contextlib.suppress(Exception):
                seconds = _INTERRUPTED_SECONDS if self._lost else _GRACE_SECONDS
                within(2 * seconds, lambda: self._client.close(timeout=seconds))


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
