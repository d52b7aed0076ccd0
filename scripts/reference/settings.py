"""Tables of the settings: key, type, default and meaning of each field of the classes in `kart_runtime.settings`."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_origin

from marks import replaced, table

from kart_runtime.project.conf.sections import SECTIONS, TO_TASKS, kinds_of
from kart_runtime.settings import BuildSettings, LoggingSettings, RunSettings

_TYPES = {int: "int", str: "text", bool: "bool", float: "number", type(None): "null"}
_SEE = {
    "address": ("run on Dask", "../how-to/run-on-dask.md"),
    "code_changed": ("changed code", "../how-to/notice-changes.md"),
    "executor": ("run in parallel", "../how-to/run-in-parallel.md"),
    "locks": ("lock tasks", "../how-to/lock-tasks.md"),
    "resources": ("limits", "../how-to/run-in-parallel.md#limit-gpus-and-memory"),
    "timeout": ("limits", "../how-to/limit-time-and-retry.md"),
    "retries": ("retries", "../how-to/limit-time-and-retry.md#try-again-after-a-failure"),
    "value_cache_mb": ("in-memory value cache", "../explanation/decisions/0014-value-cache.md"),
    "workspace": ("S3 and GCS", "../how-to/remote-workspace.md"),
}


def updated(page: str) -> str:
    """Return the page with the settings as they are declared now."""
    page = replaced(page, "run", _rows("run", RunSettings, _meanings(BuildSettings) | _meanings(RunSettings)))
    return replaced(page, "logging", _rows("logging", LoggingSettings, _meanings(LoggingSettings)))


def _rows(section: str, cls: type, meanings: Mapping[str, str]) -> str:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    first = [name for name in fields if section == "run" and name in ("task", "workspace", "seed")]
    names = [*first, *(name for name in fields if name not in first)]
    assert set(names) == set(SECTIONS[section])
    rows = []
    for name in names:
        label, link = _SEE.get(name, ("", ""))
        meaning = meanings[name] + (f" See [{label}]({link})." if label else "")
        if section == "run" and name in TO_TASKS and TO_TASKS[name] not in meaning:
            meaning += f" Every task gets it as the parameter `{TO_TASKS[name]}`."
        rows.append((f"`{section}.{name}`", _type(section, name), _default(fields[name]), meaning))
    return table(("key", "type", "default", "meaning"), rows)


def _type(section: str, name: str) -> str:
    kinds = kinds_of(section, name)
    if get_origin(kinds[0]) is Mapping:
        return "map of numbers"
    if get_origin(kinds[0]) is Sequence:
        return "list of text"
    return " or ".join(_TYPES[kind] for kind in kinds)


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return {None: "null", (): "`[]`"}.get(value, f"`{value}`") if not isinstance(value, dict) else "`{}`"


def _meanings(cls: type) -> dict[str, str]:
    """Return field to text, from the section Attributes of a class's docstring."""
    text = inspect.getdoc(cls) or ""
    found = re.findall(r"^(\w+)\n((?:    .+\n?)+)", text.partition("Attributes\n")[2], re.MULTILINE)
    return {name: _markdown(" ".join(meaning.split())) for name, meaning in found}


def _markdown(text: str) -> str:
    """Return text of a docstring as Markdown: reST's code and quoted values as code, None as YAML's null."""
    text = re.sub(r"`+([^`]+)`+", r"`\1`", text)
    pieces = re.split(r"(`[^`]+`)", text)
    pieces[::2] = [re.sub(r'"([^" ]+)"', r"`\1`", piece) for piece in pieces[::2]]
    return re.sub(r"\bNone(?=[:,])", "null", "".join(pieces))
