"""Target of a folder: whole or absent, on a disk and in every store.

A run fills a folder, whose files then are where they stay; the value exists once the list of them is stored, by the
commit of all outputs of the run (`staging`, `commit`). Loading gives the path of a folder on this machine: in a
workspace on a disk the stored folder itself, else a download (`folder_cache`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from kart_runtime.errors import CannotEncode, ObjectCorrupt, WriteFailed
from kart_runtime.storage import durable, signing
from kart_runtime.storage.codecs import folder_tables
from kart_runtime.storage.codecs.folder import Folder, Manifest, decoded
from kart_runtime.storage.commit import recover
from kart_runtime.storage.folder_cache import CachedFolder
from kart_runtime.storage.folder_deletion import delete_files, delete_folder, sweep
from kart_runtime.storage.folder_files import (
    check_no_link,
    delete_byte_code,
    difference,
    files_key,
    listed,
    send,
    stored_manifest,
)
from kart_runtime.storage.folder_markers import Marker
from kart_runtime.storage.notes import Note
from kart_runtime.storage.signing_keys import Keyring, keyring
from kart_runtime.storage.staging import StagedWrite, Writer, active_run
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.system import copy_tree
from kart_runtime.storage.target import Target


class Draft(Protocol):
    """A folder that is being filled, before its list of files is stored."""

    path: Path

    def seal(self) -> Manifest:
        """List the files, and send them to the store if it is another one."""
        ...

    def committed(self) -> None:
        """Delete what the folder has replaced."""
        ...

    def discard(self) -> None:
        """Delete the files, unless they are those of the value."""
        ...


class _Draft:
    """What the drafts of all stores have in common."""

    def __init__(self, store: Any, key: str) -> None:
        self._store, self._key = store, key
        self.token = os.urandom(8).hex()
        before = stored_manifest(store, key) if store.stat(key) is not None else None
        self._before = "" if before is None else before.token

    def committed(self) -> None:
        # Files that another process has stored since this one began may be in use; they go when a day has passed.
        with suppress(OSError):
            if self._before:
                delete_files(self._store, self._key, self._before)
            sweep(self._store, self._key)

    def discard(self) -> None:
        with suppress(OSError):
            stored = stored_manifest(self._store, self._key)
            if stored is None or stored.token != self.token:
                delete_files(self._store, self._key, self.token)


class _LocalDraft(_Draft):
    """A folder on a disk, filled where it stays."""

    def __init__(self, store: Any, key: str, workspace: str) -> None:
        super().__init__(store, key)
        folder = Path(files_key(key)).absolute()
        check_no_link(folder)
        if folder.exists():
            recover(workspace)  # an unfinished commit may still need what its process has left
            sweep(store, key)
        self.path = folder / self.token
        try:
            self._marker = Marker.create(folder, self.token, self._before)
            self.path.mkdir()
        except OSError as error:
            raise WriteFailed(str(self.path), error.strerror or str(error)) from error

    def seal(self) -> Manifest:
        manifest = listed(self.path, self.token)
        if durable.is_on():
            try:
                durable.flush_tree(str(self.path))
            except OSError as error:
                raise WriteFailed(str(self.path), f"the disk did not take it: {error.strerror or error}") from error
        return manifest

    def committed(self) -> None:
        super().committed()
        self._marker.delete()  # at last: it says what to delete if this process dies before

    def discard(self) -> None:
        self._marker.delete()
        super().discard()


class _RemoteDraft(_Draft):
    """A folder in this machine's cache, sent to the store when it is filled; whoever loads it here has it already."""

    def __init__(self, store: Any, key: str) -> None:
        super().__init__(store, key)
        self._cached = CachedFolder(store, key, self.token)
        self.path = self._cached.new()
        self._note: Note | None = None

    def seal(self) -> Manifest:
        manifest = listed(self.path, self.token)
        if hasattr(self._store, "service_id"):
            self._note = Note("folder", self._store, self._key, token=self.token, before=self._before)
        send(self._store, self._key, self.path, manifest)
        self._cached.keep(manifest)
        return manifest._replace(times=())

    def committed(self) -> None:
        super().committed()
        self._end_note()

    def discard(self) -> None:
        self._cached.delete()
        super().discard()
        self._end_note()

    def _end_note(self) -> None:
        if self._note is not None:
            self._note.delete()


class _FolderWriter:
    """The writer of the list of files, and the draft that shares its fate."""

    def __init__(self, writer: Writer, draft: Draft) -> None:
        self._writer, self._draft = writer, draft
        self.version = writer.version

    @property
    def temporary(self) -> str:
        return getattr(self._writer, "temporary", "")

    def __enter__(self) -> BinaryIO:
        return self._writer.__enter__()

    def seal(self) -> None:
        self._writer.seal()
        self.version = self._writer.version

    def read(self) -> BinaryIO:
        return self._writer.read()

    def commit(self) -> None:
        self._writer.commit()
        self.version = self._writer.version
        self._draft.committed()

    def discard(self) -> None:
        self._writer.discard()
        self._draft.discard()


class FolderTarget(Target):
    """A folder in the workspace, as a value: a `pathlib.Path`, or a lazy table of its parquet files.

    Parameters
    ----------
    url
        Path or url of the list of its files, which ends in ``.folder``.
    codec
        None; as for `Target`.
    as_type
        Type that the task declares: ``pathlib.Path``, ``polars.LazyFrame``, ``pyarrow.dataset.Dataset``, or a frame.
    partition_by
        Columns whose values name the subfolders of a table that is dumped.
    """

    __slots__ = ("partition_by",)
    is_folder = True

    def __init__(self, url: str, codec: Any = None, as_type: Any = None, partition_by: Sequence[str] = ()) -> None:
        super().__init__(url, Folder() if codec is None else codec, as_type)
        self.partition_by = tuple(partition_by)

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """Return the state without the owner, as `Target`, with the columns."""
        _, state = super().__getstate__()
        return None, {**state, "partition_by": self.partition_by}

    # -- writing -----------------------------------------------------------------------------------------------------

    def draft(self) -> Draft:
        """Return a new folder, to be filled; after that, pass it to `dump`, or call its `discard`."""
        self._check_inside()  # before the first file of it is written
        if isinstance(self._store, LocalStore):
            return _LocalDraft(self._store, self._key, getattr(self.owner, "workspace_directory", "./resources/"))
        return _RemoteDraft(self._store, self._key)

    @contextmanager
    def filling(self) -> Iterator[Draft]:
        """Yield a new folder; if the block raises, nothing of it is left."""
        draft = self.draft()
        try:
            yield draft
        except BaseException:
            draft.discard()
            raise

    def _check_dumped(self, value: Any) -> None:
        if not isinstance(value, _Draft | os.PathLike | str):  # the files of these are checked when all are there
            super()._check_dumped(value)

    def _write(self, value: Any, codec: Any, labels: Mapping[str, str] | None) -> StagedWrite:
        if isinstance(value, _Draft):
            return self._seal(value, codec, labels)  # type: ignore[arg-type]
        with self.filling() as draft:
            _fill(value, draft.path, self.partition_by)
        return self._seal(draft, codec, labels)

    def _seal(self, draft: Draft, codec: Any, labels: Mapping[str, str] | None) -> StagedWrite:
        try:
            manifest = draft.seal()
            if self.check is not None:
                self.check(folder_tables.value_of(draft.path, self.as_type), "dump")
            write = super()._write(manifest, codec, labels)
            if write.statement is not None:
                names = [file.name for file in manifest.files]
                write.statement = write.statement._replace(parts=signing.parts_of(draft.path, names))
        except BaseException:
            draft.discard()
            raise
        write.checksum = manifest.checksum()
        write.writer = _FolderWriter(write.writer, draft)
        return write

    def _cache_entry(self, cache: Any, value: Any, write: Any, file: Any) -> None:
        """Return nothing: the value is a path, and its files are on this machine anyway."""

    def remove(self) -> bool:
        """Delete the folder; return whether there was one."""
        staged = super().remove() if self._staged() is not None else False
        self._delete_signature()
        return delete_folder(self._store, self._key) or staged

    # -- reading -----------------------------------------------------------------------------------------------------

    def exists(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] - luigi states no type
        """Return whether the folder is stored, or has been filled by the run in progress."""
        if not super().exists():
            return False
        # On a disk, somebody may have deleted the visible folder.
        return not isinstance(self._store, LocalStore) or os.path.isdir(files_key(self._key))  # noqa: PTH112

    def load(self) -> Any:
        """Return the folder as a path on this machine, or as the type that the task declares.

        Raises
        ------
        ObjectMissing
            If it is not stored.
        ObjectCorrupt
            If its files are not those that were stored.
        """
        try:
            return super().load()
        except (ObjectCorrupt, FileNotFoundError):
            return super().load()  # another process may have replaced it since its list was read

    def _decode(self, file: BinaryIO) -> Any:
        keys = keyring()
        if keys is None:
            return folder_tables.value_of(self._on_this_machine(super()._decode(file)), self.as_type)
        data = file.read()
        path = self._on_this_machine(super()._decode(BytesIO(data)))
        staged = self._staged()
        if staged is None:
            self._check_parts(data, path, keys)
        elif staged.statement is not None:
            self._compare(data, path, staged.statement.parts)
        self._drop_byte_code(data, path)
        return folder_tables.value_of(path, self.as_type)

    def _check_parts(self, data: bytes, path: Path, keys: Keyring) -> None:
        """Raise `SignatureError` if the files of the folder are not those that were signed with its list."""
        self._compare(data, path, signing.signed_parts(self._signed_output(active_run.get()), data, keys))

    def _compare(self, data: bytes, path: Path, parts: Mapping[str, str]) -> None:
        output = self._signed_output(active_run.get())
        signing.check_parts(output, path, [entry.name for entry in decoded(data).files], parts)

    def _drop_byte_code(self, data: bytes, path: Path) -> None:
        """Delete byte code that was not signed with the folder; raise `SignatureError` if it must stay."""
        left = delete_byte_code(path, {entry.name for entry in decoded(data).files})
        if left:
            remedy = "Delete the file: a task that imports from the folder would run it."
            output = self._signed_output(active_run.get())
            found = f"its file '{left}' was not stored with it, and cannot be deleted here"
            raise signing.SignatureError(self.url, found, remedy, output.owner, output.consumer)

    def check_signature(self) -> None:
        """Raise `SignatureError` if a key is set and the folder, or one of its files, is not signed."""
        super().check_signature()
        keys = keyring()
        if keys is not None:
            with self._store.open(self._key) as file:
                data = file.read()
            self._check_parts(data, self._on_this_machine(decoded(data)), keys)

    def _signed_parts(self) -> Mapping[str, str]:
        with self._store.open(self._key) as file:
            manifest = decoded(file.read())
        path = self._on_this_machine(manifest)
        return signing.parts_of(path, [entry.name for entry in manifest.files])

    def _on_this_machine(self, manifest: Manifest) -> Path:
        run = active_run.get()
        consumer = "" if run is None or run.task is None else str(run.task)
        if isinstance(self._store, LocalStore):
            path = Path(files_key(self._key)).absolute() / manifest.token
            problem = difference(path, manifest)
            if problem:
                raise ObjectCorrupt(self.url, problem, self.owner, consumer)
            return path
        try:
            return CachedFolder(self._store, self._key, manifest.token).get(manifest)
        except (ValueError, FileNotFoundError) as error:
            raise ObjectCorrupt(self.url, str(error), self.owner, consumer) from error

    def path(self) -> str:
        """Return the path or url of the folder; inside a `run()`, it counts as one that the task has loaded.

        It is that of the files as they are stored now; before there are any, that of the folder around them.
        """
        super().path()
        return self.place()

    def place(self) -> str:
        """Return the path or url of the folder, for messages."""
        url = files_key(self.url)
        manifest = stored_manifest(self._store, self._key)
        return url if manifest is None else f"{url}/{manifest.token}"


def _fill(value: Any, path: Path, partition_by: Sequence[str]) -> None:
    """Write a value into an empty folder: a copy of a folder, or a table as parquet files."""
    if isinstance(value, str | os.PathLike):
        source = Path(value)
        if not source.is_dir():
            raise CannotEncode("A folder output", "folders", f"{source}, which is no folder,")
        copy_tree(source, path)
    elif not folder_tables.write(value, path, partition_by):
        accepted = "a folder (a path), or a table of pandas, polars or pyarrow"
        raise CannotEncode("A folder output", accepted, type(value).__name__)
