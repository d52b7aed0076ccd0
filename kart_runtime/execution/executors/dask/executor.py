"""How do tasks run on a Dask cluster? As calls in bytes, for which each worker has been told what it needs to know.

From the program to the work and back::

    dask_client   connect, check_workers      which cluster, and is it fit
    dask_cluster  DaskExecutor                what is submitted and taken back
    dask_parts    Parts                       what workers are told
    dask_code     own_packages, pack, use     the program's own packages
    dask_sent     make_call, make_part, ...   what passes where kart may be missing
    dask_worker   serve                       the work, seen from a worker

Dask runs the work of a worker that died elsewhere; on its scheduler a referee of ours sees that work which kills
workers is given up. Work that is cancelled, but not by us, means that the scheduler is lost.
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
from kart_runtime.execution.executors.base import TaskExecutor
from kart_runtime.execution.executors.calls import WorkItem
from kart_runtime.execution.executors.dask.client import check_pythons, check_workers, connect, lacks_kart
from kart_runtime.execution.executors.dask.plugins import NotingVocabulary, Parts
from kart_runtime.execution.executors.dask.remote import PREFIX, UNFIT, Answer, make_call, make_referee, make_version
from kart_runtime.execution.executors.dask.worker import Parcel
from kart_runtime.execution.executors.dask.worker import here as own_vocabularies
from kart_runtime.storage.registry import split_url

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

DEATHS = 3
"""At which death of a worker its work is given up."""

_REFEREE = "kart-referee-1"
"""The plugin's name on the scheduler; another number for another behaviour."""

_LOOK_SECONDS = 10.0
"""How often it is asked whether there are workers at all."""

_GRACE_SECONDS = 5.0
"""How long a cluster may take to forget a build."""


class DaskExecutor(TaskExecutor):
    """Runs what is submitted on a Dask cluster.

    Parameters
    ----------
    address
        The scheduler's. None: the program's current `distributed.Client`, else the one that Dask's configuration names.
    """

    def __init__(self, address: str | None = None) -> None:
        self._wanted = address
        self._build = uuid.uuid4().hex
        self._lock = threading.RLock()
        self._vocabulary = NotingVocabulary()
        self._client: Any = None
        self._address = ""
        self._owns = self._has_referee = False
        self._parts: Parts | None = None
        self._call: Callable[[bytes], Answer] | None = None
        self._marks: list[Path] = []
        self._pending: dict[Future[Any], Any] = {}
        """Our future to Dask's, which keeps the work alive on the cluster."""
        self._lost: ExecutorError | None = None
        self._warned: set[str] = set()
        self._closed = threading.Event()
        self._released = False

    def open(self, classes: Iterable[type] = (), workspaces: Iterable[str] = ()) -> None:
        """Connect to the cluster, see that it is fit for the work, and tell it of the program.

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
        self._client, self._owns = connect(self._wanted)
        try:
            self._address = str(self._client.scheduler.address)
            check_pythons(self._client)
            self._marks = _mark({os.path.join(here, folder) for folder in folders}, self._build)  # noqa: PTH118
            check_workers(self._client, self._marks)
            self._appoint_referee()
            own_vocabularies[self._build] = self._vocabulary
            self._call = make_call(make_version()())
            self._parts = Parts(self._client, self._build, self._vocabulary)
            self._parts.gather(classes, here if relative else None, map(str, self._marks))
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

    def submit_ranked(self, rank: tuple[float, float], fn: Callable[[], R]) -> Future[R]:
        """Have a worker run a function, those of the highest rank first.

        Parameters
        ----------
        rank
            A priority, and the seconds of what has to follow.
        fn
            The function.
        """
        # Below what others run there, and what the work itself may compute on the cluster: that has the priority 0.
        return self._submit(fn, (), {}, rank[0] - 1 / (1 + rank[1]))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work, and have the cluster forget this program when everything has ended.

        Parameters
        ----------
        wait
            Whether to wait for that.
        cancel_futures
            Whether what has not ended is dropped.
        """
        self._closed.set()
        if cancel_futures:
            self._drop()
        if wait:
            self._finish()
        else:
            threading.Thread(target=self._finish, name="kart-dask-end", daemon=True).start()

    def close(self, kill: bool = False) -> None:
        """End the work.

        Parameters
        ----------
        kill
            Drop what has not ended, as after Ctrl-C. What runs on a worker goes on there, and nobody hears of it.
        """
        self.shutdown(cancel_futures=kill)

    # -- before anything runs ------------------------------------------------------------------------------------

    def _appoint_referee(self) -> None:
        try:
            self._client.register_plugin(make_referee(PREFIX, DEATHS), name=_REFEREE)
            self._has_referee = True
        except Exception as error:  # noqa: BLE001 - whatever a scheduler has against it
            logger.warning(
                "The Dask scheduler takes no plugin (%s): a task that kills workers is given up as its setting "
                "allowed-failures says.",
                error,
            )

    def _watch(self) -> None:
        """Say so, once each, when work waits although there are no workers, and when workers have several threads."""
        while not self._closed.wait(_LOOK_SECONDS):
            try:
                self._look_at_workers()
            except Exception:  # noqa: BLE001 - the scheduler is lost; the futures will tell
                return

    def _look_at_workers(self) -> None:
        threads = self._client.nthreads().values()
        if any(number > 1 for number in threads):
            self._warn_once(
                "Some Dask workers have several threads, which share the global random generators: draw from self.rng, "
                "or start workers with --nthreads 1."
            )
        if self._pending and not threads:
            self._warn_once(f"The Dask cluster at {self._address} has no workers; tasks wait for some to come.")

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            logger.warning(text)

    # -- work ----------------------------------------------------------------------------------------------------

    def _submit(self, fn: Callable[..., R], args: Any, kwargs: Any, priority: float) -> Future[R]:
        if self._closed.is_set():
            raise RuntimeError("the executor is closed; nothing can be submitted any more")
        self.open()
        future: Future[R] = Future()
        name = str(getattr(fn, "__qualname__", type(fn).__qualname__))
        try:
            if self._lost is not None:
                raise self._lost
            with self._lock:
                work = self._vocabulary.dumps((fn, args, kwargs), f"the call of {name}")
                sent = self._send(work, name, f"{PREFIX}{_label(fn)}-{uuid.uuid4().hex}", priority)
        except ExecutorError as error:
            future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - whatever Dask raises without a scheduler
            future.set_exception(self._trouble(error))
        else:
            self._pending[future] = sent
            self._client.loop.add_callback(self._follow, WorkItem(future, b"", name), sent)
        return future

    def _send(self, work: bytes, name: str, key: str, priority: float) -> Any:
        parts = self._parts.tell() if self._parts is not None else 0
        parcel = Parcel(self._build, parts, key, self._has_referee, work, name)
        return self._client.submit(self._call, pickle.dumps(parcel), key=key, pure=False, priority=priority)

    async def _follow(self, work: WorkItem, sent: Any) -> None:
        """Give our future what becomes of Dask's; runs in the client's loop, and must not wait for the lock."""
        error: BaseException | None = None
        answer: Answer = UNFIT, b"", ""
        try:
            answer = await sent
            if answer[0] == UNFIT:
                error = ExecutorError(lacks_kart([answer[2]], answer[1].decode() or None))
        except BaseException as raised:  # noqa: BLE001 - cancellation, too, is news for our future
            error = self._trouble(raised)
        self._pending.pop(work.future, None)
        if not work.future.set_running_or_notify_cancel():
            return
        if error is None:
            work.settle(answer)
        else:
            work.future.set_exception(error)

    def _trouble(self, error: BaseException) -> ExecutorError:
        """Return what it means that Dask did not bring an answer."""
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            deaths = DEATHS if self._has_referee else error.allowed_failures + 1
            return WorkersKilled(deaths, str(error.last_worker.address))
        found = f"{type(error).__name__}: {error}".rstrip(". \n")
        if self._client.status != "running":
            self._lost = ExecutorError(f"The connection to the Dask scheduler at {self._address} is lost: {found}.")
            return self._lost
        return ExecutorError(f"The Dask cluster at {self._address} did not run the work: {found}.")

    # -- the end -------------------------------------------------------------------------------------------------

    def _drop(self) -> None:
        pending = dict(self._pending)
        for future in pending:
            future.cancel()
        if pending:
            self._warn_once(
                f"What runs on the Dask cluster at {self._address} goes on there until it ends, and keeps its workers "
                "from other work; the restart() of a distributed.Client ends it."
            )
            _within_grace(lambda: self._client.cancel(list(pending.values())))

    def _finish(self) -> None:
        wait([future for future in list(self._pending) if not future.cancelled()])
        self._release()

    def _release(self) -> None:
        """Have the cluster, and this process, forget the build; nothing happens the second time."""
        with self._lock:
            client, parts, marks = self._client, self._parts, self._marks
            if client is None or self._released:
                return
            self._released = True
        if parts is not None and self._lost is None:
            _within_grace(parts.withdraw)
        for mark in marks:
            with contextlib.suppress(OSError):
                mark.unlink()
        own_vocabularies.pop(self._build, None)
        self._vocabulary.forget()
        if self._owns:
            with contextlib.suppress(Exception):
                client.close(timeout=_GRACE_SECONDS)


def _folder(workspace: str) -> str | None:
    """Return the folder of a workspace on disk, None for one that every machine can reach."""
    scheme, path = split_url(workspace)
    if scheme == "memory":
        raise ConfigError(
            "the memory of this process is not to be seen from the workers of a Dask cluster",
            key="run.workspace",
            expected="a folder that all machines share, or s3:// or gs://",
        )
    return os.path.expanduser(path) if scheme in {"", "file"} else None  # noqa: PTH111 - as text, like the workspace


def _mark(folders: Iterable[str], build: str) -> list[Path]:
    """Write a file into each workspace on disk, by which workers recognise it; return the files."""
    marks = [Path(os.path.abspath(folder), f".kart-dask-{build}") for folder in sorted(folders)]  # noqa: PTH100
    for mark in marks:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return marks


def _label(fn: Callable[..., Any]) -> str:
    """Return what Dask's dashboard shows, and groups work by: the class of an attempt's task."""
    task = getattr(getattr(fn, "__self__", None), "task", None)
    return type(task).__name__ if task is not None else str(getattr(fn, "__name__", "call"))


def _within_grace(function: Callable[[], Any]) -> None:
    """Call something that a cluster may never answer, and do not wait long for it."""

    def quietly() -> None:
        with contextlib.suppress(Exception):
            function()

    thread = threading.Thread(target=quietly, name="kart-dask-end", daemon=True)
    thread.start()
    thread.join(_GRACE_SECONDS)
