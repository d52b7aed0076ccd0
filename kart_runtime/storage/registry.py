"""Tables of codecs by suffix and of stores by scheme, as import paths, imported when they are first used."""

from __future__ import annotations

import importlib
import os
import re
from typing import Any

from kart_runtime.errors import UnknownFormat, UnknownScheme, closest_match

_CODECS = "kart_runtime.storage.codecs"

CODECS: dict[str, str] = {
    ".pkl": f"{_CODECS}.pickles:Pickle",
    ".txt": f"{_CODECS}.texts:Text",
    ".ini": f"{_CODECS}.texts:Text",
    ".gz": f"{_CODECS}.texts:Gzip",
    ".zst": f"{_CODECS}.compressed:Zst",
    ".xml": f"{_CODECS}.texts:Xml",
    ".md": f"{_CODECS}.texts:WholeText",
    ".html": f"{_CODECS}.figures:Html",
    ".svg": f"{_CODECS}.figures:Svg",
    ".png": f"{_CODECS}.figures:Png",
    ".jpg": f"{_CODECS}.figures:Jpeg",
    ".jpeg": f"{_CODECS}.figures:Jpeg",
    ".pdf": f"{_CODECS}.figures:Pdf",
    ".bin": f"{_CODECS}.texts:Binary",
    ".json": f"{_CODECS}.json_values:Json",
    ".ndjson": f"{_CODECS}.json_values:JsonLines",
    ".jsonl": f"{_CODECS}.json_values:JsonLines",
    ".yaml": f"{_CODECS}.documents:Yaml",
    ".yml": f"{_CODECS}.documents:Yaml",
    ".toml": f"{_CODECS}.documents:Toml",
    ".npy": f"{_CODECS}.arrays:Npy",
    ".npz": f"{_CODECS}.arrays:Npz",
    ".csv": f"{_CODECS}.frames:Csv",
    ".tsv": f"{_CODECS}.frames:Tsv",
    ".parquet": f"{_CODECS}.frames:Parquet",
    ".feather": f"{_CODECS}.frames:Feather",
    ".arrow": f"{_CODECS}.frames:Arrow",
    ".orc": f"{_CODECS}.frames:Orc",
    ".xlsx": f"{_CODECS}.excel:Excel",
    ".joblib": f"{_CODECS}.models:Joblib",
    ".pt": f"{_CODECS}.models:Torch",
    ".pth": f"{_CODECS}.models:Torch",
}
"""Suffix of a file, in lower case, to its codec class, as ``module:class``; a suffix may have two parts."""

COMPRESSED: dict[str, str] = {
    ".gz": f"{_CODECS}.compressed:Gzipped",
    ".zst": f"{_CODECS}.compressed:Zstandard",
}
"""Last suffix of two, as in ``.csv.gz``, to the codec class that is given the codec of the first one."""

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
    _check_import_path(store)
    STORES[scheme] = store


def register_codec(suffix: str, codec: str) -> None:
    """Register a codec for the files with a suffix, in this process and in its worker processes.

    Parameters
    ----------
    suffix
        Suffix of the files with its dot, such as ``.geojson``, or two, such as ``.tar.zst``. One that kart knows gets
        the new codec, also for the files that are there already; only ``.pkl`` cannot be replaced.
    codec
        Import path of the codec's class, as ``package.module:Class``. kart imports it when it is first needed, and
        calls it without arguments. `Codec` says what the class needs.

    Raises
    ------
    ValueError
        If the suffix or the import path is malformed.
    """
    if not re.fullmatch(r"(\.[A-Za-z0-9_+-]+){1,2}", suffix) or suffix.lower() == ".pkl":
        raise ValueError(f"'{suffix}' cannot be the suffix of a codec; use one such as '.geojson'.")
    _check_import_path(codec)
    CODECS[suffix.lower()] = codec


def _check_import_path(path: str) -> None:
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        raise ValueError(f"'{path}' is not the import path of a class; write 'package.module:Class'.")


def tables() -> tuple[dict[str, str], dict[str, str]]:
    """Return the stores and codecs, for another process to `adopt`."""
    return dict(STORES), dict(CODECS)


def adopt(found: tuple[dict[str, str], dict[str, str]]) -> None:
    """Know the stores and codecs of another process."""
    STORES.update(found[0])
    CODECS.update(found[1])


class _Base:
    """Folder that relative paths refer to; None: the working folder at the time of the call."""

    folder: str | None = None


relative_to = _Base()
"""Set while tasks run, because a `run()` may change the working folder."""

_loaded: dict[str, Any] = {}


def _class(path: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise ImportError(f"The module {module} has no class {attribute}, which is registered as '{path}'.") from error


def _load(path: str) -> Any:
    """Return the instance of a class, which the whole process shares."""
    instance = _loaded.get(path)
    if instance is None:
        instance = _loaded[path] = _class(path)()
    return instance


def codec_for(path: str) -> Any:
    """Return the codec for the suffix of a path or url; `UnknownFormat` if there is none."""
    inner = inner_path(path)
    if inner is None:
        return _load(_codec_entry(path))
    outer, entry = COMPRESSED[path[len(inner) :].lower()], _codec_entry(inner)
    codec = _loaded.get(f"{outer} {entry}")
    if codec is None:
        codec = _loaded[f"{outer} {entry}"] = _class(outer)(_load(entry))
    return codec


def codec_class(path: str) -> type[Any]:
    """Return the codec class for the suffix of a path or url, to create one with options."""
    codec: type[Any] = _class(_codec_entry(path))
    return codec


def compressed(path: str, codec: Any) -> Any:
    """Return the codec that compresses what another one writes, for a path such as ``x.csv.gz``."""
    return _class(COMPRESSED[path[path.rfind(".") :].lower()])(codec)


def inner_path(path: str) -> str | None:
    """Return ``x.csv`` for ``x.csv.gz`` and ``x.csv.zst``; None unless the first suffix is the one of a format."""
    if path[-1:] not in "zZtT":  # asked for each target
        return None
    dot = path.rfind(".")
    if path[dot:].lower() not in COMPRESSED or suffix_of(path) != path[dot:].lower():
        return None
    suffix = suffix_of(path[:dot])
    return path[:dot] if suffix in CODECS and suffix not in COMPRESSED else None


def suffix_of(path: str) -> str:
    """Return the suffix of a path, in lower case; two suffixes if a codec is registered for both together."""
    start = path.rfind("/") + 1
    dot = path.rfind(".")
    if dot < start:
        return ""
    before = path.rfind(".", start, dot)
    if before > start:
        both = path[before:].lower()
        if both in CODECS:
            return both
    return path[dot:].lower()


def _codec_entry(path: str) -> str:
    suffix = suffix_of(path)
    entry = CODECS.get(suffix)
    if entry is None:
        raise UnknownFormat(path, sorted(CODECS), closest_match(suffix, CODECS) if suffix else None)
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
