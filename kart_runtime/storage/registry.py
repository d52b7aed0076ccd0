"""Where is the code for a suffix or a scheme? Two tables of import paths, so that nothing is loaded before it is used.

A table entry names ``module:attribute``. What needs a library that may be missing says which extra brings it.
"""

from __future__ import annotations

import importlib
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
    ".npz": "kart_runtime.storage.codecs.arrays:Npz",
    ".csv": "kart_runtime.storage.codecs.frames:Csv",
    ".tsv": "kart_runtime.storage.codecs.frames:Tsv",
    ".parquet": "kart_runtime.storage.codecs.frames:Parquet",
    ".feather": "kart_runtime.storage.codecs.frames:Feather",
}
"""Suffix of a file, lower case, to its codec class."""

STORES: dict[str, str] = {
    "": "kart_runtime.storage.stores.local:LocalStore",
    "file": "kart_runtime.storage.stores.local:LocalStore",
    "s3": "kart_runtime.storage.stores.s3:S3Store",
    "gs": "kart_runtime.storage.stores.gcs:GCSStore",
    "memory": "kart_runtime.storage.stores.memory:MemoryStore",
}
"""Scheme of a url to its store class; a path has the scheme ''."""


def register_store(scheme: str, store: str) -> None:
    """Make a store known, in this process and in worker processes.

    Parameters
    ----------
    scheme
        What its urls begin with, without ``://``.
    store
        Where its class lies, as ``package.module:Class``; it is imported when it is needed, and called without
        arguments.

    Raises
    ------
    ValueError
        When one of the two cannot be right.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) or scheme == "file":
        raise ValueError(f"'{scheme}' cannot be the scheme of a store's urls; use a word such as 'hdfs'")
    module, _, attribute = store.partition(":")
    if not module or not attribute:
        raise ValueError(f"'{store}' does not say where a class lies; write 'package.module:Class'")
    STORES[scheme] = store


_loaded: dict[str, Any] = {}


def _class(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _load(path: str) -> Any:
    found = _loaded.get(path)
    if found is None:
        found = _loaded[path] = _class(path)()
    return found


def codec_for(path: str) -> Any:
    """Return the codec of a file name.

    Parameters
    ----------
    path
        A path or url; its suffix decides.

    Raises
    ------
    UnknownFormat
        When no codec is known for the suffix.
    """
    entry = CODECS.get(path[path.rfind(".") :]) or _codec_entry(path)
    return _loaded.get(entry) or _load(entry)


def codec_class(path: str) -> type[Any]:
    """Return the class of a file name's codec, for who gives it options.

    Parameters
    ----------
    path
        A path or url; its suffix decides.

    Raises
    ------
    UnknownFormat
        When no codec is known for the suffix.
    """
    found: type[Any] = _class(_codec_entry(path))
    return found


def _codec_entry(path: str) -> str:
    dot = path.rfind(".")
    suffix = path[dot:].lower() if dot > path.rfind("/") else ""
    entry = CODECS.get(suffix)
    if entry is None:
        raise UnknownFormat(path, sorted(CODECS))
    return entry


def split_url(url: str) -> tuple[str, str]:
    """Return the scheme of a url and the rest; a path has the scheme ''.

    Parameters
    ----------
    url
        For example ``./resources/x.pkl``, ``s3://bucket/x.pkl``.
    """
    scheme, separator, rest = url.partition("://")
    return (scheme, rest) if separator else ("", url)


def store_for(url: str) -> tuple[Any, str]:
    """Return the store of a url, and the key inside it.

    Parameters
    ----------
    url
        A path, or a url with a scheme.

    Raises
    ------
    UnknownScheme
        When no store is known for the scheme.
    """
    scheme, key = split_url(url) if "://" in url else ("", url)
    entry = STORES.get(scheme)
    if entry is None:
        known = [f"{name}://" if name else "a path" for name in STORES]
        raise UnknownScheme(url, known, "Another store is made known by kart_runtime.register_store().")
    return _loaded.get(entry) or _load(entry), key
