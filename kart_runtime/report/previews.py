"""Previews of outputs: a few rows, an image, or the beginning of a text; one that fails says why.

Little of a file is read: the head of a table, whole images and JSON files only if they are small.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

from kart_runtime.errors import described
from kart_runtime.history.index import Index
from kart_runtime.history.places import places
from kart_runtime.history.runs import Run, RunRecord
from kart_runtime.report.data import FAILED, Contents, ReportTask
from kart_runtime.storage.codecs.pickles import Pickle
from kart_runtime.storage.registry import codec_for, inner_path, store_for, suffix_of
from kart_runtime.storage.signing import Output, verified
from kart_runtime.storage.signing_keys import keyring
from kart_runtime.storage.workspace import Workspace

ROWS, COLUMNS = 10, 20
MOST_BYTES = 300_000
"""Bytes of one preview in the file."""
ALL_BYTES = 5_000_000
"""Bytes of all previews in the file."""
MOST_PICKLE = 10_000_000
"""Bytes of the largest pickle to load."""
MOST_TASKS = 100
"""Tasks whose outputs to look at: reading thousands of files would make a report slow."""

_HEAD = 64_000
"""Bytes of a text file to read."""
_TEXT = 2_000
"""Characters of a text to show."""
_CELL = 60
_IMAGES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".svg": "image/svg+xml"}
_TEXTS = {".txt", ".md", ".ini", ".xml", ".yaml", ".yml", ".toml", ".html", ".jsonl", ".ndjson", ".log"}


@dataclass(frozen=True)
class Preview:
    """Preview of one output.

    Attributes
    ----------
    task, output
        Number of the task, and place of the output in its record.
    kind
        "table", "image", "text" or "note".
    content
        Header and rows, the data of the image as base64, or the text.
    type
        Media type of an image, or a remark about what was left out.
    """

    task: int
    output: int
    kind: str
    content: Any
    type: str = ""

    def size(self) -> int:
        """Return about how many bytes it takes in the file."""
        return len(self.content) if isinstance(self.content, str) else len(json.dumps(self.content))


Content = tuple[str, Any, str]
"""Kind, content and type of a preview."""


def previews(contents: Contents, index: Index, *, unpickles: bool) -> list[Preview]:
    """Return previews of the outputs of a run, until they take 5 MB.

    Parameters
    ----------
    contents
        The run.
    index
        History of the workspace, which knows where runs stored their outputs.
    unpickles
        Whether to load pickles, which runs code of the project.
    """
    chosen = [
        (number, place)
        for number in _chosen(contents.tasks)
        for place, _ in enumerate(getattr(contents.tasks[number].record, "outputs", ()))
    ]
    where = _Places(index, contents.run)
    urls = [where.of(contents.tasks[number].record, place) for number, place in chosen]
    found, left = [], ALL_BYTES
    for (number, place), (kind, content, remark) in zip(chosen, _read(urls, unpickles, index.workspace), strict=True):
        preview = Preview(number, place, kind, content, remark)
        if preview.size() > min(MOST_BYTES, left):
            full = "the previews of this report are full" if preview.size() <= MOST_BYTES else "it is too large"
            preview = Preview(number, place, "note", f"No preview: {full}.")
        left -= preview.size()
        found.append(preview)
    return found


def _chosen(tasks: Sequence[ReportTask]) -> list[int]:
    """Return the numbers of the tasks to look at: in turn one of each class, those that ran and the last ones first."""
    queues: dict[tuple[str, str], list[int]] = {}
    for number, task in enumerate(tasks):
        if task.record is not None and task.record.outputs and task.state != FAILED:
            queues.setdefault((task.name.module, task.name.task), []).append(number)
    for numbers in queues.values():
        numbers.sort(key=lambda number: (tasks[number].attempts > 0, -number))
    chosen: list[int] = []
    waiting = list(reversed(queues.values()))
    while waiting and len(chosen) < MOST_TASKS:
        chosen += [numbers.pop() for numbers in waiting[: MOST_TASKS - len(chosen)]]
        waiting = [numbers for numbers in waiting if numbers]
    return chosen


class _Places:
    """Where outputs may lie now: in the workspace, or where their run stored them; each run is looked up once."""

    def __init__(self, index: Index, run: Run) -> None:
        self._index = index
        # Records of earlier versions do not say which run they belong to: it is the one whose file they are in.
        self._headers: dict[str, Mapping[str, Any]] = {run.id: run.header, "": run.header}

    def of(self, record: RunRecord | None, place: int) -> list[str]:
        """Return the urls at which to look for an output of a record."""
        assert record is not None  # of `_chosen`
        header = self._headers.get(record.run_id)
        if header is None:
            header = self._index.run_row(record.run_id).header
            self._headers[record.run_id] = header
        recorded, folder = str(header.get("workspace") or ""), str(header.get("folder") or "")
        return places(self._index.workspace, record.outputs[place].url, recorded, folder)


def _read(chosen: Sequence[Sequence[str]], unpickles: bool, workspace: str) -> Iterable[Content]:
    def one(urls: Sequence[str]) -> Content:
        return preview_of(urls, unpickles=unpickles, workspace=workspace)

    if not any("://" in url for urls in chosen for url in urls):
        return map(one, chosen)
    with ThreadPoolExecutor(16, "kart-previews") as threads:
        return list(threads.map(one, chosen))


def preview_of(urls: Sequence[str], *, unpickles: bool, workspace: str = "") -> Content:
    """Return the preview of a file, which lies at the first of the urls that exists; else a note that says why.

    A signature must be for the name that the file has in the workspace, if it lies there.
    """
    try:
        for url in urls:
            store, key = store_for(url)
            stat = store.stat(key)
            if stat is not None:
                with store.open(key) as file:
                    return _content(
                        url,
                        _authentic(Output(store, key, url, workspace=_around(url, workspace)), file),
                        stat.size,
                        unpickles,
                    )
    except Exception as error:  # noqa: BLE001 - a file may hold anything, and the report goes on
        return "note", f"No preview: {described(error)}"[:500], ""
    return "note", "The file is gone.", ""


def _authentic(output: Output, file: BinaryIO) -> BinaryIO:
    keys = keyring()
    return file if keys is None else verified(output, file, keys)


def _around(url: str, workspace: str) -> str | None:
    """Return the workspace if a url lies in it."""
    return workspace if workspace and url.startswith(Workspace(workspace).base) else None


def _content(url: str, file: BinaryIO, size: int, unpickles: bool) -> Content:
    suffix = suffix_of(url)
    if suffix in _IMAGES:
        return _image(file, size, _IMAGES[suffix])
    if suffix == ".parquet":
        return _parquet(file)
    if suffix in (".csv", ".tsv"):
        return _csv(file, size, suffix)
    if suffix == ".json":
        return _json(file, size)
    if suffix in _TEXTS:
        return _text(file.read(_HEAD).decode(errors="replace"), size)
    if suffix == ".pkl":
        return _pickle(file, size, unpickles)
    inner = inner_path(url)
    if inner is not None and suffix_of(inner) in (".csv", ".tsv", ".json") and size <= MOST_BYTES:
        return _value(codec_for(url).load(file, None))
    return "note", f"No preview of {suffix or 'such'} files.", ""


def _image(file: BinaryIO, size: int, media: str) -> Content:
    if size * 4 / 3 > MOST_BYTES:
        return "note", f"No preview: the image has {size:,} bytes; at most {MOST_BYTES * 3 // 4:,} are shown.", ""
    return "image", base64.b64encode(file.read()).decode(), media


def _parquet(file: BinaryIO) -> Content:
    from pyarrow import parquet

    table = parquet.ParquetFile(file)
    names = [name for name in table.schema_arrow.names if not name.startswith("__index_level_")]
    batches = table.iter_batches(batch_size=ROWS, columns=names[:COLUMNS])
    rows = [list(row.values()) for row in next(batches, _NoRows()).to_pylist()]
    return _table(names, rows, table.metadata.num_rows)


class _NoRows:
    def to_pylist(self) -> list[Mapping[str, Any]]:
        return []


def _csv(file: BinaryIO, size: int, suffix: str) -> Content:
    import csv

    text = file.read(_HEAD).decode("utf-8-sig", errors="replace")
    lines = text.splitlines(keepends=True)
    if len(text) < size and len(lines) > 1:
        lines.pop()  # cut
    rows = list(islice(csv.reader(lines, delimiter="\t" if suffix == ".tsv" else ","), ROWS + 1))
    return _table(rows[0] if rows else [], rows[1:], None)


def _table(names: Sequence[object], rows: Iterable[Sequence[object]], count: int | None) -> Content:
    parts = [f"{count:,} rows" if count is not None else ""]
    parts.append(f"{len(names)} columns, {COLUMNS} shown" if len(names) > COLUMNS else "")
    content = [[_cell(name) for name in names[:COLUMNS]], [[_cell(cell) for cell in row[:COLUMNS]] for row in rows]]
    return "table", content, ", ".join(filter(None, parts))


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def _json(file: BinaryIO, size: int) -> Content:
    if size > MOST_BYTES:
        return _text(file.read(_HEAD).decode(errors="replace"), size)
    text = file.read().decode(errors="replace")
    value = json.loads(text)
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return _records(value)
    if isinstance(value, dict) and value:
        return _mapping(value)
    return _text(text, size)


def _records(rows: Sequence[Mapping[str, Any]]) -> Content:
    names = list(dict.fromkeys(name for row in rows[:ROWS] for name in row))
    return _table(names, [[row.get(name, "") for name in names] for row in rows[:ROWS]], len(rows))


def _mapping(value: Mapping[str, Any]) -> Content:
    """Return a table of metrics, or of columns; names down the side."""
    if all(isinstance(item, dict) for item in value.values()):
        names = list(dict.fromkeys(name for item in value.values() for name in item))
        rows = [[key, *(item.get(name, "") for name in names)] for key, item in islice(value.items(), 50)]
        return _table(["", *names], rows, len(value) if len(value) > 50 else None)
    rows = [[key, item] for key, item in islice(value.items(), 50)]
    return _table(["name", "value"], rows, len(value) if len(value) > 50 else None)


def _text(text: str, size: int) -> Content:
    return "text", text[:_TEXT], f"the first {_TEXT:,} characters of {size:,} bytes" if len(text) > _TEXT else ""


def _pickle(file: BinaryIO, size: int, unpickles: bool) -> Content:
    if not unpickles:
        why = f"it has {size:,} bytes" if size > MOST_PICKLE else "loading a pickle runs code of its project"
        return "note", f"No preview: {why}.", ""
    if size > MOST_PICKLE:
        return "note", f"No preview: it has {size:,} bytes.", ""
    return _value(Pickle().load(file, None))


def _value(value: Any) -> Content:
    """Return the preview of a value: of a frame its first rows, else its type and the beginning of its text."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    shape = getattr(value, "shape", None)
    if hasattr(value, "head") and hasattr(value, "columns") and shape is not None:
        frame = value.head(ROWS)
        rows: Iterable[Sequence[object]] = frame.rows() if hasattr(frame, "rows") else frame.itertuples(index=False)
        return _table(list(value.columns), [list(row) for row in rows], shape[0])
    if isinstance(value, dict) and value:
        return _mapping({str(key): item for key, item in islice(value.items(), 51)})
    text = repr(value)
    remark = kind if shape is None else f"{kind}, shape {tuple(shape)}"
    return "text", text[:_TEXT], remark
