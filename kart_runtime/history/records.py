"""Index of the newest record of each task of a workspace: what made an output, from what, and with which content.

The files of the runs are the source. `Records` reads what has been added to them since it last looked, and keeps what
it knows in ``log/records.txt``, which is only a cache: it may be deleted, or written by several processes. Urls in it
are relative to the workspace, so that a workspace may be moved.

A line of the cache is decoded when its task is looked up, because a plan of ten tasks may belong to a workspace of a
hundred thousand.
"""

from __future__ import annotations

import heapq
import json
import logging
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kart_runtime.history.restarts import KEY, Restart, looks_torn, restart_before, stored_since
from kart_runtime.history.runs import list_files, run_of_file, runs_folder, started_at, text_of
from kart_runtime.history.signed_lines import signed_text
from kart_runtime.history.task_record import (
    ID_LENGTH,
    TaskRecord,
    from_json,
    from_line,
    has_separator,
    module_of,
    to_line,
)
from kart_runtime.storage.checksum import FOLDER, algorithm_of, checksum_of, usual_algorithm
from kart_runtime.storage.commit import recover
from kart_runtime.storage.folder_files import stored_difference
from kart_runtime.storage.registry import relative_to, store_for
from kart_runtime.storage.signing_keys import keyring, with_trailer, without_trailer
from kart_runtime.storage.stores import Stat, Store, is_marked, is_remote
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.target import OutputRecord
from kart_runtime.storage.workspace import DELETING, Workspace

logger = logging.getLogger(__name__)

_FORMAT = "kart-records-4"
"""First line of the cache; another one is ignored."""

_UNSAVED_BYTES, _UNSAVED_FILES = 1 << 16, 16
"""Bytes and number of files that may be read again by each process before the cache is written again."""

_MOST_NAMED = 5
"""Damaged outputs that the warning names."""

REPLACING = "replacing"
"""State of the record that precedes the replacement of recorded outputs. A process that dies after it may have replaced
them without a record: they are neither verified nor taken for complete."""

_MOST_TRIES = 4
"""Records of simultaneous tries of one task that are kept beside the newest one."""

_COUNTED = frozenset({"done", "accepted"})
"""States of records that describe an output."""


class Records:
    """Newest record of each task of one workspace.

    Use `records_of`, which returns one object for a workspace, so that its files are read once.
    """

    def __init__(self, workspace: str) -> None:
        place = Workspace(workspace)
        self.workspace = workspace
        self._base = place.base
        self._store: Store
        self._store, self._runs = runs_folder(workspace)
        self._cache_key = store_for(f"{place.log}records.txt")[1]
        self._by_id: dict[str, list[str | TaskRecord]] = {}
        self._fixed: dict[str, tuple[TaskRecord, OutputRecord]] = {}
        """Url of an output without an id at the end of its name to its newest record."""
        self._left: set[str] = set()
        """Urls of outputs that their task no longer has: it stores its result elsewhere now."""
        self._definitions: dict[str, str | Mapping[str, str]] = {}
        self.interrupted: set[tuple[str, str]] = set()
        """Id and module of tasks of which a run has begun to replace the outputs, and has not said how that ended."""
        self._tries: dict[tuple[str, str], list[TaskRecord]] = {}
        """Id and module of a task to records of other tries that went on at the same time as the newest one: without
        locks, what is stored may be theirs."""
        self._contents: dict[str, tuple[str, str]] = {}
        """Url to version and checksum of a file whose content no record states for that version."""
        self._read: dict[str, int] = {}
        """Name of a run's file to the bytes of it that have been read."""
        self._own: set[str] = set()
        self._ended: set[str] = set()
        """Names of the files of runs that grow no more."""
        self._unsaved_bytes = self._unsaved_files = self._cache_size = 0
        self._is_loaded = False
        self.pending: frozenset[str] = frozenset()
        """Urls of outputs that another process has begun to replace, and that do not count yet."""
        self.restart: Restart | None = None
        """The restart of the machine that this process was the first to find here."""
        self._restarts: set[Restart] = set()
        self.damaged: set[str] = set()
        """Paths of outputs that a restart of the machine has damaged, and that no task has stored again."""
        self._current: dict[str, str | None] = {}
        self._key = ""
        """Key of the workspace in its store, as of the last refresh."""
        self.newest_runs: tuple[str, ...] = ()
        self._newest: list[Stat] = []
        """The newest runs as of the last refresh: by their names, and by the time of the last write."""
        self.has_notice = True
        """Whether a list of a remote store has shown that a process deletes files, or none was asked for."""

    # -- looking up --------------------------------------------------------------------------------------------------

    def find(self, unique_id: str, module: str) -> TaskRecord | None:
        """Return the newest record of a task; None if there is none."""
        entries = self._by_id.get(unique_id)
        if entries is None:
            return None
        for index, entry in enumerate(entries):
            if isinstance(entry, str):
                entry = entries[index] = from_line(entry)  # noqa: PLW2901 - decoded once
            if entry.module == module:
                return entry
        return None

    @property
    def has_runs(self) -> bool:
        """Return whether anything has been recorded here."""
        return bool(self._read or self._by_id)

    def named(self, unique_id: str) -> list[TaskRecord]:
        """Return the newest records of the tasks with an id, one for each module."""
        entries = self._by_id.get(unique_id, [])
        return [from_line(entry) if isinstance(entry, str) else entry for entry in entries]

    def all(self) -> Iterator[TaskRecord]:
        """Yield the newest record of each task."""
        for unique_id in list(self._by_id):
            yield from self.named(unique_id)

    def writer(self, url: str) -> TaskRecord | None:
        """Return the newest record that has an output at this url."""
        written = self._written(url.removeprefix(self._base))
        return written and written[0]

    def expected(self, url: str) -> OutputRecord | None:
        """Return the newest record of the content at a url; None if nothing is known about it."""
        written = self._written(url.removeprefix(self._base))
        if written is None or not written[1].checksum:
            return None
        record, output = written
        return None if self.interrupted and (record.unique_id, record.module) in self.interrupted else output

    def _written(self, path: str) -> tuple[TaskRecord, OutputRecord] | None:
        start = path.rfind("_") + 1
        entries = self._by_id.get(path[start : start + ID_LENGTH])
        if entries is not None:
            for index, entry in enumerate(entries):
                if isinstance(entry, str):
                    entry = entries[index] = from_line(entry)  # noqa: PLW2901 - decoded once
                for output in entry.outputs:
                    if output.url == path:
                        return entry, output
        return self._fixed.get(path)

    def definitions(self, code: str) -> Mapping[str, str]:
        """Return the definitions of a fingerprint: label to hash; empty if they are not known."""
        known = self._definitions.get(code, {})
        if isinstance(known, str):
            try:
                known = dict(json.loads(known))
            except ValueError:
                known = {}
            self._definitions[code] = known
        return known

    def content(self, path: str) -> str | None:
        """Return the checksum of what is stored at a path or url now; None if nothing is.

        Bytes are read only when they may have changed since their checksum was recorded.
        """
        try:
            return self._current[path]
        except KeyError:
            checksum = self._current[path] = self._look(path)
            return checksum

    def has_content(self, checksums: Mapping[str, str]) -> bool:
        """Return whether what is stored at some paths has these checksums, as far as it exists and is still in use."""
        current, left = self._current, self._left
        for path, checksum in checksums.items():
            if left and path in left:
                return False
            content = current[path] if path in current else self.content(path)
            if content != checksum and content is not None:
                return False
        return True

    def is_left(self, path: str) -> bool:
        """Return whether the task that stored something at a path stores its result elsewhere now."""
        return path in self._left

    def has_recorded_outputs(self, record: TaskRecord) -> bool:
        """Return whether the outputs of a record are what it says, as far as they exist."""
        current, base = self._current, self._key
        for output in record.outputs:
            path, size, checksum, version = output
            try:
                content = current[path]
            except KeyError:
                # The common case, without anything that it does not need: there is one call for each task of a plan.
                if base and version and path[0] != "/" and ":" not in path:
                    stat = self._store.stat(f"{base}{path}")
                    content = checksum if stat is None or stat[1::2] == (size, version) else self._look(path)
                else:
                    content = self._look(path)
                current[path] = content
            if checksum and content != checksum and content is not None:
                return False
        return True

    def settled(self, record: TaskRecord) -> TaskRecord:
        """Return the record of what is stored, if several tries of a task went on at the same time.

        Without locks, the one that started last need not be the one that stored last. If the outputs are those of
        different tries, the task counts as interrupted: its outputs are whole, and make no set.
        """
        if not self._tries:
            return record
        key = (record.unique_id, record.module)
        tries = self._tries.get(key)
        if not tries or self.has_recorded_outputs(record):
            return record
        contents = {output.url: self.content(output.url) for output in record.outputs}
        for index, each in enumerate(tries):
            if all(contents.get(url) in {None, checksum} for url, checksum in _contents(each).items()):
                tries[index] = record
                entries = self._by_id[record.unique_id]
                entries[:] = [each if module_of(entry) == record.module else entry for entry in entries]
                for output in each.outputs:
                    if output.url in self._fixed:
                        self._fixed[output.url] = (each, output)
                return each
        known = [_contents(each) for each in (record, *tries)]
        if all(found is None or any(each.get(url) == found for each in known) for url, found in contents.items()):
            self.interrupted.add(key)
        return record

    def settle(self, url: str) -> Mapping[str, OutputRecord]:
        """Return the outputs, by url, of the try that has stored an output, if it is another one than was expected."""
        record = self.writer(url)
        if record is None or not self.has_tries(record):
            return {}
        stored = self.settled(record)
        return {} if stored is record else {self.absolute(output.url): output for output in stored.outputs}

    def has_tries(self, record: TaskRecord) -> bool:
        """Return whether other tries of a task went on at the same time as that of its newest record."""
        return bool(self._tries) and (record.unique_id, record.module) in self._tries

    def was_replaced(self, record: TaskRecord) -> bool:
        """Return whether a run of kart's has replaced outputs of a record and died before it recorded that.

        On a disk, a line of the run's file says that before. Objects say it by themselves, without a request more.
        """
        differing = [output for output in record.outputs if output.checksum not in {"", self._current.get(output.url)}]
        places = [store_for(self.absolute(output.url)) for output in differing]
        if not places or not all(hasattr(store, "mark_of") for store, _ in places):
            return False
        if not all(is_marked(store, key, _checksum(store, key, "")) for store, key in places):
            return False
        self.interrupted.add((record.unique_id, record.module))
        return True

    def is_torn(self, record: TaskRecord) -> bool:
        """Return whether an output of a record is not what it says because the machine has damaged it."""
        return any(
            output.url in self.damaged or (output.checksum and self._differs(output) and self.was_damaged(output))
            for output in record.outputs
        )

    def _differs(self, output: OutputRecord) -> bool:
        content = self.content(output.url)
        return content is not None and content != output.checksum

    def was_damaged(self, output: OutputRecord) -> bool:
        """Return whether a file that is not what its record says was damaged by the machine, and changed by nobody."""
        store, key = store_for(self.absolute(output.url))
        stat = store.stat(key) if isinstance(store, LocalStore) else None
        return stat is not None and (looks_torn(key, output.size, output.version) or self.was_lost(stat.modified))

    def was_lost(self, moment: float) -> bool:
        """Return whether a restart of the machine may have lost what was written then."""
        return any(restart.covers(moment) for restart in self._restarts)

    @property
    def saw_restart(self) -> bool:
        """Return whether the machine was restarted soon after something was written here."""
        return bool(self._restarts)

    def _look(self, path: str) -> str | None:
        url = self.absolute(path)
        store, key = store_for(url)
        stat = store.stat(key)
        if stat is None:
            return None
        record = self.expected(url)
        if record is not None and record.size == stat.size and record.version in ("", stat.version):
            return record.checksum
        version = stat.identity
        known = self._contents.get(path)
        if known is None or known[0] != version:
            algorithm = algorithm_of(record.checksum) if record is not None else ""
            try:
                known = self._contents[path] = (version, _checksum(store, key, algorithm))
            except FileNotFoundError:  # deleted since the look
                return None
            self._unsaved_bytes += _UNSAVED_BYTES // 8  # reading is what the cache shall spare
        return known[1]

    def problem(self, output: OutputRecord) -> str | None:
        """Return how an output differs from its record, reading all of it; "" if it does not, None if it is gone."""
        store, key = store_for(self.absolute(output.url))
        stat = store.stat(key)
        if stat is None:
            return None
        if stat.size != output.size:
            return f"it has {stat.size} bytes instead of {output.size}"
        checksum = _checksum(store, key, algorithm_of(output.checksum))
        if checksum != output.checksum:
            return f"its checksum is {checksum} instead of {output.checksum}"
        return stored_difference(store, key) if algorithm_of(checksum) == FOLDER else ""

    def as_it_is(self, output: OutputRecord) -> OutputRecord:
        """Return the record of an output with the content that is stored now, unless it does not exist."""
        store, key = store_for(self.absolute(output.url))
        stat = store.stat(key)
        if stat is None or not output.checksum:
            return output
        algorithm = FOLDER if algorithm_of(output.checksum) == FOLDER else ""
        return OutputRecord(output.url, stat.size, _checksum(store, key, algorithm), stat.version)

    def relative(self, url: str) -> str:
        """Return a url below the workspace as a path relative to it."""
        return url.removeprefix(self._base)

    def absolute(self, path: str) -> str:
        """Return the url of a path that `relative` returned."""
        return path if "://" in path or os.path.isabs(path) else f"{self._base}{path}"  # noqa: PTH117

    # -- adding ------------------------------------------------------------------------------------------------------

    def add(self, record: TaskRecord) -> None:
        """Add a record of this process, which is also in the file of its run."""
        base, current = self._base, self._current
        unique_id, module, task, origin, code, run_id, stored, loaded, started, ended = record
        outputs = tuple([OutputRecord(one[0].removeprefix(base), one[1], one[2], one[3]) for one in stored])
        inputs = loaded and {url.removeprefix(base): checksum for url, checksum in loaded.items()}
        self._set(TaskRecord(unique_id, module, task, origin, code, run_id, outputs, inputs, started, ended))
        self._unsaved_bytes += 300
        for output in outputs:
            current.pop(output.url, None)

    def add_definitions(self, code: str, definitions: Mapping[str, str]) -> bool:
        """Add the definitions of a fingerprint; return whether they are new."""
        if code in self._definitions:
            return False
        self._definitions[code] = definitions
        return True

    def own_file(self, name: str) -> None:
        """Ignore the file of a run of this process, whose records are added one by one."""
        self._own.add(name)

    def _set(self, record: TaskRecord) -> None:
        entries = self._by_id.get(record.unique_id)
        if entries is None:
            self._by_id[record.unique_id] = [record]
        else:
            known = self.find(record.unique_id, record.module)
            if known is not None and known.outputs != record.outputs:
                older, newer = (known, record) if known.started <= record.started else (record, known)
                self._note_left(older, newer)
                self._note_tries(older, newer)
            if known is not None and known.started > record.started:
                return
            entries[:] = [entry for entry in entries if module_of(entry) != record.module]
            entries.append(record)
        self.interrupted.discard((record.unique_id, record.module))
        for output in record.outputs:
            if self.damaged:
                self.damaged.discard(output.url)
            if record.unique_id not in output.url:
                self._fixed[output.url] = (record, output)

    def _note_left(self, before: TaskRecord, after: TaskRecord) -> None:
        urls = {output.url for output in after.outputs}
        self._left.update(output.url for output in before.outputs if output.url not in urls)
        self._left -= urls

    def _note_tries(self, older: TaskRecord, newer: TaskRecord) -> None:
        """Keep the records of the tries that may have stored their outputs after the newest one."""
        key = (newer.unique_id, newer.module)
        tries = {each.run_id: each for each in (*self._tries.pop(key, ()), older)}
        kept = [
            each
            for run_id, each in tries.items()
            if run_id != newer.run_id and each.ended > newer.started and _contents(each) != _contents(newer)
        ]
        if kept:
            self._tries[key] = sorted(kept, key=_started)[-_MOST_TRIES:]

    # -- reading -----------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read what other processes have added since the last call."""
        self._current = {}
        self._key = store_for(f"{self._base}_")[1][:-1]
        try:
            names = self._names()
            self.has_notice = isinstance(self._store, LocalStore) or DELETING in names
            self.pending = recover(self.workspace, names.keys() - self._ended)
            is_first = not self._is_loaded
            if is_first and names:  # where nothing has run there is no cache
                self._load_cache(set(names))
            self._is_loaded = True
            files = list_files(self._store, self._runs, self._stats(names, all_files=is_first))
            self._newest = [stat for stat in self._newest if _name(stat) in names]
            self.newest_runs = _newest_runs(sorted({*self._newest, *files}), self._newest)
            for stat in files:
                with suppress(IsADirectoryError):  # no run has this name
                    self._read_file(stat)
            if is_first and isinstance(self._store, LocalStore):
                self._note_restart(files)
        except OSError as error:
            logger.warning("Cannot read the records of %s: %s", self.workspace, error)

    def _names(self) -> Mapping[str, Stat | None]:
        """Return the names of the files of runs, with their states where the store tells them by the way."""
        if isinstance(self._store, LocalStore):
            with suppress(FileNotFoundError, NotADirectoryError):
                return dict.fromkeys(os.listdir(self._runs))  # noqa: PTH208 - there may be thousands, in each build
            return {}
        return {_name(stat): stat for stat in self._store.list(self._runs)}

    def _stats(self, names: Mapping[str, Stat | None], *, all_files: bool) -> Iterator[Stat]:
        """Yield the states of the files of runs, unless they are known to have ended."""
        for name in names if all_files else names.keys() - self._ended:
            stat = names[name]
            if name.partition(".")[0] in self._own:
                self._ended.add(name)  # as far as this process has to read it
            stat = stat or self._store.stat(f"{self._runs}{os.sep}{name}")
            if stat is not None:  # else `kart gc` has deleted it just now
                yield stat

    def _note_restart(self, files: Iterable[Stat]) -> None:
        """Compare what was stored just before the machine was restarted with its records."""
        found = restart_before(self._store, files)
        if found is None:
            return
        self.restart, suspects = found
        self._restarts.add(self.restart)
        for stat in suspects:
            for values in stored_since(_tail(self._store, stat.key, 0).split("\n"), self.restart.since):
                with suppress(AttributeError, KeyError, TypeError, ValueError, OSError):  # a damaged line
                    urls = [output.url for output in from_json(values, self._base).outputs]
                    self.damaged.update(url for url in urls if self._is_lost(url))
        if self.damaged:
            logger.warning("The machine was restarted while %s was written: %s", self.workspace, _named(self.damaged))

    def _is_lost(self, path: str) -> bool:
        """Return whether an output differs from its newest record, reading it, and not because of an edit since."""
        output = self.expected(self.absolute(path))
        if output is None or not self.problem(output):
            return False
        return self.was_damaged(output)

    def load(self) -> None:
        """Read the records unless they have been read."""
        if not self._is_loaded:
            self.refresh()

    def _read_file(self, stat: Stat) -> None:
        name = _name(stat)
        read = self._read.get(name, 0)
        if stat.size <= read or name.partition(".")[0] in self._own:
            return
        text = _tail(self._store, stat.key, read)
        whole, _, rest = text.rpartition("\n")  # the last line may be written just now
        if not whole:
            return
        self._read[name] = stat.size - len(rest.encode())
        self._unsaved_bytes += len(whole)
        self._unsaved_files += not read
        last = whole[whole.rfind("\n") + 1 :]
        if not rest and last.startswith('{"run_id":') and last.partition('", ')[2].startswith('"end":'):
            self._ended.add(name)
        base = self._base
        for line in signed_text(whole, run_of_file(name), self._runs).split("\n"):
            if line.startswith('{"task":'):
                self._add_line(line, base)
            elif line.startswith('{"run":'):
                base = _decode_json(line).get("workspace") or base
            elif line.startswith(f'{{"{KEY}":'):
                self._add_restart(_decode_json(line))
            elif line.startswith('{"code":'):
                values = _decode_json(line)
                if isinstance(values.get("code"), str):
                    self._definitions.setdefault(values["code"], values.get("definitions") or {})

    def _add_line(self, line: str, base: str) -> None:
        values = _decode_json(line)
        state = values.get("state")
        if state in {REPLACING, "failed", "complete"}:  # complete: another process has run it, and recorded that
            key = (str(values.get("unique_id")), str(values.get("module")))
            (self.interrupted.add if state == REPLACING else self.interrupted.discard)(key)
        if state not in _COUNTED or not values.get("outputs"):
            return
        try:
            self._set(from_json(values, base))
        except (AttributeError, KeyError, TypeError, ValueError):  # a foreign or damaged line
            return

    def _add_restart(self, values: Mapping[str, Any]) -> None:
        with suppress(KeyError, TypeError, ValueError):
            self._restarts.add(Restart(float(values[KEY]), float(values["until"])))
            self.damaged.update(map(str, values.get("damaged", ())))

    def _load_cache(self, existing: set[str]) -> None:
        try:
            with self._store.open(self._cache_key) as file:
                data: bytes | None = file.read()
        except OSError:
            return
        keys = keyring()
        data = data if keys is None or data is None else without_trailer(data, _FORMAT, keys)
        if data is None:  # anybody may have written it
            return
        try:
            text = data.decode(errors="surrogatepass")
        except UnicodeError:
            return
        first, _, body = text.partition("\n")
        head = _decode_json(first)
        read = head.get("read")
        if head.get("format") != _FORMAT or not isinstance(read, dict) or head.get("crc32") != _crc32(body):
            return  # of another version, or torn by a power cut
        if not existing.issuperset(read):  # `kart gc` has deleted runs: what only they say is no longer true
            return
        self._cache_size = len(text)
        self._read = read
        for line in body.split("\n"):
            self._add_cached(line)

    def _add_cached(self, line: str) -> None:
        kind, rest = line[:1], line[1:]
        if kind == "-":
            self._by_id.setdefault(rest[:ID_LENGTH], []).append(rest)
        elif kind == "=":
            self._set(from_line(rest))
        elif kind == "!":
            unique_id, _, module = rest.partition("\t")
            self.interrupted.add((unique_id, module))
        elif kind == "+":
            record = from_line(rest)
            self._tries.setdefault((record.unique_id, record.module), []).append(record)
        elif kind == ">":
            self._left.add(rest)
        elif kind == "%":
            self._add_restart(_decode_json(rest))
        elif kind == "#":
            code, _, definitions = rest.partition("\t")
            self._definitions[code] = definitions
        elif kind == "~":
            path, version, checksum = rest.split("\t")
            self._contents[path] = (version, checksum)

    # -- saving ------------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the cache, if reading what it does not hold would cost more than reading it."""
        if self._unsaved_bytes < max(_UNSAVED_BYTES, self._cache_size // 8) and self._unsaved_files < _UNSAVED_FILES:
            return
        try:
            self._include_own()
            body = "".join(f"{line}\n" for line in self._cache_lines())
            head = {"format": _FORMAT, "read": self._read, "crc32": _crc32(body)}
            text = f"{json.dumps(head)}\n{body}"
            with self._store.write(self._cache_key) as file:
                file.write(with_trailer(text.encode(errors="surrogatepass"), _FORMAT))
        except (OSError, UnicodeError) as error:  # it is only a cache
            logger.debug("Cannot write the index of records of %s: %s", self.workspace, error)
            return
        self._unsaved_bytes = self._unsaved_files = 0
        self._cache_size = len(text)

    def _include_own(self) -> None:
        """Note how much of the files of this process's runs is known: all that is there."""
        if is_remote(self._store):  # a request is not worth it: the next process reads that file again
            return
        for run_id in self._own:
            stat = self._store.stat(f"{self._runs}{os.sep}{run_id}.jsonl")
            if stat is not None:
                self._read[_name(stat)] = stat.size

    def _cache_lines(self) -> Iterator[str]:
        yield from (f"!{unique_id}\t{module}" for unique_id, module in self.interrupted)
        yield from (f"%{json.dumps(restart.line(self.damaged))}" for restart in self._restarts)
        yield from (f">{path}" for path in self._left if not has_separator(path))
        for code, definitions in self._definitions.items():
            yield f"#{code}\t{definitions if isinstance(definitions, str) else json.dumps(dict(definitions))}"
        for path, (version, checksum) in self._contents.items():
            if not has_separator(path):
                yield f"~{path}\t{version}\t{checksum}"
        for tries in self._tries.values():
            yield from (f"+{line}" for line in map(to_line, tries) if line is not None)
        for entries in self._by_id.values():
            for entry in entries:
                line = entry if isinstance(entry, str) else to_line(entry)
                if line is not None:
                    yield f"{'=' if isinstance(entry, TaskRecord) and entry.has_fixed_name() else '-'}{line}"


_registry: dict[tuple[str, str], Records] = {}


def records_of(workspace: str) -> Records:
    """Return the records of a workspace, one object in each process."""
    local = "://" not in workspace and not os.path.isabs(workspace)  # noqa: PTH117
    key = (workspace, (relative_to.folder or os.getcwd()) if local else "")  # noqa: PTH109
    records = _registry.get(key)
    if records is None:
        records = _registry[key] = Records(workspace)
    return records


def forget_records() -> None:
    """Forget what has been read, for tests and for a process that continues with another one's files."""
    _registry.clear()


_MOST_NEWEST = 4
"""Runs that the next one names as those before it. More than one, since some may be named by a clock that is ahead."""


def _newest_runs(files: Sequence[Stat], newest: list[Stat]) -> tuple[str, ...]:
    """Return the newest runs of some files, and note those files."""
    newest[:] = dict.fromkeys((*files[-1:], *heapq.nlargest(_MOST_NEWEST, files, key=_modified)))
    names = dict.fromkeys(run_of_file(_name(stat)) for stat in newest)
    return tuple(name for name in names if started_at(name) is not None)


def _started(record: TaskRecord) -> str:
    return record.started


def _contents(record: TaskRecord) -> dict[str, str]:
    """Return the checksums of the outputs of a record by their urls."""
    return {output.url: output.checksum for output in record.outputs if output.checksum}


def _modified(stat: Stat) -> float:
    return stat.modified


def _name(stat: Stat) -> str:
    return stat.key[stat.key.rfind("/") + 1 :]


def _tail(store: Store, key: str, start: int) -> str:
    if not start and is_remote(store):
        return text_of(store, key)
    with store.open(key) as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def _crc32(text: str) -> int:
    return zlib.crc32(text.encode(errors="surrogatepass"))


def _decode_json(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _checksum(store: Store, key: str, algorithm: str) -> str:
    with store.open(key) as file:
        return checksum_of(file, algorithm or usual_algorithm(key))


def _named(paths: Iterable[str]) -> str:
    """Return which outputs were damaged, and what comes of it."""
    names = sorted(paths)
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"damaged on the disk: {', '.join(names[:_MOST_NAMED])}{more}. The tasks that store them run again."
