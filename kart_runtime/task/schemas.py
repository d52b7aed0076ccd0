"""Checks of DataFrames against pandera schemas.

`TaskOnKart.dump` checks before it stores, `load` after it has read. pandera is imported only for tasks with a schema.
"""

from __future__ import annotations

import copy
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kart_runtime.errors import TaskError, how_to_add

SHOWN = 5
"""Number of invalid rows in an error message, for each check."""

_COLUMN_CHECKS = {"column_in_dataframe": "missing column", "column_in_schema": "column that the schema does not have"}
"""pandera's checks of whole columns, whose failure cases are the names of the columns, as an error says it."""

_ADVICE = {
    "dump": "Change run() or the schema.",
    "load": "Delete the output and run again, or change the schema.",
    "input": "Correct the file, or change the schema.",
}


@dataclass(frozen=True)
class SchemaFailure:
    """Failed check of a schema: column (or None), name of the check, number of failures, first invalid rows as text."""

    column: str | None
    check: str
    count: int
    rows: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        if self.check in _COLUMN_CHECKS:
            return f"{_COLUMN_CHECKS[self.check]}: {', '.join(value for _, value in self.rows)}"
        where = f"column '{self.column}'" if self.column is not None else "the frame"
        return f"{where}: {self.check} failed for {self.count}: {_rows_text(self.rows)}"


class SchemaMismatch(TaskError, ValueError):
    """A value does not fit the `schema` of its task.

    Parameters
    ----------
    task
        The task, as text.
    when
        "dump", "load", or "input" for the file of an `InputFile`.
    failures
        The failed checks; `column`, `check`, `count` and `rows` are those of the first one.
    """

    def __init__(self, task: str, when: str, failures: Iterable[SchemaFailure]) -> None:
        self.task, self.when, self.failures = task, when, tuple(failures)
        first = self.failures[0]
        self.column, self.check, self.count, self.rows = first.column, first.check, first.count, first.rows
        lines = "".join(f"\n  {failure}" for failure in self.failures)
        super().__init__(f"{task}: schema validation failed on {when}:{lines}\n{_ADVICE[when]}")


def _rows_text(rows: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"row {label}: {value}" if label else value for label, value in rows)


def schema_for(schema: Any, key: str | None) -> Any:
    """Return the schema of an output: in a dict of schemas, the one of its key, or None."""
    if isinstance(schema, Mapping) and key is not None:
        return schema.get(key)
    return schema


When = Literal["dump", "load", "input"]


def check_schema(task_name: str, schema: Any, value: Any, when: When) -> None:
    """Check a value against a pandera schema without changing it: nothing is coerced, filled in or dropped."""
    if schema is None:
        return
    if isinstance(schema, Mapping):
        if not isinstance(value, Mapping):
            raise TaskError(
                f"{task_name}: schema is a dict by output key ({', '.join(map(repr, schema))}), but the value is a "
                f"{type(value).__name__}. Pass the key: self.dump(value, key)."
            )
        for key in schema.keys() & value.keys():
            check_schema(f"{task_name}[{key!r}]", schema[key], value[key], when)
        return
    _validate(task_name, schema, value, when)


def _validate(task_name: str, schema: Any, value: Any, when: str) -> None:
    try:
        from pandera import errors
    except ImportError as error:
        raise TaskError(f"{task_name}: a schema needs pandera. {how_to_add('pandera')}") from error
    if not hasattr(schema, "validate"):
        raise TaskError(f"{task_name}: expected a pandera schema or model as schema, got {reprlib.repr(schema)}.")
    try:
        _as_stored(schema).validate(value, lazy=True)
    except errors.SchemaErrors as error:
        raise SchemaMismatch(task_name, when, _failures(error.failure_cases)) from None  # pandera quotes all
    except (TypeError, errors.BackendNotFoundError) as error:  # which is how pandera says "no frame of mine"
        kind = f"{type(value).__module__}.{type(value).__name__}"
        failure = SchemaFailure(None, f"a frame for {type(_as_stored(schema)).__module__}", 1, (("", kind),))
        raise SchemaMismatch(task_name, when, [failure]) from error


def _as_stored(schema: Any) -> Any:
    """Return the schema without what changes the value: it would pass as changed, and be stored as it is."""
    plain: Any = copy.deepcopy(schema.to_schema() if hasattr(schema, "to_schema") else schema)
    for part in (plain, plain.index, *getattr(plain.index, "indexes", ()), *plain.columns.values()):
        for name in ("_coerce", "coerce", "drop_invalid_rows", "add_missing_columns"):
            if name in getattr(part, "__dict__", ()):
                setattr(part, name, False)
    return plain


def _failures(cases: Any) -> list[SchemaFailure]:
    """Return what pandera's table says, one entry for each column and check; of a wrong type, only that."""
    records = cases.to_dicts() if hasattr(cases, "to_dicts") else cases.to_dict("records")
    groups: dict[tuple[str | None, str], list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault((_text(record["column"]), str(record["check"])), []).append(record)
    mistyped = {column for column, check in groups if column is not None and _is_type_check(check)}
    return [
        SchemaFailure(column, check, len(cases_of_check), tuple(map(_row, cases_of_check[:SHOWN])))
        for (column, check), cases_of_check in groups.items()
        if column not in mistyped or _is_type_check(check)
    ]


def _is_type_check(check: str) -> bool:
    return check.startswith("dtype(")


def _row(record: dict[str, Any]) -> tuple[str, str]:
    return _text(record["index"]) or "", reprlib.repr(record["failure_case"])


def _text(value: Any) -> str | None:
    # pandera's tables hold None or nan where there is no column or row.
    return None if value is None or value != value else str(value)  # noqa: PLR0124
