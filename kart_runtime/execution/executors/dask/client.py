"""Connection to a Dask cluster, and the checks that it is fit for a build."""

from __future__ import annotations

import platform
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from kart_runtime.errors import ConfigError, ExecutorError, how_to_add
from kart_runtime.execution.executors.dask.remote import make_check, make_version
from kart_runtime.execution.executors.dask.worker import first_of, not_shared
from kart_runtime.storage.time_limits import network_timeout

R = TypeVar("R")

_CONNECT_SECONDS = 10

_KEY = "run.address"
_ADDRESS = "an address such as tcp://HOST:8786"


def connect(address: str | None) -> tuple[Any, bool]:
    """Return a `distributed.Client`, and whether it is new, or raise `ConfigError` within a bounded time.

    Without an address: the program's current client, or the scheduler that Dask's configuration names.
    """
    distributed = _import_distributed()
    if address is None:
        client = _current_client(distributed)
        if client is not None:
            return client, False
        address = import_module("dask").config.get("scheduler-address", None)
    if not address:
        raise ConfigError(
            "no Dask cluster is configured. Set run.address or DASK_SCHEDULER_ADDRESS, or create a distributed.Client "
            "first",
            key=_KEY,
            expected=_ADDRESS,
        )

    seconds = min(_CONNECT_SECONDS, network_timeout())

    def new_client() -> Any:
        return distributed.Client(address, timeout=seconds, set_as_default=False)

    try:
        return within(seconds + 1, new_client), True  # a scheduler may accept, and never answer
    except Exception as error:
        cause = f"{type(error).__name__}: {error}".rstrip(". \n")
        raise ConfigError(
            f"no Dask scheduler answers at {address} ({cause})", key=_KEY, expected=f"{_ADDRESS} that answers"
        ) from error


def within(seconds: float, function: Callable[[], R]) -> R:
    """Call a function that may never return; raise `TimeoutError` after some seconds."""
    results: list[R] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - raised by the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="kart-dask-call", daemon=True)
    thread.start()
    thread.join(seconds)
    for error in errors:
        raise error
    if not results:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return results[0]


def not_answering(address: str, seconds: float, workers: Sequence[str] = (), *, known: bool = False) -> ExecutorError:
    """Return the error for a cluster that does not answer, and for which of its `workers`; `known` if it says so."""
    who = f"workers {first_of(workers)}" if workers else "workers" if known else "scheduler"
    of = f"the Dask cluster at {address}" if known else f"at {address}"
    return ExecutorError(
        f"The {'Dask ' if not known else ''}{who} {'of ' if known else ''}{of} did not answer within {seconds:.0f} s: "
        "restart what hangs, and run again; what has been stored is not computed again. `run.network_timeout` says how "
        "long to wait."
    )


def no_workers(address: str, seconds: float) -> ExecutorError:
    """Return the error for a cluster without workers."""
    return ExecutorError(
        f"The Dask cluster at {address} has had no workers for {seconds:.0f} s: start some, for example by `dask "
        f"worker {address}`, and run again. For workers that take long to start, raise `run.network_timeout`."
    )


def no_workers_limit(seconds: float) -> float:
    """Return the seconds to wait for workers: those of Dask's configuration, else `seconds`."""
    dask = import_module("dask")
    text = dask.config.get("distributed.scheduler.no-workers-timeout", None)
    return float(dask.utils.parse_timedelta(text)) if text else seconds


def _import_distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        raise ConfigError(
            f"the dask executor needs a library that is missing ({error}). {how_to_add('dask')}",
            key="run.executor",
        ) from error


def _current_client(distributed: Any) -> Any:
    try:
        client = distributed.Client.current()
    except ValueError:  # there is none
        return None
    if client.asynchronous:
        raise ConfigError(
            "the current Dask client is asynchronous, and a build waits for its tasks",
            key=_KEY,
            expected=f"a client created without asynchronous=True, or {_ADDRESS}",
        )
    return client


def check_pythons(client: Any) -> None:
    """Raise `ConfigError` for a cluster with another Python, where code that is sent would not run."""
    versions = client.get_versions()
    here = platform.python_version_tuple()[:2]
    for where, version in {"the scheduler": versions["scheduler"], **versions["workers"]}.items():
        python = version["host"]["python"] if version else None
        if python and tuple(python.split(".")[:2]) != here:
            raise ConfigError(
                f"{where} of the Dask cluster runs Python {'.'.join(python.split('.')[:3])}, and this program "
                f"{platform.python_version()}",
                key=_KEY,
                expected=f"Python {'.'.join(here)} on the scheduler and all workers",
            )


def check_workers(client: Any, marks: Sequence[Path]) -> None:
    """Raise `ConfigError` for workers without this version of kart, or that do not see a file in each workspace."""
    answers = client.run(make_check([str(mark) for mark in marks]), on_error="return")
    checks = {worker: check for worker, check in answers.items() if not isinstance(check, BaseException)}
    here = make_version()()
    unfit: defaultdict[str | None, list[str]] = defaultdict(list)
    for worker, (version, _) in checks.items():
        if version != here:
            unfit[version].append(worker)
    for version, workers in unfit.items():
        raise ConfigError(lacks_kart(workers, version), key=_KEY)
    blind = [worker for worker, (_, missing) in checks.items() if missing]
    if blind:
        raise not_shared([str(mark.parent) for mark in marks], blind)


def lacks_kart(workers: list[str], version: str | None) -> str:
    """Return the message for workers that have another version of kart, or none."""
    has = f"kart-runtime {version}" if version else "no matching kart-runtime"
    return (
        f"the Dask workers {first_of(workers)} have {has}: install the same version "
        f"where they run, kart-runtime[dask] {make_version()()}, and restart them"
    )
