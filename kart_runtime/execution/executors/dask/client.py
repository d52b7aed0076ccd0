"""Which Dask cluster does a build use, and is it fit for it? The one named, else the program's current client's.

Called by `dask_cluster` before anything runs.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from kart_runtime.errors import ConfigError
from kart_runtime.execution.executors.dask.remote import make_look, make_version
from kart_runtime.execution.executors.dask.worker import not_shared

_CONNECT_SECONDS = 10

_KEY = "run.address"
_ADDRESS = "an address such as tcp://HOST:8786"


def connect(address: str | None) -> tuple[Any, bool]:
    """Return a `distributed.Client`, and whether it was made here.

    Parameters
    ----------
    address
        The scheduler's. None: the program's current client, else the address that Dask's configuration names.

    Raises
    ------
    ConfigError
        When there is no cluster to be had; within a bounded time.
    """
    distributed = _distributed()
    if address is None:
        client = _current(distributed)
        if client is not None:
            return client, False
        address = import_module("dask").config.get("scheduler-address", None)
    if not address:
        raise ConfigError(
            "the dask executor was not told of a cluster",
            key=_KEY,
            expected=f"{_ADDRESS}, DASK_SCHEDULER_ADDRESS, or a distributed.Client made before the build",
        )
    try:
        return distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False), True
    except Exception as error:
        found = f"{type(error).__name__}: {error}".rstrip(". \n")
        raise ConfigError(
            f"there is no Dask scheduler at {address} ({found})", key=_KEY, expected=f"{_ADDRESS} that answers"
        ) from error


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        raise ConfigError(
            f"the dask executor needs a library that is missing ({error}): pip install 'kart-runtime[dask]'",
            key="run.executor",
        ) from error


def _current(distributed: Any) -> Any:
    try:
        client = distributed.Client.current()
    except ValueError:
        return None
    if client.asynchronous:
        raise ConfigError(
            "the current Dask client is asynchronous, and a build waits for its tasks",
            key=_KEY,
            expected=f"a client made without asynchronous=True, or {_ADDRESS}",
        )
    return client


def check_pythons(client: Any) -> None:
    """Refuse a cluster with another Python: what is sent as code would not run there.

    Parameters
    ----------
    client
        The client.

    Raises
    ------
    ConfigError
        Naming the machines.
    """
    versions = client.get_versions()
    found = {"the scheduler": versions["scheduler"], **versions["workers"]}
    here = platform.python_version_tuple()[:2]
    others = {
        where: python
        for where, one in found.items()
        if one and (python := one["host"]["python"]) and tuple(python.split(".")[:2]) != here
    }
    if others:
        where, python = next(iter(others.items()))
        raise ConfigError(
            f"{where} of the Dask cluster runs Python {'.'.join(python.split('.')[:3])}, and this program "
            f"{platform.python_version()}",
            key=_KEY,
            expected=f"Python {'.'.join(here)} on the scheduler and all workers",
        )


def check_workers(client: Any, marks: Sequence[Path]) -> None:
    """Refuse workers without this version of kart, or without the workspaces.

    Parameters
    ----------
    client
        The client.
    marks
        A file in each of the workspaces on disk.

    Raises
    ------
    ConfigError
        Naming the workers, and what to do.
    """
    answers = client.run(make_look([str(mark) for mark in marks]), on_error="return")
    looks = {worker: look for worker, look in answers.items() if not isinstance(look, BaseException)}
    wanted = make_version()()
    unfit: dict[str | None, list[str]] = {}
    for worker, (version, _) in looks.items():
        if version != wanted:
            unfit.setdefault(version, []).append(worker)
    for version, workers in unfit.items():
        raise ConfigError(lacks_kart(workers, version), key=_KEY)
    blind = [worker for worker, (_, missing) in looks.items() if missing]
    if blind:
        raise not_shared([str(mark.parent) for mark in marks], blind)


def lacks_kart(workers: list[str], version: str | None) -> str:
    """Return what is wrong with workers without this version of kart, and what to do.

    Parameters
    ----------
    workers
        Their addresses.
    version
        What they have; None for nothing.
    """
    shown = ", ".join(workers[:5]) + (f" and {len(workers) - 5} more" if len(workers) > 5 else "")
    found = f"kart-runtime {version}" if version else "no kart-runtime"
    return (
        f"the Dask workers {shown} have {found}: run pip install 'kart-runtime[dask]=={make_version()()}' where they "
        "run, and start them again"
    )
