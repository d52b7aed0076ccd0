"""Writer of the files of runs: a header, the tasks, a line for each attempt, and how the run ended.

The file ``log/runs/<run id>.jsonl`` grows by one line an attempt: a line costs a fraction of a file of its own. The
line of the tasks also tells `kart gc` what a run uses.
*Existence of outputs decides what to do; the ledger only explains it.*
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self

from kart_runtime.errors import described, warn
from kart_runtime.errors.secrets import masked, masked_values
from kart_runtime.history.losses import report_again, report_loss
from kart_runtime.history.run_header import GitState, RunInfo, header_of, line_of, new_versions, now, shown
from kart_runtime.history.run_state import BEAT_SECONDS, REMOTE_BEAT_SECONDS
from kart_runtime.storage import durable
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.signing_keys import keyring, signed_line
from kart_runtime.storage.stores import background, put
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.temporary import touch_lasting
from kart_runtime.storage.workspace import Workspace

logger = logging.getLogger(__name__)

_quoted = json.encoder.encode_basestring_ascii


class RecordListener(Protocol):
    """Receiver of what is recorded of a run: plain values of JSON, secrets masked."""

    def begin(self, header: Mapping[str, Any]) -> None:
        """Receive the header of the run."""
        ...

    def task(self, record: Mapping[str, Any]) -> None:
        """Receive the record of an attempt that has ended, with its "workspace", and the ids that it "requires"."""
        ...

    def end(self, end: Mapping[str, Any]) -> None:
        """Receive how the run has ended."""
        ...


class RunTasks(NamedTuple):
    """Tasks of one workspace that a run uses.

    Attributes
    ----------
    tasks
        Module to class name to unique ids. The number of a task is its place in this order, counted over the run.
    requires
        By number: the numbers of the tasks directly upstream, or the unique ids of those in another workspace. None:
        nothing runs.
    verdicts
        By number: a letter for what happens to it; see `RunGraph`.
    yielded
        Number of a task, as text, to the numbers of those that its `run()` has yielded.
    """

    tasks: Mapping[str, Mapping[str, Sequence[str]]]
    requires: Sequence[Sequence[int | str]] | None = None
    verdicts: str = ""
    yielded: Mapping[str, Sequence[int | str]] = MappingProxyType({})


def new_run_id() -> str:
    """Return an id for a run: its time in UTC to the microsecond, which sorts, and a random part from the system."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond:05x}{os.urandom(4).hex()}"


class Ledger:
    """Writer of one run's file, in each workspace that the run uses.

    On a file system the file grows by a line an attempt. A remote store cannot append: there lines are collected, and
    stored as an object of their own every 30 seconds, and at the end.

    Attributes
    ----------
    run_id
        Id of the run.
    info
        What the run was asked for.
    roots, root_classes
        Unique ids of the requested tasks, and their classes by full names: those of scripts with the script.
    runs_before
        What names the newest runs of a workspace, as far as this process knows them: a later reader of all files then
        sees whether one is missing. None for a run whose loss does not matter.
    first_lines
        What gives lines of a workspace that are written with the header, at once: a header alone says that this run has
        looked for a restart of the machine, and found none.
    listeners
        Receivers of what is recorded; one that raises is left out from then on.
    """

    def __init__(self, run_id: str | None = None, info: RunInfo | None = None) -> None:
        self.run_id = run_id or new_run_id()
        self.info = info or RunInfo()
        self.roots: Sequence[str] = ()
        self.root_classes: Sequence[str] = ()
        self.runs_before: Callable[[str], Sequence[str]] | None = None
        self.first_lines: Callable[[str], Sequence[Mapping[str, Any]]] | None = None
        self.listeners: list[RecordListener] = []
        self._files: dict[str, _File] = {}
        self._header: dict[str, Any] | None = None
        self._git: GitState | None = None
        self._beat: _Beat | None = None
        report_again()

    def append(self, workspace: str, record: Mapping[str, Any]) -> None:
        """Add the record of one attempt: the fields of `RunRecord`, without the run."""
        try:
            line = self._line(record)
            self._file(workspace).append(line)
        except Exception as error:  # noqa: BLE001 - it only explains, and the other tasks go on
            what = f"write the record of {record['task']} {record['unique_id']}"
            report_loss(what, Workspace(workspace).runs, error)
        else:
            if self.listeners:
                more = {"workspace": workspace, "requires": list(record.get("requires", ()))}
                self._tell("task", json.loads(line) | more)

    def append_definitions(self, workspace: str, code: str, definitions: Mapping[str, str]) -> None:
        """Add the definitions of a fingerprint of code: label to hash."""
        try:
            self._file(workspace).append(json.dumps({"code": code, "definitions": dict(definitions)}) + "\n")
        except Exception as error:  # noqa: BLE001 - as above
            report_loss("write the definitions of the code", Workspace(workspace).runs, error)

    def begin(self, workspace: str) -> None:
        """Write the header, unless that has been done."""
        try:
            self._file(workspace)
        except Exception as error:  # noqa: BLE001 - as above
            report_loss("write a line about this run", Workspace(workspace).runs, error)

    def note(self, workspace: str, values: Mapping[str, Any]) -> None:
        """Add a line of a kind of its own, which readers of attempts leave out."""
        try:
            self._file(workspace).append(line_of(values))
        except Exception as error:  # noqa: BLE001 - as above
            report_loss("write a line about this run", Workspace(workspace).runs, error)

    def record_tasks(self, workspace: str, tasks: RunTasks, *, runs: bool = True) -> None:
        """Add the tasks that the run uses, also those that have nothing to do.

        If something `runs`, the line is stored at once, or in the background, because `kart gc` has to know of active
        runs. A workspace that cannot be written is no reason to fail.
        """
        values: dict[str, Any] = {"run_id": self.run_id, "tasks": tasks.tasks}
        if tasks.requires is not None:
            values |= {"requires": tasks.requires, "verdicts": tasks.verdicts}
        if tasks.yielded:
            values["yielded"] = dict(tasks.yielded)
        try:
            file = self._file(workspace)
            file.append(json.dumps(values) + "\n")
            if runs:
                file.flush()
                self._beat = self._beat or _Beat(self._files)
        except Exception as error:  # noqa: BLE001 - as above
            what = "record this run (`kart gc` may delete outputs that it uses)"
            report_loss(what, Workspace(workspace).runs, error)

    def ask_git(self) -> None:
        """Ask git, in the background, for the commit that runs; `finish` records the answer."""
        self._git = self._git or GitState(os.getcwd())  # noqa: PTH109 - the text

    def finish(self, state: str, counts: Mapping[str, Any]) -> None:
        """Add how the run has ended: "done", "failed" or "interrupted", and its counts."""
        end = {"run_id": self.run_id, "end": now(), "state": state, **counts}
        if self._git is not None:
            learned = {"git": self._git.result(), "versions": new_versions((self._header or {}).get("versions", {}))}
            end |= {key: value for key, value in learned.items() if value}
        end = shown(end)
        for workspace, file in self._files.items():
            try:
                file.append(line_of(end | {"lines": file.count}))
            except Exception as error:  # noqa: BLE001 - as above
                report_loss("write how the run has ended", Workspace(workspace).runs, error)
        if self._files and self.listeners:
            self._tell("end", end)

    def _tell(self, what: str, values: Mapping[str, Any]) -> None:
        for listener in list(self.listeners):
            try:
                getattr(listener, what)(values)
            except Exception as error:  # noqa: BLE001 - the run has nothing to do with it
                self.listeners.remove(listener)
                name = type(listener).__name__
                warn(logger, "%s raised, and receives no more of this run: %s", name, described(error))

    def _line(self, record: Mapping[str, Any]) -> str:
        """Return the record as JSON, put together by hand: json.dumps would take twice as long for the same text."""
        params = ", ".join([f"{_quoted(name)}: {_quoted(text)}" for name, text in record["params"].items()])
        outputs = ", ".join(
            [
                f'{{"url": {_quoted(url)}, "size": {size}, "checksum": "{checksum}", "version": {_quoted(version)}}}'
                for url, size, checksum, version in record["outputs"]
            ]
        )
        loaded = record.get("inputs")
        pairs = [f"{_quoted(url)}: {_quoted(checksum)}" for url, checksum in dict(loaded).items()] if loaded else ()
        seed, peak, cpu = record["seed"], record.get("peak_mb"), record.get("cpu")
        has_more = record.get("metrics") or record.get("logged") or record.get("trace")
        rarer = _rarer(record) if has_more else ""
        return (
            f'{{"task": {_quoted(record["task"])}, "module": {_quoted(record["module"])}, '
            f'"unique_id": "{record["unique_id"]}", "state": "{record["state"]}", "started": "{record["started"]}", '
            f'"ended": "{record.get("ended", "")}", "waited": {record.get("waited", 0.0):.3f}, '
            f'"seconds": {record["seconds"]:.6f}, "cpu": {"null" if cpu is None else f"{cpu:.6f}"}, '
            f'"worker": {_quoted(record.get("worker", ""))}, "seed": {"null" if seed is None else seed}, '
            f'"peak_mb": {"null" if peak is None else f"{peak:.1f}"}, '
            f'"params": {{{params}}}, "outputs": [{outputs}], "log_files": {_list_of(record["log_files"])}, '
            f'"error": {_quoted(masked(record["error"]))}, "reason": {_quoted(masked(record["reason"]))}, '
            f'"inputs": {{{", ".join(pairs)}}}, "origin": {_quoted(record.get("origin", ""))}, '
            f'"code": "{record.get("code", "")}", {rarer}"run_id": "{self.run_id}"}}\n'
        )

    def _file(self, workspace: str) -> _File:
        place = Workspace(workspace)
        file = self._files.get(place.base)
        if file is None:
            store, key = store_for(f"{place.runs}/{self.run_id}")
            lines = [self._header_of(place.base, workspace)]
            if self.first_lines is not None:
                lines += map(line_of, self.first_lines(workspace))
            file = _Lines(key, lines) if isinstance(store, LocalStore) else _Objects(store, key, lines)
            self._files[place.base] = file
        return file

    def _header_of(self, base: str, workspace: str) -> str:
        if self._header is None:
            self._header = shown(header_of(self.run_id, self.info, self.roots, base, self.root_classes))
            if self.listeners:
                self._tell("begin", self._header)
        own: dict[str, Any] = {"workspace": base}
        if self.runs_before is not None:
            own["previous"] = [run for run in self.runs_before(workspace) if run != self.run_id]
        return line_of(self._header | own)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        if self._beat is not None:
            self._beat.stop()
        while self._files:
            workspace, file = self._files.popitem()
            try:
                file.close()
            except Exception as error:  # noqa: BLE001 - as above
                report_loss("write the last records", Workspace(workspace).runs, error)


class _Beat:
    """Thread that adds a line to the files of a run from time to time: other machines see that it goes on."""

    def __init__(self, files: Mapping[str, _File]) -> None:
        self._files = files
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kart-beat", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            touch_lasting()
            for workspace, file in list(self._files.items()):
                try:
                    file.beat(line_of({"beat": now()}))
                except Exception as error:  # noqa: BLE001 - as above
                    report_loss("write that this run goes on", Workspace(workspace).runs, error)

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join(_BEAT_JOIN_SECONDS)


_BEAT_JOIN_SECONDS = 5.0
"""Seconds to wait for a line that is being stored at this moment."""


class _Lines:
    """A file of this machine, which grows by one line at a time."""

    def __init__(self, key: str, lines: Sequence[str]) -> None:
        self._lock = threading.Lock()
        path = Path(f"{key}.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = str(path)
        self._run = path.name.removesuffix(".jsonl")
        self._keys = keyring()
        self.count = 0
        """Written lines, but for those that only say that the run goes on."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor = os.open(path, flags, 0o666)
        self._is_cut = False
        try:
            self._write("".join([self._signed(line) for line in lines]))
            self.count = len(lines)
        except BaseException:
            self.close()
            raise

    def append(self, line: str) -> None:
        # One write call a line: a reader, or a crash, meets whole lines and at most one cut one at the end.
        self._write(line if self._keys is None else self._signed(line))
        self.count += 1

    def beat(self, line: str) -> None:
        """Write that the run goes on."""
        self._write(self._signed(line))

    def _signed(self, line: str) -> str:
        return line if self._keys is None else signed_line(line, self._run, self._keys)

    def _write(self, text: str) -> None:
        with self._lock:
            data = (f"\n{text}" if self._is_cut else text).encode()
            written = os.write(self._descriptor, data)
            self._is_cut = written < len(data)
            if self._is_cut:  # a full disk takes a part, and reports the error only for the rest
                os.write(self._descriptor, data[written:])
                self._is_cut = False

    def flush(self) -> None:
        """Write the lines to the disk: after a power cut, they say that a run has gone on (`restarts`)."""
        with contextlib.suppress(OSError):  # there are disks that cannot
            durable.flush_file(self._descriptor)
            durable.flush_entry(self._path)

    def close(self) -> None:
        with self._lock:
            if durable.is_on():
                self.flush()
            os.close(self._descriptor)
            self._descriptor = -1


_FLUSH_SECONDS = 30.0
"""Seconds of a long run's records that a crash may lose on a remote store."""


class _Objects:
    """Objects of a remote store: ``<run>.jsonl``, and for a long run ``<run>.part0001.jsonl`` and so on."""

    def __init__(self, store: Any, key: str, lines: Sequence[str]) -> None:
        self._store, self._key = store, key
        self._run, self._keys = key[key.rfind("/") + 1 :], keyring()
        self._lines = list(map(self._signed, lines))
        self.count = len(lines)
        self._parts = 0
        self._flushed = time.monotonic()
        self._is_beat = False
        self._lock = threading.RLock()

    def append(self, line: str) -> None:
        with self._lock:
            self._lines.append(self._signed(line))
            self.count += 1
            if time.monotonic() - self._flushed > _FLUSH_SECONDS:
                self.flush()

    def _signed(self, line: str) -> str:
        return line if self._keys is None else signed_line(line, self._run, self._keys)

    def beat(self, line: str) -> None:
        """Store that the run goes on, if nothing has been stored for long; one object is used again for it."""
        with self._lock:
            if time.monotonic() - self._flushed < REMOTE_BEAT_SECONDS:
                return
            is_beat = not self._lines
            self._parts -= is_beat and self._is_beat
            self._lines.append(self._signed(line))
            self.flush()
            self._is_beat = is_beat

    def close(self) -> None:
        self.flush(put if not self._parts else background.put)  # the only object of a run without work

    def flush(self, store: Callable[[Any, str, bytes], None] = background.put) -> None:
        with self._lock:
            if self._lines:
                part = f".part{self._parts:04}" if self._parts else ""
                store(self._store, f"{self._key}{part}.jsonl", "".join(self._lines).encode())
                self._lines, self._parts, self._flushed = [], self._parts + 1, time.monotonic()
                self._is_beat = False


_File = _Lines | _Objects


@lru_cache(maxsize=16)
def _list_of(kinds: tuple[str, ...]) -> str:
    return json.dumps(kinds)


_RARER = ("metrics", "series", "logged", "timeout", "trace")
"""Keys of a record that most have nothing to say about."""


def _rarer(record: Mapping[str, Any]) -> str:
    """Return the keys that only some records have, as a part of JSON."""
    return "".join([f'"{key}": {json.dumps(masked_values(record[key]))}, ' for key in _RARER if record.get(key)])
