"""Signatures of outputs: a small file ``x.pkl.sig`` beside each output, verified before its bytes are decoded.

With keys (`signing_keys`) a signature is written just before its output becomes visible, so an output that exists has
one whenever its process died. It holds what it says in clear, and signs it: the name of the output in its workspace,
size and SHA-256 of the bytes, the task. The statement before it stays as well, for an output that was about to be
replaced when its process died.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from kart_runtime.errors import ObjectCorrupt, StoreError
from kart_runtime.storage.checksum import ChecksumFile
from kart_runtime.storage.registry import split_url
from kart_runtime.storage.signing_keys import VARIABLE, Keyring, Signature, keyring
from kart_runtime.storage.workspace import Workspace

SUFFIX = ".sig"
"""Suffix of the file with the signature of an output, after the name of the output."""

_LABEL = "kart-output-1"
_IN_MEMORY = 64 << 20
"""Bytes of a file that is verified and decoded from memory, where nobody can change it in between."""

_MOST = 1 << 28
"""Bytes that a file of signatures may have: that of a folder names each file."""

_BLOCK = 1 << 20

_SIGN = (
    "If you trust it, sign it by `kart sign` (or kart_runtime.sign_outputs(task)); else delete it and run again, or "
    "set run.on_corrupt to recompute."
)


class SignatureError(ObjectCorrupt):
    """An output has no valid signature, and a key is set: it was not decoded.

    Parameters
    ----------
    url
        The file.
    found
        What is wrong with its signature.
    remedy
        What to do.
    producer
        The task that stores it; None if it is not known.
    consumer
        The task that loads it, as text.

    Attributes
    ----------
    is_by_other_key
        Whether it is signed by a key that is not known here.
    """

    def __init__(self, url: str, found: str, remedy: str = _SIGN, producer: Any = None, consumer: str = "") -> None:
        self.url, self.found, self.remedy = url, found, remedy
        self.producer, self.consumer = producer, consumer
        self.is_by_other_key = VARIABLE in remedy
        of = f", the output of {producer}," if producer is not None else ""
        for_ = f" for {consumer}" if consumer else ""
        StoreError.__init__(self, f"{url}{of} was not read{for_}: {found}. {remedy}")


class Output(NamedTuple):
    """What is read: its store and key, its url, the task that stores it and, as text, the one that loads it.

    `workspace` is that in which it lies, if no task that stores it says so.
    """

    store: Any
    key: str
    url: str
    owner: Any = None
    consumer: str = ""
    workspace: str | None = None


class Statement(NamedTuple):
    """What a signature says of an output.

    `name` is its path in the workspace, an absolute one outside of it; `is_loose` says that no workspace is known,
    since no task has stored it. `task` and `id` are those of the task. `parts` are the SHA-256 of the files of a
    folder.
    """

    name: str
    size: int
    sha256: str
    task: str = ""
    id: str = ""
    at: str = ""
    is_loose: bool = False
    parts: Mapping[str, str] = {}


class SigningFile(ChecksumFile):
    """A file open for writing that computes SHA-256 as well."""

    __slots__ = ("_sha256",)

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._sha256 = hashlib.sha256()

    def _write_block(self, data: Any) -> None:
        super()._write_block(data)
        self._sha256.update(data)

    def sha256(self) -> str:
        """Return the SHA-256 of everything written."""
        return self._sha256.hexdigest()


# -- names -----------------------------------------------------------------------------------------------------------


def statement_of(
    url: str,
    owner: Any,
    size: int,
    sha256: str,
    parts: Mapping[str, str] | None = None,
    *,
    workspace: str | None = None,
) -> Statement:
    """Return what the signature of an output says; `owner` is the task that stores it, None if there is none."""
    name, is_loose = _name(url, owner, workspace)
    task = "" if owner is None else f"{type(owner).__module__}.{type(owner).__qualname__}"
    make_id = getattr(owner, "make_unique_id", None)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Statement(name, size, sha256, task, "" if make_id is None else make_id(), now, is_loose, parts or {})


def _name(url: str, owner: Any, workspace: str | None) -> tuple[str, bool]:
    """Return the name of what lies at a url, and whether no workspace is known."""
    workspace = getattr(owner, "workspace_directory", None) if workspace is None else workspace
    if workspace is None:
        return _absolute(url), True
    base = Workspace(str(workspace)).base
    return (url.removeprefix(base), False) if url.startswith(base) else (_absolute(url), False)


def _absolute(url: str) -> str:
    scheme, path = split_url(url)
    return os.path.abspath(path) if scheme in ("", "file") else url  # noqa: PTH100 - a text


def _fits(statement: Statement, output: Output) -> bool:
    """Return whether a statement is about an output; without its workspace, whether it ends in the right way."""
    url = output.url
    name, is_loose = _name(url, output.owner, output.workspace)
    if is_loose and statement.is_loose:
        return statement.name.replace(os.sep, "/").rpartition("/")[2] == url.replace(os.sep, "/").rpartition("/")[2]
    if statement.name == name or statement.name == _absolute(url):
        return True
    return is_loose and f"/{url}".endswith(f"/{statement.name}")


# -- writing ---------------------------------------------------------------------------------------------------------


def write_signature(store: Any, key: str, statement: Statement, keys: Keyring | None = None) -> None:
    """Store the signature of an output that is about to become visible, before the one that is valid until then."""
    keys = keys or keyring()
    if keys is None:
        return
    text = json.dumps(statement._asdict(), sort_keys=True)
    entries = [{"statement": text, "signature": str(keys.sign(_LABEL, text.encode()))}]
    with suppress(OSError, ValueError):
        entries += [entry for entry in _stored(store, key) if entry["statement"] != text][:1]
    with store.write(f"{key}{SUFFIX}") as file:
        file.write(json.dumps({"format": 1, "signatures": entries}).encode())


def copy_signature(source: Output, copy: Output, name: str) -> None:
    """Sign a copy of a signed file or of the list of a folder, under the name that it has in its workspace.

    Raise `SignatureError` for a source that is not signed, and for a copy that has other bytes.
    """
    keys = keyring()
    if keys is None:
        return
    with source.store.open(source.key) as file:
        _, size, sha256 = hashed(file)
    before = _find(source, keys, size, sha256)
    with copy.store.open(copy.key) as file:
        _, size, sha256 = hashed(file)
    if not before.parts and sha256 != before.sha256:
        raise SignatureError(source.url, "it was altered while it was copied")
    copied = before._replace(name=name, is_loose=False, size=size, sha256=sha256)
    write_signature(copy.store, copy.key, copied, keys)


def by_earlier_key(output: Output, keys: Keyring) -> Statement | None:
    """Return the valid statement of an output that the first key has not signed; None if it has.

    Raise `SignatureError` if there is no valid one.
    """
    with output.store.open(output.key) as file:
        _, size, sha256 = hashed(file)
    statement = _find(output, keys, size, sha256)
    try:
        _find(output, keys.newest, size, sha256)
    except SignatureError:
        return statement
    return None


def delete_signature(store: Any, key: str) -> None:
    """Delete the signature of an output, if it has one."""
    store.delete(f"{key}{SUFFIX}")


def parts_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files of a folder on this machine."""
    parts: dict[str, str] = {}
    for name in names:
        with (folder / name).open("rb") as file:
            parts[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return parts


# -- verifying -------------------------------------------------------------------------------------------------------


def hashed(file: BinaryIO) -> tuple[BinaryIO, int, str]:
    """Return a file with the bytes of another one, at its start, their size and SHA-256; a small one is in memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size <= _IN_MEMORY:
        data = file.read()
        return io.BytesIO(data), len(data), hashlib.sha256(data).hexdigest()
    hasher = hashlib.sha256()
    while block := file.read(_BLOCK):
        hasher.update(block)
    size = file.tell()
    file.seek(0)
    return file, size, hasher.hexdigest()


def verified(output: Output, file: BinaryIO, keys: Keyring) -> BinaryIO:
    """Return a file with the bytes of an output, at its start, which its signature covers; else `SignatureError`."""
    source, size, sha256 = hashed(file)
    _find(output, keys, size, sha256)
    return source


def signed_parts(output: Output, data: bytes, keys: Keyring) -> Mapping[str, str]:
    """Return the SHA-256 of the files of a folder, for the bytes of its list, which its signature covers."""
    return _find(output, keys, len(data), hashlib.sha256(data).hexdigest()).parts


def check_parts(output: Output, folder: Path, names: Sequence[str], parts: Mapping[str, str]) -> None:
    """Raise `SignatureError` if the files of a folder on this machine, by name, are not those that were signed."""
    actual = parts_of(folder, [name for name in names if (folder / name).is_file()])
    wrong = next((name for name in {*names, *parts} if actual.get(name, "") != parts.get(name)), None)
    if wrong is not None:
        found = f"its file '{wrong}' was altered after it was signed"
        raise SignatureError(output.url, found, _SIGN, output.owner, output.consumer)


def is_unsigned(store: Any, key: str) -> bool:
    """Return whether no signature lies beside an output; whether one is right, only reading the output says."""
    return store.stat(f"{key}{SUFFIX}") is None


def _find(output: Output, keys: Keyring, size: int, sha256: str) -> Statement:
    """Return the valid statement about the bytes of an output; raise `SignatureError` if there is none."""
    found, remedy = "it is not signed", _SIGN
    try:
        entries = _stored(output.store, output.key)
    except FileNotFoundError:
        entries = []
    except (ValueError, IsADirectoryError):
        entries, found = [], f"its signature {output.url}{SUFFIX} is damaged"
    for entry in reversed(entries):  # the newest is the first, and the one that counts
        statement, problem = _read(entry, output, keys)
        if statement is None:
            found, remedy = problem
        elif (statement.size, statement.sha256) == (size, sha256):
            return statement
        else:
            found, remedy = "it was altered after it was signed", _SIGN
    raise SignatureError(output.url, found, remedy, output.owner, output.consumer)


def _read(entry: Mapping[str, str], output: Output, keys: Keyring) -> tuple[Statement | None, tuple[str, str]]:
    """Return the statement of an entry if it is valid for an output, else None, with what is wrong and what to do."""
    key, _, digits = entry["signature"].partition(":")
    signature = Signature(key, digits)
    if not keys.knows(signature):
        known = ", ".join(keys.keys)
        remedy = f"If the key was replaced, add the old one behind the new one in {VARIABLE}; else: {_SIGN}"
        return None, (f"its signature is by a key {key[:8]!r} that is not known here ({VARIABLE} has {known})", remedy)
    if not keys.verifies(signature, _LABEL, entry["statement"].encode(errors="surrogatepass")):
        return None, ("its signature is forged or damaged", _SIGN)
    try:
        statement = Statement(**json.loads(entry["statement"]))
    except (ValueError, TypeError):
        return None, ("its signature is of a later version of kart", "Use that version.")
    if _fits(statement, output):
        return statement, ("", "")
    of = f", the output of {statement.task} {statement.id[:8]}" if statement.task else ""
    return None, (f"its signature is for another name, {statement.name}{of}: it was swapped or moved", _SIGN)


def _stored(store: Any, key: str) -> list[dict[str, str]]:
    """Return the entries of the stored signature; ValueError if it is damaged, FileNotFoundError if there is none."""
    with store.open(f"{key}{SUFFIX}") as file:
        data = file.read(_MOST)
    try:
        values = json.loads(data)
    except RecursionError as error:
        raise ValueError(str(error)) from error
    entries = values.get("signatures") if isinstance(values, dict) else None
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise ValueError("it holds no signatures")
    return entries


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in ("statement", "signature"))
