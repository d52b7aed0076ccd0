"""Target: one value in a workspace, that is a url, the store that holds its bytes and the codec that reads them.

Created by `TaskOnKart.make_target` and `make_target`; tasks load and dump it, `plan` checks whether it exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, Literal, NamedTuple

import luigi

from kart_runtime.errors import KartError, ObjectCorrupt
from kart_runtime.storage import value_cache
from kart_runtime.storage.checksum import ChecksumFile
from kart_runtime.storage.codecs import Codec, StartAgain
from kart_runtime.storage.codecs.archive import Archive
from kart_runtime.storage.codecs.file_processors import as_codec
from kart_runtime.storage.codecs.frames import Feather
from kart_runtime.storage.registry import codec_for, store_for
from kart_runtime.storage.stores import Stat, Store, is_remote
from kart_runtime.storage.value_cache import MISS, THIS_PROCESS, version_of


class OutputRecord(NamedTuple):
    """Record of one dump.

    Attributes
    ----------
    url
        Path or url of the value.
    size
        Bytes.
    checksum
        Checksum of the bytes, as ``algorithm:hexadecimal digits``; empty for a value that is not stored as bytes.
    """

    url: str
    size: int
    checksum: str


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

    Raises
    ------
    UnknownScheme, UnknownFormat
        If there is no store or codec for the url.
    """

    __slots__ = ("_codec", "_key", "_store", "as_type", "check", "url")

    def __init__(self, url: str, codec: Codec | None = None, as_type: Any = None) -> None:
        self.url = url
        self.as_type = as_type
        self.check: Callable[[Any, Literal["dump", "load"]], None] | None = None
        self._store: Store
        self._store, self._key = store_for(url)
        self._codec: Codec = codec_for(url) if codec is None else codec

    def exists(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] - luigi states no type
        """Return whether the value is stored."""
        return self._store.stat(self._key) is not None

    def stat(self) -> Stat | None:
        """Return size and time of the stored bytes, None if nothing is stored."""
        return self._store.stat(self._key)

    def load(self) -> Any:
        """Return the value.

        Raises
        ------
        ObjectMissing
            If it is not stored.
        ObjectCorrupt
            If the bytes do not follow the format; the cause is chained.
        """
        value = self._load_own() if is_remote(self._store) else MISS
        if value is MISS:
            value = self._load_file()
        if self.check is not None:
            self.check(value, "load")
        return value

    def _load_own(self) -> Any:
        """Return the value if this process has dumped it, without a request to the store."""
        cache = value_cache.active_cache
        return MISS if cache is None else cache.get(self.url, self._codec, self.as_type, THIS_PROCESS)

    def _load_file(self) -> Any:
        cache = value_cache.active_cache
        with self._store.open(self._key) as file:
            value = MISS
            if cache is not None and self.url in cache:
                value = cache.get(self.url, self._codec, self.as_type, version_of(file))
            return self._decode(file) if value is MISS else value

    def _decode(self, file: BinaryIO) -> Any:
        try:
            return self._codec.load(file, self.as_type)
        except (KartError, ImportError, OSError, MemoryError):
            raise
        except Exception as error:
            raise ObjectCorrupt(self.url, f"{type(error).__name__}: {error}") from error

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
        """Store a value, completely or not at all.

        Parameters
        ----------
        obj
            A value that the format supports.
        labels
            Texts to attach to the object; only for a store that `supports_labels`.
        may_commit
            Called when everything is written, just before it becomes visible; if it raises, nothing is stored.
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
        if self.check is not None:
            self.check(value, "dump")
        try:
            return self._write(value, self._codec, labels, may_commit)
        except StartAgain as error:  # what had been written went with the temporary file
            return self._write(value, error.codec, labels, may_commit)

    def _write(
        self, value: Any, codec: Any, labels: Mapping[str, str] | None, may_commit: Callable[[], None] | None
    ) -> OutputRecord:
        store: Any = self._store
        remote = is_remote(store)
        with store.write(self._key, labels) if labels else store.write(self._key) as file:
            checksum_file = ChecksumFile(file)
            codec.dump(value, checksum_file)
            if may_commit is not None:
                may_commit()
            cache = value_cache.active_cache
            if cache is not None and not remote and checksum_file.size >= cache.smallest:
                cache.put(self.url, value, self._codec, self.as_type, version_of(file))
            content = file.content() if remote and cache is not None and hasattr(file, "content") else None
        if remote and cache is not None:  # only now is it certain that it is stored
            cache.put(self.url, value, self._codec, self.as_type, THIS_PROCESS, content)
        return OutputRecord(self.url, checksum_file.size, checksum_file.checksum())

    def remove(self) -> bool:
        """Delete the value; return whether there was one."""
        if value_cache.active_cache is not None:
            value_cache.active_cache.discard(self.url)
        return self._store.delete(self._key)

    def last_modification_time(self) -> datetime:
        """Return when the value was stored, in local time without a zone; of an object in S3, in UTC, as in gokart.

        Raises
        ------
        FileNotFoundError
            If it is not stored.
        """
        stat = self._store.stat(self._key)
        if stat is None:
            raise FileNotFoundError(f"{self.url} does not exist.")
        return datetime.fromtimestamp(stat.modified, UTC if self.url.startswith("s3://") else None)

    def path(self) -> str:
        """Return the url."""
        return self.url

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
    """Return the target of a file, with the unique id before its suffix.

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
    return Target(with_id(file_path, unique_id) if unique_id else file_path, codec, as_type)


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
    if type(target) is Target:
        return target.url
    path = getattr(target, "path", target)
    return str(path() if callable(path) else path)
