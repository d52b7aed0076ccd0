"""Errors of stores and file formats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kart_runtime.errors.base import KartError


class StoreError(KartError):
    """Base class of errors raised by a store."""


class UnknownScheme(StoreError, ValueError):
    """No store is known for the scheme of a URL.

    Parameters
    ----------
    url
        The url.
    known
        The known schemes.
    hint
        What to do.
    """

    def __init__(self, url: str, known: Sequence[str], hint: str = "") -> None:
        self.url, self.known, self.hint = url, tuple(known), hint
        super().__init__(f"No store for '{url}'. Known: {', '.join(self.known)}.{' ' + hint if hint else ''}")


class ObjectMissing(StoreError, FileNotFoundError):
    """An object does not exist in the workspace.

    Parameters
    ----------
    url
        The object.
    hint
        What to do.
    """

    def __init__(self, url: str, hint: str = "Run the task that makes it.") -> None:
        self.url, self.hint = url, hint
        super().__init__(f"{url} does not exist. {hint}")


class WriteFailed(StoreError, OSError):
    """A file of the workspace cannot be written.

    Parameters
    ----------
    path
        The file.
    reason
        What the system says, such as "Permission denied".
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"cannot write {path}: {reason}. Check the permissions and the free space of its folder, or set "
            "run.workspace to another one."
        )


class ObjectCorrupt(StoreError, ValueError):
    """A file in the workspace is not what was stored, or cannot be decoded.

    Parameters
    ----------
    url
        The file.
    found
        The cause.
    producer
        The task that stores it; None if it is not known.
    consumer
        The task that loads it, as text.
    """

    def __init__(self, url: str, found: str, producer: Any = None, consumer: str = "") -> None:
        self.url, self.found, self.producer, self.consumer = url, found, producer, consumer
        of = f", the output of {producer}," if producer is not None else ""
        for_ = f" for {consumer}" if consumer else ""
        super().__init__(f"{url}{of} cannot be read{for_}: {found.rstrip('.')}. {_remedy(producer)}")


def _remedy(producer: Any) -> str:
    run = True if producer is None else getattr(producer, "run", None)
    if run is None or run is NotImplemented:
        return "No task of kart's stores it: provide the right file, or correct the task's parameters."
    return "Delete it and run again to recompute it."


class RequestFailed(StoreError, OSError):
    """An object store refused a request, or did not answer.

    Parameters
    ----------
    url
        The object.
    what
        The request, as a verb.
    found
        Message of the service or its client.
    hint
        What to do.
    """

    def __init__(self, url: str, what: str, found: str, hint: str = "") -> None:
        self.url, self.what, self.found, self.hint = url, what, found, hint
        super().__init__(f"{url}: could not {what} it: {found.rstrip('.')}.{' ' + hint if hint else ''}")


class RecordsNotStored(StoreError, OSError):
    """Log files or records of a build could not be stored; the outputs of its tasks are.

    Parameters
    ----------
    key
        One of them.
    number
        Number of files.
    found
        Cause of the failure of `key`.
    """

    def __init__(self, key: str, number: int, found: str) -> None:
        self.key, self.number, self.found = key, number, found
        super().__init__(
            f"Failed to write {number} log files or run records, including {key}: {found.rstrip('.')}. "
            "All task outputs were saved."
        )


class CodecError(KartError):
    """Base class of errors of file formats."""


class UnknownFormat(CodecError, ValueError, AssertionError):
    """No codec is known for the suffix of a file.

    Parameters
    ----------
    path
        The file.
    known
        The known suffixes.
    suggestion
        Known suffix closest to the one of the file.
    task
        The task whose output it is, as text.
    """

    def __init__(self, path: str, known: Sequence[str], suggestion: str | None = None, task: str = "") -> None:
        self.path, self.known, self.suggestion, self.task = path, tuple(known), suggestion, task
        name = path.rpartition("/")[2]
        suffix = f".{name.rpartition('.')[2]}" if "." in name else ".xyz"
        text = f"No format for '{path}'{f', an output of {task}' if task else ''}."
        if suggestion:
            text += f" Did you mean '{suggestion}'?"
        super().__init__(
            f"{text} Use a known suffix; or pass a codec for this output, make_target(path, processor=MyCodec()); or "
            f"register one for all such files, kart_runtime.register_codec('{suffix}', 'package.module:MyCodec'). "
            f"Known suffixes: {', '.join(self.known)}."
        )


class CannotEncode(CodecError, TypeError, AssertionError):
    """A file format cannot store a value of this type.

    Parameters
    ----------
    format
        Name of the format.
    accepted
        Types that it stores.
    found
        Type of the value.
    """

    def __init__(self, format: str, accepted: str, found: str) -> None:  # noqa: A002 - the field's word
        self.format, self.accepted, self.found = format, accepted, found
        super().__init__(f"{format} stores {accepted}, but {found} was dumped.")
