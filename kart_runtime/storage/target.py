"""Target: one value in a workspace, that is a url, the store that holds its bytes and the codec that reads them.

Created by `TaskOnKart.make_target` and `make_target`; tasks load and dump it, `plan` checks whether it exists.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO, ClassVar, Literal, Protocol, cast

import luigi

from kart_runtime.errors import KartError, ObjectCorrupt
from kart_runtime.storage import signing, value_cache
from kart_runtime.storage.checksum import ChecksumFile, algorithm_of, measured, usual_algorithm
from kart_runtime.storage.codecs import Codec, StartAgain
from kart_runtime.storage.codecs.archive import Archive
from kart_runtime.storage.codecs.file_processors import as_codec
from kart_runtime.storage.codecs.folder import SUFFIX as FOLDER_SUFFIX
from kart_runtime.storage.codecs.frames import Feather
from kart_runtime.storage.codecs.losses import declared
from kart_runtime.storage.confinement import check_inside
from kart_runtime.storage.registry import codec_for, folder_target_class, inner_path, store_for, suffix_of
from kart_runtime.storage.signing import SignatureError
from kart_runtime.storage.signing_keys import keyring
from kart_runtime.storage.staging import OutputRecord as OutputRecord  # noqa: PLC0414 - a part of dump()
from kart_runtime.storage.staging import Run, StagedWrite, active_run, this_process, writer_for
from kart_runtime.storage.stores import Stat, Store, is_marked, is_remote
from kart_runtime.storage.value_cache import THIS_PROCESS, CacheEntry, ValueCache, version_of


class ExpectedOutputs(Protocol):
    """Records of what runs have stored, by which `load` recognizes files that have changed since."""

    def expected(self, url: str) -> OutputRecord | None:
        """Return the newest record of an output, None if there is none."""
        ...

    def refresh(self) -> None:
        """Read what other processes have recorded meanwhile."""
        ...

    def settle(self, url: str) -> Mapping[str, OutputRecord]:
        """Return the outputs, by url, of the try that has stored an output, if it is another one than was expected."""
        ...


_PAUSES = (0.0, 0.1, 0.2)
"""Seconds to wait, again and again, for the record of an output that another process has stored just now."""

_NEW_SECONDS = 5.0
"""Age up to which an output may have been stored just now."""


class Target(luigi.Target):
    """One value in the workspace.

    Parameters
    ----------
    url
        Path or url.
    codec
        Codec that writes and reads the value. None: chosen by the suffix of the url.
    as_type
        Type that the task declares to store, for formats that can hold several.

    Attributes
    ----------
    check
        Called with each value and "dump" or "load"; raises to reject the value. None: every value passes.
    owner
        The task that made the target; None for a target without a task.
    records
        Records by which `load` verifies the bytes before it decodes them. None: nothing is known.
    workspace
        Workspace in which it lies, for a target without a task; None if that is not known.

    Raises
    ------
    UnknownScheme, UnknownFormat
        If there is no store or codec for the url.
    """

    __slots__ = ("_codec", "_key", "_store", "as_type", "check", "owner", "records", "url", "workspace")
    is_folder: ClassVar[bool] = False

    def __init__(self, url: str, codec: Codec | None = None, as_type: Any = None) -> None:
        self.url = url
        self.as_type = as_type
        self.check: Callable[[Any, Literal["dump", "load"]], None] | None = None
        self.owner: Any = None
        self.records: ExpectedOutputs | None = None
        self.workspace: str | None = None
        self._store: Store
        self._store, self._key = store_for(url)
        self._codec: Codec = codec_for(url) if codec is None else codec

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """Leave out the owner, whose run must not follow the target to another process, and the records."""
        state = {name: getattr(self, name) for name in Target.__slots__}
        return None, {**getattr(self, "__dict__", {}), **state, "owner": None, "records": None}

    def _run(self) -> Run | None:
        """Return the run in progress of the task that made this target, else the one that is active here."""
        run: Run | None = None if self.owner is None else self.owner._kart_run
        return active_run.get() if run is None else run

    def _staged(self) -> StagedWrite | None:
        """Return what the run in progress has dumped here, and not yet committed."""
        run = self._run()
        return run.staged.get(self.url) if run is not None and run.staged else None

    @property
    def is_on_disk(self) -> bool:
        """Whether it is not in a remote store."""
        return not is_remote(self._store)

    def exists(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] - luigi states no type
        """Return whether the value is stored, or has been dumped by the run in progress."""
        return self._staged() is not None or self._store.stat(self._key) is not None

    def stat(self) -> Stat | None:
        """Return size and time of the stored bytes, None if nothing is stored."""
        staged = self._staged()
        return self._store.stat(self._key) if staged is None else staged.stat()

    def load(self) -> Any:
        """Return the value; what the run in progress has dumped is read before it is visible to others.

        Raises
        ------
        ObjectMissing
            If it is not stored.
        ObjectCorrupt
            If the bytes are not those that were recorded, or do not follow the format; the cause is chained.
        """
        staged = self._staged()
        if staged is not None:
            with staged.writer.read() as file:
                value = self._decode(self._as_dumped(file, staged))
        else:
            value = self._load_stored(active_run.get())
        if self.check is not None:
            self.check(value, "load")
        return value

    def _load_stored(self, run: Run | None) -> Any:
        cache, remote = value_cache.active_cache, is_remote(self._store)
        if cache is not None and remote:  # what this process has dumped needs no request to the store
            entry = cache.find(self.url, self._codec, self.as_type, THIS_PROCESS)
            if entry is not None:
                return self._cached(entry, run)
        with self._store.open(self._key) as file:
            if cache is not None and not remote and self.url in cache:
                entry = cache.find(self.url, self._codec, self.as_type, version_of(file))
                if entry is not None:
                    return self._cached(entry, run)
            source = self._verified(self._authentic(file, run), run)
            if source is not None:
                return self._decode(source)
        return self._load_again(run)

    def _authentic(self, file: BinaryIO, run: Run | None) -> BinaryIO:
        """Return the file if its signature is valid, or no key is set; raise `SignatureError` before it is decoded."""
        keys = keyring()
        if keys is None or not self._needs_signature():
            return file
        return signing.verified(self._signed_output(run), file, keys)

    def _as_dumped(self, file: BinaryIO, staged: StagedWrite) -> BinaryIO:
        """Return the file if it holds what was dumped, or no key is set: others may write beside the outputs."""
        statement = staged.statement
        if statement is None:
            return file
        source, size, sha256 = signing.hashed(file)
        if (size, sha256) != (statement.size, statement.sha256):
            output = self._signed_output(active_run.get())
            found = "its temporary file was altered after it was dumped"
            raise SignatureError(self.url, found, "Run the task again.", output.owner, output.consumer)
        return source

    def _signed_output(self, run: Run | None) -> signing.Output:
        consumer = "" if run is None or run.task is None else str(run.task)
        return signing.Output(self._store, self._key, self.url, self.owner, consumer, self.workspace)

    def _needs_signature(self) -> bool:
        """Return whether kart stores it, or whether its format can run code when it is read."""
        run = True if self.owner is None else getattr(self.owner, "run", None)
        is_external = run is None or run is NotImplemented
        return not is_external or bool(getattr(self._codec, "runs_code", False))

    def is_unsigned(self) -> bool:
        """Return whether it is stored without the signature that loading it needs, since a key is set."""
        if keyring() is None or not self._needs_signature() or self._staged() is not None:
            return False
        return signing.is_unsigned(self._store, self._key)

    def check_signature(self) -> None:
        """Raise `SignatureError` if a key is set and the stored bytes are not signed; nothing is decoded."""
        with self._store.open(self._key) as file:
            self._authentic(file, None)

    def renew_signature(self, *, dry_run: bool) -> bool:
        """Sign by the first key what an earlier one has signed; return whether it was so.

        What is signed is the statement that was verified, so nobody can alter the bytes in between. Raise
        `SignatureError` if what is stored is not signed.
        """
        self.check_signature()
        keys = keyring()
        if keys is None or len(keys.keys) == 1 or not self._needs_signature():
            return False
        statement = signing.by_earlier_key(self._signed_output(None), keys)
        if statement is not None and not dry_run:
            signing.write_signature(self._store, self._key, statement, keys)
        return statement is not None

    def sign(self) -> None:
        """Sign what is stored, if a key is set."""
        if keyring() is not None:
            with self._store.open(self._key) as file:
                _, size, sha256 = signing.hashed(file)
            parts = self._signed_parts()
            statement = signing.statement_of(self.url, self.owner, size, sha256, parts, workspace=self.workspace)
            signing.write_signature(self._store, self._key, statement)

    def _signed_parts(self) -> Mapping[str, str]:
        """Return the SHA-256 of each file of a folder that is stored; a file has none."""
        return {}

    def _cached(self, entry: CacheEntry, run: Run | None) -> Any:
        self._note_use(run, entry.checksum)
        return entry.snapshot.get()

    def _verified(self, file: BinaryIO, run: Run | None) -> BinaryIO | None:
        """Return the file, at its start, if its bytes are those that were recorded; None if they are not.

        Without a record, the checksum is computed only for a run, which records what it has loaded.
        """
        record = self._expected(run)
        if record is None and run is None:
            return file
        algorithm = "" if record is None else algorithm_of(record.checksum)
        source, size, checksum = measured(file, algorithm or usual_algorithm(self.url))
        if record is not None and algorithm and (size, checksum) != (record.size, record.checksum):
            return None
        self._note_use(run, checksum)
        return source

    def _load_again(self, run: Run | None) -> Any:
        """Load bytes that differ from their record: another process may have stored and recorded others meanwhile."""
        for pause in _PAUSES:
            if pause and (run is None or self.records is None or not self._is_new()):
                break
            time.sleep(pause)  # another process may have stored it just now, and records that next
            if self.records is not None:
                self.records.refresh()
                self._use_stored_try(run, self.records.settle(self.url))
            getattr(self._store, "forget_copy", lambda _: None)(self._key)  # its bytes may have changed on their way
            with self._store.open(self._key) as file:
                source = self._verified(self._authentic(file, run), run)
                if source is not None:
                    return self._decode(source)
        with self._store.open(self._key) as file:
            # What is verified is decoded, and not the file again, which may be another one by then.
            authentic = self._authentic(file, run)
            record = cast("OutputRecord", self._expected(run))
            source, size, checksum = measured(authentic, algorithm_of(record.checksum))
            if is_marked(self._store, self._key, checksum):  # by a run that has died before it recorded this
                self._note_use(run, checksum)
                return self._decode(source)
        found = (
            f"it has {size:,} bytes instead of the {record.size:,} that were stored"
            if size != record.size
            else f"its checksum is {checksum}, and not {record.checksum} as stored"
        )
        consumer = None if run is None else run.task
        raise ObjectCorrupt(self.url, found, self.owner, "" if consumer is None else str(consumer))

    def _is_new(self) -> bool:
        """Return whether what is stored has been stored just now."""
        stat = self._store.stat(self._key)
        return stat is not None and abs(time.time() - stat.modified) < _NEW_SECONDS

    def _use_stored_try(self, run: Run | None, outputs: Mapping[str, OutputRecord]) -> None:
        """Let a run expect the outputs of the try that was stored last, unless it has loaded those of another one."""
        if run is None or not outputs:
            return
        if any(run.loaded.get(url, output.checksum) != output.checksum for url, output in outputs.items()):
            found = "another process has stored all outputs of its task again while they were loaded"
            raise ObjectCorrupt(self.url, found, self.owner, str(run.task))
        if run.expected:
            run.expected = {**run.expected, **outputs}

    def _expected(self, run: Run | None) -> OutputRecord | None:
        record = run.expected.get(self.url) if run is not None and run.expected else None
        if record is None and self.records is not None:
            record = self.records.expected(self.url)
        return record if record is not None and record.checksum else None

    def _note_use(self, run: Run | None, checksum: str) -> None:
        """Record in a run that it has loaded this; its own outputs are no inputs."""
        if run is not None and checksum and (self.owner is None or self.owner is not run.task):
            run.loaded[self.url] = checksum

    def _decode(self, file: BinaryIO) -> Any:
        try:
            return self._codec.load(file, self.as_type)
        except (KartError, ImportError, OSError, MemoryError, Warning):  # a filter may raise what the codec warns of
            raise
        except Exception as error:
            run = active_run.get()
            consumer = "" if run is None or run.task is None else str(run.task)
            raise ObjectCorrupt(self.url, f"{type(error).__name__}: {error}", self.owner, consumer) from error

    @property
    def supports_labels(self) -> bool:
        """Return whether the store can attach labels to an object."""
        return getattr(self._store, "supports_labels", False)

    def dump(
        self,
        obj: Any,
        labels: Mapping[str, str] | None = None,
        may_commit: Callable[[], None] | None = None,
        *,
        lock_at_dump: bool = True,  # noqa: ARG002 - gokart's form
        task_params: Mapping[str, str] | None = None,  # noqa: ARG002
        custom_labels: Mapping[str, str] | None = None,
        required_task_outputs: Any = None,  # noqa: ARG002
    ) -> OutputRecord:
        """Store a value, completely or not at all; inside an attempt, together with the other outputs at its end.

        Parameters
        ----------
        obj
            A value that the format supports.
        labels
            Texts to attach to the object; only for a store that `supports_labels`.
        may_commit
            Called when everything is written, just before it becomes visible; if it raises, nothing is stored. Not
            called inside an attempt, which commits all outputs of its `run()` together.
        lock_at_dump, task_params, required_task_outputs
            Arguments of gokart's, without effect: kart locks tasks, and `TaskOnKart.dump` makes the labels.
        custom_labels
            gokart's name of `labels`; ignored by a store that has none.

        Returns
        -------
        OutputRecord
            Url, size and checksum.

        Raises
        ------
        CannotEncode
            If the format does not support the value.
        """
        value = obj
        if custom_labels and labels is None and self.supports_labels:
            labels = {str(name): str(text) for name, text in custom_labels.items()}
        self._check_dumped(value)
        try:
            write = self._write(value, self._codec, labels)
        except StartAgain as error:  # what had been written went with the temporary file
            write = self._write(value, error.codec, labels)
        run = self._run()
        if run is not None and run.given_up is not None:
            write.discard()
            raise run.given_up
        if run is not None and run.staged is not None and run.process is this_process():
            before, run.staged[self.url] = run.staged.pop(self.url, None), write
            if before is not None:
                before.discard()
            return write.record()
        try:
            if may_commit is not None:
                may_commit()
            write.commit()
        except BaseException:
            write.discard()
            raise
        return write.record()

    def _check_dumped(self, value: Any) -> None:
        if self.check is not None:
            self.check(value, "dump")

    def _write(self, value: Any, codec: Any, labels: Mapping[str, str] | None) -> StagedWrite:
        """Write a value completely; it is not visible."""
        self._check_inside()
        writer = writer_for(self._store, self._key, labels)
        write = StagedWrite(self.url, self._store, self._key, writer)
        try:
            file = writer.__enter__()
            keys = keyring()
            checksum_file = ChecksumFile(file) if keys is None else signing.SigningFile(file)
            token = declared.set(self.as_type)
            try:
                codec.dump(value, checksum_file)
            finally:
                declared.reset(token)
            write.size, write.checksum = checksum_file.size, checksum_file.checksum()
            run = self._run()
            if run is not None and run.marks and hasattr(self._store, "mark_of"):
                writer.mark(write.checksum)  # type: ignore[attr-defined]
            if isinstance(checksum_file, signing.SigningFile):
                statement = signing.statement_of(self.url, self.owner, write.size, checksum_file.sha256())
                write.statement = statement
            cache = value_cache.active_cache
            if cache is not None:
                write.entry = self._cache_entry(cache, value, write, file)
                if write.entry is not None or self.url in cache:
                    write.cache = partial(cache.add, self.url)
            writer.seal()
        except BaseException:
            writer.discard()
            raise
        return write

    def _check_inside(self) -> None:
        if self.owner is not None:
            run = self._run()
            check_inside(self.url, self.owner, allowed=run is None or run.allows_outside)

    def _cache_entry(self, cache: ValueCache, value: Any, write: StagedWrite, file: Any) -> CacheEntry | None:
        if is_remote(self._store):
            content = file.content() if hasattr(file, "content") else None
            return cache.entry_for(value, self._codec, self.as_type, THIS_PROCESS, content, write.checksum)
        if write.size < cache.smallest:
            return None
        return cache.entry_for(value, self._codec, self.as_type, version_of(file), None, write.checksum)

    def remove(self) -> bool:
        """Delete the value; return whether there was one."""
        if value_cache.active_cache is not None:
            value_cache.active_cache.discard(self.url)
        run = self._run()
        staged = run.staged.pop(self.url, None) if run is not None and run.staged else None
        if staged is not None:
            staged.discard()
        self._delete_signature()
        return self._store.delete(self._key) or staged is not None

    def _delete_signature(self) -> None:
        if keyring() is not None or not is_remote(self._store):  # without a key, a store need not be asked for it
            signing.delete_signature(self._store, self._key)

    def last_modification_time(self) -> datetime:
        """Return when the value was stored, in local time without a zone; of an object in S3, in UTC, as in gokart.

        Raises
        ------
        FileNotFoundError
            If it is not stored.
        """
        stat = self.stat()
        if stat is None:
            raise FileNotFoundError(f"{self.url} does not exist.")
        return datetime.fromtimestamp(stat.modified, UTC if self.url.startswith("s3://") else None)

    def path(self) -> str:
        """Return the url; inside a `run()`, the file counts as one that the task has loaded."""
        run = active_run.get()
        if run is not None and self.url not in run.loaded and self.owner is not run.task:
            self._note_path(run)
        return self.url

    def _note_path(self, run: Run) -> None:
        record = self._expected(run)
        if record is not None:
            self._note_use(run, record.checksum)
            return
        if is_remote(self._store):  # the url alone is no reason to download it
            return
        with suppress(OSError), self._store.open(self._key) as file:  # a task may ask for a path to write to
            self._note_use(run, measured(file, usual_algorithm(self.url))[2])

    def __repr__(self) -> str:
        return f"Target({self.url!r})"


def make_target(  # noqa: PLR0917 - gokart's form
    file_path: str,
    unique_id: str | None = None,
    processor: Any = None,
    task_lock_params: Any = None,  # noqa: ARG001 - gokart's form
    store_index_in_feather: bool = True,
    as_type: Any = None,
) -> Target:
    """Return the target of a file, with the unique id before its suffix; ``x.csv.gz`` is csv, compressed by gzip.

    Parameters
    ----------
    file_path
        Path or url.
    unique_id
        Id of the task. None: the name is used unchanged.
    processor
        A codec, or a file processor in gokart's form. None: chosen by the suffix.
    task_lock_params
        Ignored; an argument of gokart's. Writes are atomic, so a single target needs no lock.
    store_index_in_feather
        Whether a feather file stores the index of a pandas DataFrame.
    as_type
        As for `Target`.

    Raises
    ------
    UnknownScheme, UnknownFormat
        If there is no store or codec for the path.
    """
    if processor is None and not store_index_in_feather and file_path.endswith(".feather"):
        processor = Feather(store_index_in_feather=False)
    codec = None if processor is None else as_codec(processor)
    kind = Target if codec is not None or file_path[-7:] != FOLDER_SUFFIX else folder_target_class()
    if not unique_id:
        return kind(file_path, codec, as_type)
    # With a processor gokart's name is right.
    name = with_id(file_path, unique_id) if processor is not None else _with_id_before_format(file_path, unique_id)
    return kind(name, codec, as_type)


def _with_id_before_format(path: str, unique_id: str) -> str:
    """Return ``x_<id>.csv.gz`` for ``x.csv.gz``, of which both suffixes name the format."""
    inner = inner_path(path)
    format_path = path if inner is None else inner
    suffix = suffix_of(format_path)
    if inner is None and suffix.count(".") < 2:
        return with_id(path, unique_id)
    at = len(format_path) - len(suffix)
    return f"{path[:at]}_{unique_id}{path[at:]}" if at > path.rfind("/") + 1 else with_id(path, unique_id)


def make_model_target(  # noqa: PLR0917 - gokart's form
    file_path: str,
    temporary_directory: str,
    save_function: Callable[[Any, str], Any],
    load_function: Callable[[str], Any] | None,
    unique_id: str | None = None,
    task_lock_params: Any = None,  # noqa: ARG001 - gokart's form
) -> Target:
    """Return the target of a zip file that holds the files a value is saved to.

    Parameters
    ----------
    file_path
        Path or url, ending in ``.zip``.
    temporary_directory
        Local folder below which the value is packed and unpacked.
    save_function, load_function
        As for `codecs.archive.Archive`.
    unique_id
        Id of the task. None: the name is used unchanged.
    task_lock_params
        Ignored, as in `make_target`.
    """
    return make_target(file_path, unique_id, Archive(save_function, load_function, temporary_directory))


def with_id(path: str, unique_id: str) -> str:
    """Return ``folder/name_<id>.suffix`` for ``folder/name.suffix``; of several suffixes only the last one counts."""
    name = path.rfind("/") + 1
    dot = path.rfind(".")
    # A name that starts with a dot has no suffix, as in os.path.splitext.
    if dot <= name:
        return f"{path}_{unique_id}"
    return f"{path[:dot]}_{unique_id}{path[dot:]}"


def path_of(target: Any) -> str:
    """Return the path or url of any target, also of luigi's, whose `path` is an attribute."""
    if type(target) is Target or getattr(target, "is_folder", False):
        return cast("str", target.url)
    path = getattr(target, "path", target)
    return str(path() if callable(path) else path)
