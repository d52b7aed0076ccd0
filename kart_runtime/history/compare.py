"""Table of variants: the newest result of each task of a class, its metrics, and the parameters that led to them.

Parameters are those of the whole graph upstream, because metrics are measured downstream of what is tuned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.history.html_tables import html_table
from kart_runtime.history.index import Index, Measured
from kart_runtime.history.tables import ago, epoch, number_text, printable, table_width, text_table

_MOST_SHOWN = 20
"""Rows that the text of a table has by itself."""

_MOST_ROWS = 5000
"""Variants to compare, newest first."""

_LOWER_IS_BETTER = re.compile(
    r"(?:^|[^a-z])(?:loss|err|error|errors|rmse|rmsle|mse|mae|mape|smape|wape|logloss|log_loss|deviance|perplexity|nll|"
    r"regret|wer|cer|fpr|fnr|brier|ece|rank|seconds|duration|latency|time|memory|size)(?:$|[^a-z])"
)
_IS_TASK = re.compile(r"\[?(?:\w+\[[0-9a-f]{8}\](?:, )?)+\]?|425a68[0-9a-f]{20,}|\[\]")
"""Text of a parameter that holds tasks, which stand for themselves; versions before 0.1.0 wrote them compressed."""


@dataclass(frozen=True)
class CompareRow:
    """One variant.

    Attributes
    ----------
    unique_id, run_id
        The task, and the run of its newest result.
    run
        The run as people name it: `last~1`.
    started
        Start time of the attempt, ISO 8601 in UTC.
    ago
        The same for people.
    values
        Column to value: text of a parameter, number of a metric.
    """

    unique_id: str
    run_id: str
    run: str
    started: str
    ago: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class CompareTable:
    """Parameters and metrics of the variants of a task.

    Attributes
    ----------
    task
        Name of the class; several are separated by commas.
    columns
        Names of the columns: parameters, then metrics.
    metrics
        Those that are metrics.
    rows
        The variants.
    best
        Metric to the index of the row that has its best value; only if there is more than one.
    hidden
        Parameters that are left out, since they never differ.
    """

    task: str
    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[CompareRow, ...]
    best: Mapping[str, int]
    hidden: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return self.as_text(most=_MOST_SHOWN)

    def _repr_html_(self) -> str:
        return html_table(self.header(), self.cells(), below=self.summary())

    def header(self) -> list[str]:
        """Return the titles of the columns as they are shown."""
        return [*self.columns, *(["id"] if self._needs_ids() else []), *(["run", "when"] if self._has_runs() else [])]

    def _has_runs(self) -> bool:
        return any(row.run for row in self.rows) or not self.rows

    def _needs_ids(self) -> bool:
        """Return whether parameters alone do not tell the rows apart: a file from outside had another content."""
        names = [name for name in self.columns if name not in self.metrics]
        return len({tuple(str(row.values.get(name)) for name in names) for row in self.rows}) < len(self.rows)

    def cells(self, most: int | None = None) -> list[list[str]]:
        """Return the rows as text, the best values with a star; at most some of them."""
        rows, needs_ids, has_runs = [], self._needs_ids(), self._has_runs()
        for number, row in enumerate(self.rows[:most]):
            cells = [self._cell(number, column, row.values.get(column)) for column in self.columns]
            place = [row.run, row.ago] if has_runs else []
            rows.append([*cells, *([row.unique_id[:8]] if needs_ids else []), *place])
        return rows

    def _cell(self, number: int, column: str, value: Any) -> str:
        if column not in self.metrics:
            return printable(str(value)) if value is not None else "-"
        text = number_text(value) if value is not None else "-"
        if column not in self.best:
            return text
        return f"{text} *" if self.best[column] == number else f"{text}  "

    def as_text(self, width: int | None = None, most: int | None = None) -> str:
        """Return the table as text, cut to a width, and a last line that says what is not in it.

        If it is too wide, but a column for each variant is not, it is turned.
        """
        right = {
            number for number, column in enumerate(self.columns) if column in self.metrics or self._is_number(column)
        }
        rows = [self.header(), *self.cells(most)]
        turned = [list(cells) for cells in zip(*rows, strict=True)]
        if width is not None and table_width(rows) > width >= table_width(turned):
            rows, right = turned, set(range(1, len(rows)))
        return "\n".join([*text_table(rows[0], rows[1:], width, right), self.summary(most)])

    def summary(self, most: int | None = None) -> str:
        """Return the line below the table."""
        number = len(self.rows)
        parts = [f"{number} variant{'' if number == 1 else 's'}"]
        if most is not None and number > most:
            parts[0] += f", {most} shown (--all)"
        if self.hidden:
            parts.append("columns that never differ are left out (--all-columns)")
        if self.best:
            parts.append("* best")
        return "; ".join(parts)

    def _is_number(self, column: str) -> bool:
        return all(_number(row.values.get(column)) is not None for row in self.rows if column in row.values)

    def flat_rows(self) -> list[dict[str, Any]]:
        """Return the rows with a key for each column."""
        return [
            {name: row.values.get(name) for name in self.columns}
            | {"run": row.run_id, "started": row.started, "unique_id": row.unique_id}
            for row in self.rows
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the table as values of JSON."""
        return {
            "task": self.task,
            "columns": list(self.columns),
            "metrics": list(self.metrics),
            "best": dict(self.best),
            "left_out": list(self.hidden),
            "rows": [vars(row) | {"values": dict(row.values)} for row in self.rows],
        }


def compare_table(
    index: Index,
    what: str | Sequence[str],
    *,
    sort: str | None = None,
    maximize: bool | None = None,
    all_columns: bool = False,
) -> CompareTable:
    """Return the table of the variants of a task.

    Parameters
    ----------
    index
        The history.
    what
        Name of a class, or the unique ids of tasks, which keep their order.
    sort
        Column to sort by, the best metric or the lowest parameter first. None: the newest first.
    maximize
        Whether a higher value of the metric in `sort` is better. None: by its name; `loss` and the like are better low.
    all_columns
        Include the parameters that never differ.

    Raises
    ------
    ConfigError
        There is no such column.
    """
    records = index.measured(what, _MOST_ROWS) if isinstance(what, str) else _of_ids(index, what)
    graph = _Upstream(index, records)
    params = [graph.params(record) for record in records]
    metrics = [graph.metrics(record) for record in records]
    names = list(dict.fromkeys(name for values in metrics for name in values))
    every = list(dict.fromkeys(name for values in params for name in values if name not in names))
    shown = [name for name in every if all_columns or len({values.get(name) for values in params}) > 1]
    words = index.run_words()
    rows = [
        CompareRow(
            record.unique_id,
            record.run_id,
            words.get(record.run_id, record.run_id),
            record.started,
            ago(epoch(record.started)),
            {name: own[name] for name in shown if name in own} | measured,
        )
        for record, own, measured in zip(records, params, metrics, strict=True)
    ]
    directions = {name: is_higher_better(name) for name in names}
    if sort is not None:
        sort = _column(sort, shown, names, every)
        if maximize is not None and sort in directions:
            directions[sort] = maximize
        rows.sort(key=lambda row: _sort_key(row.values.get(sort), is_reversed=directions.get(sort, maximize or False)))
    best = _best_rows(rows, directions)
    hidden = tuple(name for name in every if name not in shown)
    task = ", ".join(dict.fromkeys(record.task for record in records)) or (what if isinstance(what, str) else "")
    return CompareTable(task, (*shown, *names), tuple(names), tuple(rows), best, hidden)


def variants_table(
    task: str, values: Sequence[Mapping[str, str]], measured: Sequence[Mapping[str, float | str]], most: int
) -> CompareTable:
    """Return the table of what the variants of one run have measured, in their order, with at most some metrics."""
    names = list(dict.fromkeys(name for each in measured for name in each))[:most]
    rows = [CompareRow("", "", "", "", "", {**each, **found}) for each, found in zip(values, measured, strict=True)]
    best = _best_rows(rows, {name: is_higher_better(name) for name in names})
    keys = dict.fromkeys(name for each in values for name in each)
    return CompareTable(task, (*keys, *names), tuple(names), tuple(rows), best)


def is_task_text(text: Any) -> bool:
    """Return whether the text of a parameter is that of tasks, which stand for themselves."""
    return _IS_TASK.fullmatch(str(text)) is not None


def is_higher_better(metric: str) -> bool:
    """Return whether a higher value of a metric is better, as its name says: not of a loss, an error or a time."""
    return _LOWER_IS_BETTER.search(metric.lower().replace("_", " ").replace("log loss", "logloss")) is None


def _of_ids(index: Index, unique_ids: Sequence[str]) -> list[Measured]:
    newest = index.measured_of(unique_ids)
    return [newest[unique_id] for unique_id in dict.fromkeys(unique_ids) if unique_id in newest]


def _column(name: str, shown: Sequence[str], metrics: Sequence[str], every: Sequence[str]) -> str:
    """Return the column that a name stands for; of a parameter its last part will do."""
    known = [*shown, *metrics]
    if name in known:
        return name
    matches = [column for column in known if column.rpartition(".")[2] == name]
    if len(matches) == 1:
        return matches[0]
    if name in every:
        raise ConfigError(f"'{name}' never differs")
    if matches:
        raise ConfigError(f"'{name}' could be {' or '.join(matches)}")
    expected = f"one of {', '.join(known)}" if known else None
    raise ConfigError(f"no column is called '{name}'", suggestion=closest_match(name, known), expected=expected)


def _number(value: Any) -> float | None:
    """Return a value as a finite number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None


def _sort_key(value: Any, *, is_reversed: bool) -> tuple[int, float, str]:
    number = _number(value)
    if number is not None:
        return 0, -number if is_reversed else number, ""
    return (2, 0.0, "") if value is None else (1, 0.0, str(value))


def _best_rows(rows: Sequence[CompareRow], directions: Mapping[str, bool]) -> dict[str, int]:
    """Return the number of the best row for each metric, of which some are better if they are higher."""
    found = {name: _best(rows, name, is_higher) for name, is_higher in directions.items()}
    return {name: number for name, number in found.items() if number is not None}


def _best(rows: Sequence[CompareRow], metric: str, is_higher: bool) -> int | None:
    numbers = {
        number: value for number, row in enumerate(rows) if (value := _number(row.values.get(metric))) is not None
    }
    if len(set(numbers.values())) < 2:
        return None
    return (max if is_higher else min)(numbers, key=lambda number: numbers[number])


class _Upstream:
    """What is upstream of some tasks, with the newest records of each."""

    def __init__(self, index: Index, records: Iterable[Measured]) -> None:
        self._records = {record.unique_id: record for record in records}
        self._upstream: dict[str, tuple[str, ...]] = {}
        level = list(self._records)
        while level:
            found = index.upstream_of(level)
            self._upstream.update({uid: found.get(uid, ()) for uid in level})
            level = list(dict.fromkeys(uid for ids in found.values() for uid in ids if uid not in self._upstream))
            new = [uid for uid in level if uid not in self._records]
            self._records.update(index.measured_of(new))

    def _levels(self, unique_id: str) -> Iterable[list[Measured]]:
        """Yield the records of a task, of those directly upstream, and so on."""
        seen, level = {unique_id}, [unique_id]
        while level:
            yield [self._records[uid] for uid in level if uid in self._records]
            level = [uid for each in level for uid in self._upstream.get(each, ()) if uid not in seen]
            level = list(dict.fromkeys(level))
            seen.update(level)

    def params(self, record: Measured) -> dict[str, str]:
        """Return `Class.parameter` to value; the values of several tasks of a class are joined if they differ."""
        values: dict[str, dict[str, None]] = {}
        for level in self._levels(record.unique_id):
            for each in level:
                for name, text in each.params.items():
                    if not is_task_text(text):
                        values.setdefault(f"{each.task}.{name}", {})[str(text)] = None
        return {name: ", ".join(sorted(texts)) for name, texts in values.items()}

    def metrics(self, record: Measured) -> dict[str, Any]:
        """Return the metrics of a task; if it has none, of the nearest tasks upstream that have."""
        for level in self._levels(record.unique_id):
            measured = [each for each in level if each.metrics]
            if measured and measured[0] is record:
                return dict(record.metrics)
            if measured:
                return _joined(measured)
        return {}


def _joined(records: Sequence[Measured]) -> dict[str, Any]:
    """Return the metrics of several tasks, with the class or the parameters that tell them apart where needed."""
    tasks = list(dict.fromkeys(record.task for record in records))
    metrics: dict[str, Any] = {}
    for record in records:
        same = [other for other in records if other.task == record.task]
        differing = [
            f"{name}={text}"
            for name, text in record.params.items()
            if any(other.params.get(name) != text for other in same) and not is_task_text(text)
        ]
        of_class = f"{record.task}." if len(tasks) > 1 or differing else ""
        of_task = f"({', '.join(differing)})" if differing else ""
        prefix = f"{record.task}{of_task}." if of_task else of_class
        metrics.update({f"{prefix}{name}": value for name, value in record.metrics.items()})
    return metrics
