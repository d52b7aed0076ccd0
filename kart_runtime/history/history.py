"""History of a workspace in Python: runs, attempts and metrics as frames, and every value that is still stored."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from kart_runtime.errors import ConfigError, ObjectMissing, closest_match
from kart_runtime.history.compare import CompareTable, compare_table, is_task_text
from kart_runtime.history.differences import RunDifference, difference
from kart_runtime.history.frames import FrameKind, frame
from kart_runtime.history.index import Index, RunRow, open_index
from kart_runtime.history.names import has_values, resolve_run, resolve_task, task_labels
from kart_runtime.history.places import log_text, output_keys, series_text, stored_output
from kart_runtime.history.rows import attempt_row, metric_rows, run_row
from kart_runtime.history.runs import RunRecord
from kart_runtime.history.tables import ago, epoch
from kart_runtime.storage.staging import OutputRecord

logger = logging.getLogger(__name__)


class PastTask:
    """A task that has run, with its newest attempt.

    Attributes
    ----------
    record
        The attempt.
    name, unique_id
        Name of its class, and its id.
    params
        Significant parameters as text.
    metrics
        Name to last value.
    """

    def __init__(self, index: Index, record: RunRecord) -> None:
        self._index, self.record = index, record
        self.name, self.unique_id = record.task, record.unique_id
        self.params: Mapping[str, str] = dict(record.params)
        self.metrics: Mapping[str, float | str] = dict(record.metrics)

    def __repr__(self) -> str:
        return f"<{self.name}[{self.unique_id[:8]}] {self.record.state}, run {self.record.run_id}>"

    @property
    def run(self) -> RunRow:
        """The run of the attempt."""
        return self._index.run_row(self.record.run_id)

    @property
    def upstream(self) -> list[PastTask]:
        """The tasks directly upstream, as far as they have run in this workspace."""
        ids = self._index.upstream(self.unique_id)
        found = self._index.newest_of(ids)
        return [PastTask(self._index, found[uid]) for uid in ids if uid in found]

    @property
    def outputs(self) -> list[str]:
        """Urls of the outputs, where they lie now."""
        return [stored_output(self._index, self.record, output.url).url for output in self.record.outputs]

    @property
    def log(self) -> str:
        """What the last attempt at the task logged; "" if nothing was kept."""
        return log_text(self._index.workspace, self.record) or ""

    def series(self, name: str) -> list[tuple[int, float]]:
        """Return step and value of a metric that was logged step by step.

        Parameters
        ----------
        name
            Name of the metric.

        Returns
        -------
        list of tuple
            Step and value, in the order of the log; of the last attempt at the task.
        """
        steps = []
        for line in (series_text(self._index.workspace, self.record) or "").splitlines():
            try:
                metric, step, value = json.loads(line)[:3]
            except (ValueError, TypeError):  # a cut line
                continue
            if metric == name:
                steps.append((step, float(value)))
        return steps

    def load(self, key: str | None = None) -> Any:
        """Return a value that the attempt stored.

        Parameters
        ----------
        key
            Name of the file without id and suffix; with its folder or suffix if several have one name. None: the value
            of the only output, or a dict of all.

        Returns
        -------
        Any
            The value, decoded by the suffix of the file.

        Raises
        ------
        ObjectMissing
            The file is gone; the message names the run that wrote it.
        ConfigError
            The task has no such output.
        """
        records = {output.url: output for output in self.record.outputs}
        outputs = {key: records[url] for key, url in output_keys(list(records), self.unique_id).items()}
        name = f"{self.name}[{self.unique_id[:8]}]"
        if not outputs:
            raise ConfigError(f"{name} has no recorded output: its attempt ended as '{self.record.state}'")
        if key is None:
            values = {each: self._value(output) for each, output in outputs.items()}
            return next(iter(values.values())) if len(values) == 1 else values
        if key not in outputs:
            message, expected = f"{name} has no output '{key}'", f"one of {', '.join(outputs)}"
            raise ConfigError(message, suggestion=closest_match(key, outputs), expected=expected)
        return self._value(outputs[key])

    def _value(self, output: OutputRecord) -> Any:
        place = stored_output(self._index, self.record, output.url)
        if not place.exists:
            raise ObjectMissing(place.url, _what_gc_says(self.record))
        # luigi, of which targets are a part, is slow to import
        make_target = import_module("kart_runtime.storage.target").make_target
        target = make_target(place.url, as_type=_declared_type(self.record))
        target.records = _Recorded(output)
        return target.load()


def _declared_type(record: RunRecord) -> Any:
    """Return the type that a task declares for its value; None if its class cannot be imported here."""
    try:
        cls = getattr(import_module(record.module), record.task)
        base = import_module("kart_runtime.task.base").TaskOnKart
        return import_module("kart_runtime.task.declared_type").declared_type(cls, base)
    except Exception as error:  # noqa: BLE001 - a module of the user's may raise anything; the suffix says enough
        logger.debug("Loading without the declared type of %s.%s: %s", record.module, record.task, error)
        return None


class _Recorded:
    """What the record of an attempt says of the output that is loaded."""

    def __init__(self, output: OutputRecord) -> None:
        self._output = output

    def expected(self, url: str) -> OutputRecord | None:  # noqa: ARG002 - there is one
        """Return the record."""
        return self._output

    def settle(self, url: str) -> dict[str, OutputRecord]:  # noqa: ARG002 - as above
        """Return nothing: what a run of the past has stored does not change."""
        return {}

    def refresh(self) -> None:
        """Do nothing: the record is of the past."""


def _what_gc_says(record: RunRecord) -> str:
    return (
        f"Run {record.run_id} wrote it {ago(epoch(record.started))}. kart gc deletes outputs that no run of the last "
        "30 days (--keep-days), nor the last one (--keep-runs), uses; or somebody has deleted or moved it. Run the "
        "task with the same parameters to make it again."
    )


class History:
    """What has run in a workspace, and what came of it.

    Parameters
    ----------
    workspace
        Folder or url of the workspace. None: that of the project around the current directory.
    env
        Environment of the project. None: `$KART_ENV`, or dev.

    Examples
    --------
    >>> history = History("outputs")  # doctest: +SKIP
    >>> history.compare("EvaluateModels")  # doctest: +SKIP
    >>> history.load("EvaluateModels", "metrics", run="last~1")  # doctest: +SKIP
    """

    def __init__(self, workspace: str | Path | None = None, *, env: str | None = None) -> None:
        if workspace is None:
            workspace = _project_workspace(env)
        self.workspace = str(workspace)
        self._index = open_index(self.workspace)

    def __repr__(self) -> str:
        number = self._index.count()
        return f"History({self.workspace!r}): {number} run{'s' if number != 1 else ''}"

    @property
    def index(self) -> Index:
        """The index of the workspace."""
        return self._index

    def refresh(self) -> None:
        """Read what has run since the history was opened."""
        self._index.refresh()

    # -- tables ------------------------------------------------------------------------------------------------------

    def runs(self, *, limit: int | None = None, as_: FrameKind = "pandas", **filters: Any) -> Any:
        """Return the runs, newest first.

        Parameters
        ----------
        limit
            Number of runs. None: all.
        as_
            "pandas", "polars", or "rows" for a list of dictionaries.
        **filters
            `failed=True`, `task="TrainModel"`, `label="shallow"`, or `since`, in seconds since the epoch.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or list of dict
            A row for each run.
        """
        return frame([run_row(run) for run in self._index.runs(limit, **filters)], as_)

    def attempts(self, *, task: str | None = None, run: str | None = None, as_: FrameKind = "pandas") -> Any:
        """Return the attempts at tasks, oldest first.

        Parameters
        ----------
        task
            Class, or the start of a task's id. None: all.
        run
            Run as on the command line: `last~1`. None: all.
        as_
            As for `runs`.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or list of dict
            A row for each attempt; parameters and metrics are columns such as `params.max_depth`.
        """
        return frame(map(attempt_row, self._attempts(task, run)), as_)

    def metrics(self, *, task: str | None = None, run: str | None = None, as_: FrameKind = "pandas") -> Any:
        """Return the metrics of all attempts, a row for each value.

        Parameters
        ----------
        task, run, as_
            As for `attempts`.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or list of dict
        """
        return frame(metric_rows(self._attempts(task, run)), as_)

    def compare(
        self,
        task: str | Sequence[str],
        *,
        sort: str | None = None,
        maximize: bool | None = None,
        all_columns: bool = False,
        as_: FrameKind = "pandas",
    ) -> Any:
        """Return parameters and metrics of the variants of a task, as `kart compare` does.

        Parameters
        ----------
        task
            Class, or the starts of the ids of several tasks.
        sort
            Column to sort by, best metric or lowest parameter first. None: newest first.
        maximize
            Whether a higher value of the metric `sort` is better. None: as its name says.
        all_columns
            Include parameters that never differ.
        as_
            As for `runs`.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or list of dict
        """
        table = self.compare_table(task, sort=sort, maximize=maximize, all_columns=all_columns)
        return frame(table.flat_rows(), as_)

    def compare_table(self, task: str | Sequence[str], **options: Any) -> CompareTable:
        """Return the same as `compare`, as a table that knows the best values.

        Parameters
        ----------
        task
            As for `compare`.
        **options
            `sort`, `maximize` and `all_columns` of `compare`.

        Returns
        -------
        CompareTable
        """
        if not isinstance(task, str):
            return compare_table(self._index, [resolve_task(self._index, word).unique_id for word in task], **options)
        match = resolve_task(self._index, task)
        return compare_table(self._index, [match.unique_id] if match.unique_id else match.task, **options)

    def diff(self, before: str = "last~1", after: str = "last", *, as_: FrameKind = "pandas") -> Any:
        """Return what differs between two runs, a row for each difference.

        Parameters
        ----------
        before, after
            Runs as on the command line.
        as_
            As for `runs`.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or list of dict
        """
        rows = self.difference(before, after).rows()
        if as_ != "rows":  # one type for each column
            rows = [{name: None if value is None else str(value) for name, value in row.items()} for row in rows]
        return frame(rows, as_)

    def difference(self, before: str = "last~1", after: str = "last") -> RunDifference:
        """Return what differs between two runs, as an object.

        Parameters
        ----------
        before, after
            Runs as on the command line.

        Returns
        -------
        RunDifference
        """
        runs = [self._index.run_row(resolve_run(self._index, word)) for word in (before, after)]
        return difference(self._index, *runs)

    def rows(self, what: str = "runs", *arguments: Any, **options: Any) -> list[dict[str, Any]]:
        """Return a table as dictionaries, without pandas or polars.

        Parameters
        ----------
        what
            Name of the method: runs, attempts, metrics, compare or diff.
        *arguments, **options
            Its arguments.

        Returns
        -------
        list of dict
        """
        if what not in ("runs", "attempts", "metrics", "compare", "diff"):
            raise ValueError(f"no table is called {what!r}; use runs, attempts, metrics, compare or diff.")
        rows: list[dict[str, Any]] = getattr(self, what)(*arguments, **options, as_="rows")
        return rows

    # -- values ------------------------------------------------------------------------------------------------------

    def task(self, task: str, *, run: str | None = None, **params: Any) -> PastTask:
        """Return a task that has run.

        Parameters
        ----------
        task
            Class, or at least 6 characters of a task's id.
        run
            Run as on the command line. None: the newest that ran it to its end.
        **params
            Values of its parameters, as they are or as texts, if several tasks of the class ran. Without `run`, the
            newest run with such a task counts.

        Returns
        -------
        PastTask

        Raises
        ------
        ConfigError
            There is no such run or task, or there are several.
        """
        match = resolve_task(self._index, task)
        records = self._of_run(match.task, run) if run is not None else self._newest(match.task, match.unique_id)
        if match.unique_id:
            records = [record for record in records if record.unique_id == match.unique_id]
        matching = [record for record in records if has_values(record.params, params)]
        if run is None and not (matching or match.unique_id):
            earlier = [each for each in self._index.candidates(match.task) if has_values(each.params, params)]
            matching = [record for record in earlier if record.run_id == earlier[0].run_id]
        if len(matching) == 1:
            return PastTask(self._index, matching[0])
        raise _not_one(self._index, task, run, records, matching)

    def load(self, task: str, key: str | None = None, *, run: str | None = None, **params: Any) -> Any:
        """Return a value that a task stored.

        Parameters
        ----------
        task, run, **params
            As for `task`.
        key
            Name of the file without id and suffix; with its folder or suffix if several have one name. None: the value
            of the only output, or a dict of all.

        Returns
        -------
        Any
            The value, decoded by the suffix of the file.

        Raises
        ------
        ObjectMissing
            The file is gone; the message names the run that wrote it.
        ConfigError
            There is no such run, task or output, or several tasks fit.
        """
        return self.task(task, run=run, **params).load(key)

    def _attempts(self, task: str | None, run: str | None) -> list[RunRecord]:
        match = None if task is None else resolve_task(self._index, task)
        return self._index.attempts(
            run_id=None if run is None else resolve_run(self._index, run),
            unique_id=match.unique_id or None if match is not None else None,
            task=match.task if match is not None else None,
        )

    def _newest(self, task: str, unique_id: str) -> list[RunRecord]:
        """Return the newest record of a task, or those of a class in the newest run that ran it."""
        if unique_id:
            return list(self._index.newest_of([unique_id]).values())
        newest = self._index.candidates(task, 1) or self._index.attempts(task=task)[-1:]
        run_id = newest[0].run_id
        records = [record for record in self._index.attempts(run_id=run_id) if record.task == task]
        return list({record.unique_id: record for record in records if record.state == newest[0].state}.values())

    def _of_run(self, task: str, word: str) -> list[RunRecord]:
        """Return the records of the tasks of a class that a run ran, or used as they were."""
        run_id = resolve_run(self._index, word)
        own = {record.unique_id: record for record in self._index.attempts(run_id=run_id) if record.task == task}
        used = [name.unique_id for name in self._index.run(run_id).tasks if name.task == task]
        missing = [uid for uid in used if uid not in own or own[uid].state != "done"]
        return list((own | self._index.newest_of(missing)).values())


def _not_one(
    index: Index, task: str, run: str | None, records: Sequence[RunRecord], matching: Sequence[RunRecord]
) -> ConfigError:
    where = f" in run {run}" if run is not None else ""
    labels = ", ".join(task_labels(index, matching or records)[:8])
    if matching:
        names = dict.fromkeys(name for each in matching for name, text in each.params.items() if not is_task_text(text))
        differing = [name for name in names if len({str(each.params.get(name)) for each in matching}) > 1]
        hint = f"{differing[0]}={matching[0].params.get(differing[0])!r}" if differing else "an id"
        return ConfigError(f"'{task}' stands for {len(matching)} tasks{where}: {labels}. Tell which by {hint}")
    if records:
        return ConfigError(f"no '{task}'{where} has these parameters. There is: {labels}")
    return ConfigError(f"no '{task}' was used{where}")


def _project_workspace(env: str | None) -> str:
    """Return the workspace of the project around the current directory, by a layer above this one."""
    project = import_module("kart_runtime.project").Project.find()
    import_module("kart_runtime.project.env_file").read_env_file(project.root)
    workspace: str = import_module("kart_runtime.project.conf.workspace").configured_workspace(project, env)
    return workspace
