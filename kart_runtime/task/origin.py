"""Which class wrote an output: tells classes of one name apart where a file's name does not.

Two scripts have each a class in ``__main__``, two calls of a function each make a class of one name, and a file with a
name of the user's own choice holds what the last task wrote. The record of an output names module, script and id.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import luigi

from kart_runtime.code import code_of
from kart_runtime.history.records import Records, records_of
from kart_runtime.storage.registry import relative_to
from kart_runtime.storage.target import OutputRecord
from kart_runtime.task import identity
from kart_runtime.task.nested import iter_flat


@lru_cache(maxsize=4096)
def origin_of(cls: type) -> str:
    """Return what tells a class from another one of its module and name: a script's path, or a local class's code."""
    if "<locals>" in cls.__qualname__:
        return f"{cls.__qualname__}:{code_of(cls).fingerprint}:{_closure(cls)}"
    return script() if cls.__module__ == "__main__" else ""


_program: list[str] = []
"""Path of the program that a worker process works for."""


def work_for(program: str) -> None:
    """Take another process's classes in ``__main__`` for those of its script."""
    _program[:] = [program]
    origin_of.cache_clear()


def script() -> str:
    """Return the path of the program, or of the notebook if its server tells; "" if it is not known."""
    if _program:
        return _program[0]
    path = getattr(sys.modules.get("__main__"), "__file__", None) or os.environ.get("JPY_SESSION_NAME", "")
    return str(Path(path).resolve()) if path else ""


def full_name(cls: type) -> str:
    """Return module and name of a class; of one in ``__main__`` with the script, as seen from the current folder."""
    path = script() if cls.__module__ == "__main__" else ""
    if path:
        with suppress(ValueError):  # another drive
            path = os.path.relpath(path)
    return f"{cls.__module__}{f':{Path(path).as_posix()}' if path else ''}.{cls.__name__}"


def _closure(cls: type) -> str:
    """Return the plain values that the methods of a local class take from the function around it, as text."""
    cells = (
        (name, cell)
        for function in vars(cls).values()
        if (code := getattr(function, "__code__", None)) is not None
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
    )
    return ",".join(sorted({f"{name}={_plain(cell)}" for name, cell in cells if name != "__class__"}))


def _plain(cell: Any) -> str:
    try:
        value = cell.cell_contents
    except ValueError:  # not assigned yet
        return ""
    return repr(value) if isinstance(value, str | int | float | bytes | None) else type(value).__qualname__


class RecordedOutputs:
    """What runs have recorded of the outputs in a workspace, read when it is first asked for."""

    __slots__ = ("_folder", "_records", "_workspace")

    def __init__(self, workspace: str) -> None:
        self._workspace = workspace
        self._folder: str | None = None
        self._records: Records | None = None

    def expected(self, url: str) -> OutputRecord | None:
        """Return the newest record of an output."""
        folder, records = relative_to.folder, self._records
        if records is None or folder is None or folder is not self._folder:  # in a build, the folder stays
            records = self._records = records_of(self._workspace)
            self._folder = folder
            records.load()
        return records.expected(url)

    def refresh(self) -> None:
        """Read what other processes have recorded."""
        records_of(self._workspace).refresh()

    def settle(self, url: str) -> Mapping[str, OutputRecord]:
        """Return the outputs, by url, of the try that has stored an output, if it is another one than was expected."""
        return records_of(self._workspace).settle(url)


@lru_cache(maxsize=256)
def recorded_outputs(workspace: str) -> RecordedOutputs:
    """Return what runs have recorded of the outputs in a workspace."""
    return RecordedOutputs(workspace)


def recorded_inputs(task: luigi.Task) -> dict[str, OutputRecord]:
    """Return the records of what a task requires, for another process, which may not find them yet."""
    inputs: dict[str, OutputRecord] = {}
    for dependency in identity.dependencies(task):
        if "_kart" in dependency.__dict__:
            records = records_of(cast("Any", dependency).workspace_directory)
            record = records.find(cast("Any", dependency).make_unique_id(), type(dependency).__module__)
            for output in record.outputs if record is not None else ():
                url = records.absolute(output.url)
                inputs[url] = output._replace(url=url)
    return inputs


def other_writer(task: Any, urls: Iterable[str], records: Records | None = None) -> str:
    """Return who wrote an output of a task that is not this task, although its class has the same name; or ""."""
    cls: type = type(task)
    unique_id: str | None = None
    for url in urls:
        record = (records or records_of(task.workspace_directory)).writer(url)
        if record is None or record.task != cls.__name__:  # nothing is known, or the task passes on what it requires
            continue
        unique_id = unique_id or task.make_unique_id()
        if record.unique_id != unique_id:
            return "the task with other parameters"
        if record.module != cls.__module__:
            return f"the class of that name in {record.module}"
        if record.origin != origin_of(cls):
            return f"another class of that name in {record.origin.partition(':')[0] or record.module}"
    return ""


def is_from_other_task(task: Any, outputs: Any) -> bool:
    """Return whether an output was written by another task, as far as records tell; reads them when it has to."""
    urls = [url for target in iter_flat(outputs) if (url := getattr(target, "url", None)) is not None]
    cls = type(task)
    unique_id = task.make_unique_id()
    has_own_names = all(unique_id in url for url in urls)
    if has_own_names and cls.__module__ != "__main__" and "<locals>" not in cls.__qualname__:
        return False
    records = records_of(task.workspace_directory)
    if has_own_names:
        records.load()
    else:  # another process may have written the file since
        records.refresh()
    return bool(other_writer(task, urls, records))
