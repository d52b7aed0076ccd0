"""Tables of codecs by suffix and of stores by scheme, as import paths, imported when they are first used."""

from __future__ import annotations

import importlib
import os
import re
from typing import Any

from kart_runtime.errors import UnknownFormat, UnknownScheme

CODECS: dict[str, str] = {
    ".pkl": "kart_runtime.storage.codecs.pickles:Pickle",
    ".txt": "kart_runtime.storage.codecs.texts:Text",
    ".ini": "kart_runtime.storage.codecs.texts:Text",
    ".gz": "kart_runtime.storage.codecs.texts:Gzip",
    ".xml": "kart_runtime.storage.codecs.texts:Xml",
    ".png": "kart_runtime.storage.codecs.texts:Binary",
    ".jpg": "kart_runtime.storage.codecs.texts:Binary",
    ".json": "kart_runtime.storage.codecs.json_values:Json",
    ".ndjson": "kart_runtime.storage.codecs.json_values:JsonLines",
    ".jsonl": "kart_runtime.storage.codecs.json_values:JsonLines",
    ".npz": "kart_runtime.storage.codecs.arrays:Npz",
    ".csv": "kart_runtime.storage.codecs.frames:Csv",
    ".tsv": "kart_runtime.storage.codecs.frames:Tsv",
    ".parquet": "kart_runtime.storage.codecs.frames:Parquet",
    ".feather": "kart_runtime.storage.codecs.frames:Feather",
    ".folder": "kart_runtime.storage.codecs.folder:Folder",
}
"""Suffix of a file, in lower case, to its codec class, as ``module:class``."""

STORES: dict[str, str] = {
    "": "kart_runtime.storage.stores.local:LocalStore",
    "file": "kart_runtime.storage.stores.local:LocalStore",
    "s3": "kart_runtime.storage.stores.s3:S3Store",
    "gs": "kart_runtime.storage.stores.gcs:GCSStore",
    "memory": "kart_runtime.storage.stores.memory:MemoryStore",
}
"""Scheme of a url to its store class, as ``module:class``; a path has the scheme ''."""


def register_store(scheme: str, store: str) -> None:
    """Register a store for the urls of a scheme, in this process and in its worker processes.

    Parameters
    ----------
    scheme
        Scheme of the urls, without ``://``.
    store
        Import path of the store's class, as ``package.module:Class``. kart imports it when it is first needed, and
        calls it without arguments.

    Raises
    ------
    ValueError
        If the scheme or the import path is malformed.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) or scheme == "file":
        raise ValueError(f"'{scheme}' cannot be the scheme of a store; use a word such as 'hdfs'.")
    module, _, attribute = store.partition(":")
    if not module or not attribute:
        raise ValueError(f"'{store}' is not the import path of a class; write 'package.module:Class'.")
    STORES[scheme] = store


class _Base:
    """Folder that relative paths refer to; None: the working folder at the time of the call."""

    folder: str | None = None


relative_to = _Base()
"""Set while tasks run, because a `run()` may change the working folder."""

_loaded: dict[str, Any] = {}


def _class(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _load(path: str) -> Any:
    """Return the instance of a class, which the whole process shares."""
    instance = _loaded.get(path)
    if instance is None:
        instance = _loaded[path] = _class(path)()
    return instance


GZIPPED = "kart_runtime.storage.codecs.texts:Gzipped"
"""Codec class of two suffixes such as ``.csv.gz``, which is given the codec of the first one."""


FOLDER_TARGET = "kart_runtime.storage.folder_target:FolderTarget"
"""Class of the targets with the suffix ``.folder``, imported when there is one."""


def folder_target_class() -> Any:
    """Return the class of the targets of folders."""
    return _class(FOLDER_TARGET)


def codec_for(path: str) -> Any:
    """Return the codec for the suffix of a path or url; `UnknownFormat` if there is none."""
    inner = inner_path(path)
    if inner is None:
        return _load(_codec_entry(path))
    entry = _codec_entry(inner)
    codec = _loaded.get(f"gzip:{entry}")
    if codec is None:
        codec = _loaded[f"gzip:{entry}"] = _class(GZIPPED)(_load(entry))
    return codec


def codec_class(path: str) -> type[Any]:
    """Return the codec class for the last suffix of a path or url, to create one with options."""
    codec: type[Any] = _class(_codec_entry(path))
    return codec


def inner_path(path: str) -> str | None:
    """Return ``x.csv`` for ``x.csv.gz``; None unless the suffix before ``.gz`` is the one of a format."""
    if path[-1:] not in ("z", "Z"):  # asked for each target
        return None
    inner = path[:-3]
    return inner if path[-3:].lower() == ".gz" and _suffix(inner) in CODECS and _suffix(inner) != ".gz" else None


def _suffix(path: str) -> str:
    dot = path.rfind(".")
    return path[dot:].lower() if dot > path.rfind("/") else ""


def _codec_entry(path: str) -> str:
    entry = CODECS.get(_suffix(path))
    if entry is None:
        raise UnknownFormat(path, sorted(CODECS))
    return entry


def split_url(url: str) -> tuple[str, str]:
    """Return the scheme of a url and the rest; a path has the scheme ''."""
    scheme, separator, rest = url.partition("://")
    return (scheme, rest) if separator else ("", url)


_HAS_DRIVES = os.name == "nt"
"""Whether an absolute path may begin with something else than a slash."""


def store_for(url: str) -> tuple[Any, str]:
    """Return the store of a path or url and the key inside it; `UnknownScheme` if there is no such store."""
    scheme, key = split_url(url)
    entry = STORES.get(scheme)
    if entry is None:
        known = [f"{name}://" if name else "a path" for name in STORES]
        raise UnknownScheme(url, known, "To use another store, call kart_runtime.register_store() first.")
    folder = relative_to.folder
    if folder is not None and key[:1] != "/" and scheme in ("", "file") and not (_HAS_DRIVES and os.path.isabs(key)):  # noqa: PTH117
        key = f"{folder}/{key.removeprefix('./')}"
    return _load(entry), key
