"""Record of one task's outputs, with its two text forms: JSON in the file of a run, and a line of the index.

A line is shorter than JSON and decoded faster; the index of a large workspace has a hundred thousand of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kart_runtime.storage.target import OutputRecord

ID_LENGTH = 32
"""Characters of a unique id."""

_BETWEEN_ITEMS, _IN_ITEM = "\x1f", "\x1e"


class TaskRecord(NamedTuple):
    """What is known about the outputs of one task.

    Attributes
    ----------
    unique_id, module, task
        Id of the task, and module and name of its class.
    origin
        What else tells the class from another one of its name, such as the file of a script; or "".
    code
        Fingerprint of the code that ran; "" if it is not known.
    run_id
        The run that wrote them.
    outputs
        Outputs; urls below the workspace are relative to it.
    inputs
        Url to checksum of what the task loaded; None if that was not recorded.
    started
        When the attempt started, ISO 8601 in UTC; orders the records of runs that went on at the same time.
    ended
        When it ended; "" if that is not known.
    """

    unique_id: str
    module: str
    task: str
    origin: str
    code: str
    run_id: str
    outputs: tuple[OutputRecord, ...]
    inputs: Mapping[str, str] | None
    started: str = ""
    ended: str = ""

    def has_fixed_name(self) -> bool:
        """Return whether an output has no unique id in its name."""
        return any(self.unique_id not in output.url for output in self.outputs)


def from_json(values: Mapping[str, Any], base: str) -> TaskRecord:
    """Return the record in a line of a run's file, with urls relative to `base`; raise TypeError if it is none."""

    def relative(url: str) -> str:
        return url.removeprefix(base)

    outputs = tuple(
        OutputRecord(relative(one["url"]), one.get("size", 0), one.get("checksum", ""), one.get("version", ""))
        for one in values["outputs"]
    )
    inputs = values.get("inputs")
    names = [values["unique_id"], values["module"], values["task"]]
    names += [values.get(name, "") for name in ("origin", "code", "run_id", "started", "ended")]
    if not all(type(name) is str for name in names):
        raise TypeError("no record of a task")
    unique_id, module, task, origin, code, run_id, started, ended = names
    loaded = None if inputs is None else {relative(url): checksum for url, checksum in inputs.items()}
    return TaskRecord(unique_id, module, task, origin, code, run_id, outputs, loaded, started, ended)


def has_separator(text: str) -> bool:
    """Return whether a text cannot be part of a line of the index."""
    return any(character in text for character in "\t\n\x1e\x1f")


def to_line(record: TaskRecord) -> str | None:
    """Return a record as a line of the index; None if it cannot be one."""
    items = [_IN_ITEM.join((url, str(size), checksum, version)) for url, size, checksum, version in record.outputs]
    loaded = "-" if record.inputs is None else _BETWEEN_ITEMS.join(map(_IN_ITEM.join, record.inputs.items()))
    names = [record.unique_id, record.module, record.task, record.origin, record.code, record.run_id]
    names += [record.started, record.ended]
    line = "\t".join((*names, _BETWEEN_ITEMS.join(items), loaded))
    if line.count("\t") != len(names) + 1 or "\n" in line or len(record.unique_id) != ID_LENGTH:
        return None
    return line


def from_line(line: str) -> TaskRecord:
    """Return the record in a line of the index."""
    unique_id, module, task, origin, code, run_id, started, ended, stored, loaded = line.split("\t")
    outputs = []
    for item in stored.split(_BETWEEN_ITEMS):
        url, size, checksum, version = item.split(_IN_ITEM)
        outputs.append(OutputRecord(url, int(size), checksum, version))
    inputs: Mapping[str, str] | None = None
    if loaded != "-":
        inputs = dict(_pairs(loaded))
    return TaskRecord(unique_id, module, task, origin, code, run_id, tuple(outputs), inputs, started, ended)


def _pairs(loaded: str) -> Iterable[tuple[str, str]]:
    for item in loaded.split(_BETWEEN_ITEMS) if loaded else ():
        url, _, checksum = item.partition(_IN_ITEM)
        yield url, checksum


def module_of(entry: str | TaskRecord) -> str:
    """Return the module of a record, or of one that is still a line."""
    return entry.split("\t", 2)[1] if isinstance(entry, str) else entry.module
