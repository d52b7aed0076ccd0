"""Exporter to an MLflow server: a run for the run, and below it one for each task that has measured something."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kart_runtime.exporters.base import ExporterNotReady
from kart_runtime.exporters.libraries import (
    check_receiver,
    milliseconds,
    short_key,
    short_name,
    silent_libraries,
    start_and_end,
)
from kart_runtime.history.log_files import LogFiles
from kart_runtime.history.runs import text_of
from kart_runtime.storage.registry import store_for

_STATUS = {"done": "FINISHED", "complete": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
_LONGEST_VALUE, _LONGEST_NAME = 5000, 250
_RUN_ID, _TASK_ID = "kart.run_id", "kart.unique_id"


class MlflowExporter:
    """Sender of a run to the MLflow server at `$MLFLOW_TRACKING_URI`, into `$MLFLOW_EXPERIMENT_NAME`.

    Runs are found again by their tags, so what is sent twice is there once.
    """

    environment: Mapping[str, str] = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
    """What `kart export` sets where it is not set: somebody waits for it."""

    def __init__(self) -> None:
        self._uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
        if not self._uri:
            raise ExporterNotReady("the exporter mlflow has no address: set MLFLOW_TRACKING_URI, such as http://HOST:5000")
        self._client: Any = None
        self._experiment = ""
        self.begin({})

    def begin(self, run: Mapping[str, Any]) -> None:
        """Keep the header of the run, which is created with its first attempt."""
        self._run, self._parent, self._is_known = run, "", False
        self._children: dict[str, str] = {}
        self._series: list[Mapping[str, Any]] = []
        self._measured: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._failed: dict[str, str] = {}
        self._variants = _variants(run.get("sweep"))

    def task(self, record: Mapping[str, Any]) -> None:
        """Send an attempt that has measured something, or that is the root of a variant."""
        parent = self._parent_id()
        name, metrics, variant = short_name(record), record.get("metrics") or {}, self._variants.get(record["unique_id"])
        self._failed.pop(name, None)
        if record["state"] == "failed":
            self._failed[name] = str(record.get("error", "")).partition("\n")[0]
        if metrics:
            self._measured.setdefault(record["task"], {})[record["unique_id"]] = metrics
        if not metrics and variant is None:
            return
        begin, end = start_and_end(record)
        child = self._child(parent, record, begin)
        params = {**record.get("params", {}), **(variant or {})}
        stepped = set(record.get("series") or ())
        scalars = {key: value for key, value in metrics.items() if key not in stepped}
        self._log(child, _metrics(scalars, end), params)
        if stepped:
            self._series.append(record)  # whose file may not be stored yet
        self._terminate(child, record["state"], end)

    def end(self, end: Mapping[str, Any]) -> None:
        """Send the steps of the metrics, and how the run has ended."""
        state = end.get("state", "")
        if not self._parent and state == "done":
            return  # nothing was to run
        parent = self._parent_id()
        for record in self._series:
            self._log(self._children[record["unique_id"]], self._steps(record))
        finished = milliseconds(end.get("end"))
        values = {
            f"{task}.{name}": value
            for task, tasks in self._measured.items()
            if len(tasks) == 1  # of several, no name says which
            for name, value in next(iter(tasks.values())).items()
        }
        git = end.get("git") or {}
        tags = {"kart.state": state, "kart.failed": "; ".join(f"{name}: {why}" for name, why in self._failed.items())}
        tags |= {f"kart.{key}": str(end[key]) for key in ("ran", "complete", "not_started") if key in end}
        if git.get("commit"):
            tags |= {"mlflow.source.git.commit": git["commit"], "kart.git_dirty": str(git.get("dirty", ""))}
        self._log(parent, _metrics(values, finished or 0), tags=tags)
        self._terminate(parent, state, finished)

    def sent(self) -> str:
        """Return what was sent."""
        if not self._parent:
            return "nothing to mlflow, because no task of this run has run"
        children = f" with {len(self._children)} below it" if self._children else ""
        known = ", which was there already and is brought up to date," if self._is_known else ""
        return f"1 run{children}{known} to {self._uri.rstrip('/')}/#/experiments/{self._experiment}/runs/{self._parent}"

    def _connect(self) -> Any:
        if self._client is None:
            check_receiver(self._uri)
            from mlflow import MlflowClient

            with silent_libraries():
                client = MlflowClient(tracking_uri=self._uri)
                self._experiment = _experiment(client)
            self._client = client
        return self._client

    def _parent_id(self) -> str:
        """Return the id of the run in MLflow; find or create it first."""
        if self._parent:
            return self._parent
        client, run = self._connect(), self._run
        found = client.search_runs([self._experiment], f"tags.`{_RUN_ID}` = '{run['run']}'", max_results=1)
        if found:
            self._is_known = True
            parent = found[0].info.run_id
            self._children = dict(_children(client, self._experiment, parent))
        else:
            begin = milliseconds(run.get("started"))
            name = run.get("label") or run["run"]
            parent = client.create_run(self._experiment, begin, _tags(run), run_name=name).info.run_id
        overrides = run.get("overrides") or {}
        short = {short_key(key) for key in overrides}
        keys = short_key if len(short) == len(overrides) else str
        self._log(parent, [], {keys(key): value for key, value in overrides.items()})
        self._parent = parent
        return parent

    def _child(self, parent: str, record: Mapping[str, Any], begin: int) -> str:
        unique_id = record["unique_id"]
        if unique_id not in self._children:
            tags = {
                "mlflow.parentRunId": parent,
                _TASK_ID: unique_id,
                "kart.task": f"{record['module']}.{record['task']}",
                "kart.reason": record.get("reason", ""),
                "kart.outputs": "\n".join(output["url"] for output in record.get("outputs") or ()),
            }
            tags = {key: str(value)[:_LONGEST_VALUE] for key, value in tags.items() if value}
            made = self._connect().create_run(self._experiment, begin, tags, run_name=short_name(record))
            self._children[unique_id] = made.info.run_id
        return self._children[unique_id]

    def _log(
        self,
        run: str,
        metrics: list[tuple[str, float, int, int]],
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Send metrics (name, value, time, step), params and tags in as few requests as the server takes."""
        from mlflow.entities import Metric, Param, RunTag

        self._connect().log_batch(
            run,
            [Metric(*each) for each in metrics],
            [Param(_name(key), str(value)[:_LONGEST_VALUE]) for key, value in (params or {}).items()],
            [RunTag(key, value[:_LONGEST_VALUE]) for key, value in (tags or {}).items() if value],
        )

    def _terminate(self, run: str, state: str, time: int | None) -> None:
        with _without_url():
            self._connect().set_terminated(run, _STATUS.get(state, "FAILED"), time)

    def _steps(self, record: Mapping[str, Any]) -> list[tuple[str, float, int, int]]:
        """Return the steps of the metrics of a task, of its latest attempt; of a file that is gone, their last values."""
        begin, end = start_and_end(record)
        logs = LogFiles(str(record.get("workspace") or self._run["workspace"]), record["task"], record["unique_id"])
        try:
            lines = text_of(*store_for(logs.url("series"))).splitlines()
            steps = [json.loads(line) for line in lines]
            return [
                (_name(name), float(value), begin + round(1000 * seconds), step) for name, step, value, seconds in steps
            ]
        except (OSError, ValueError, TypeError):
            return _metrics({name: record["metrics"][name] for name in record["series"]}, end)


def _experiment(client: Any) -> str:
    """Return the id of the experiment that the environment names; create it if there is none."""
    known, name = os.environ.get("MLFLOW_EXPERIMENT_ID"), os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if known or not name:
        return known or "0"
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except Exception:
            found = client.get_experiment_by_name(name)  # another run was faster
            if found is None:
                raise
    return str(found.experiment_id)


def _children(client: Any, experiment: str, parent: str) -> Iterator[tuple[str, str]]:
    """Yield the unique ids of the tasks that are below a run in MLflow already, and their ids there."""
    token = None
    while True:
        page = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'", page_token=token)
        yield from ((run.data.tags[_TASK_ID], run.info.run_id) for run in page if _TASK_ID in run.data.tags)
        token = page.token
        if not token:
            return


def _variants(sweep: Any) -> dict[str, dict[str, str]]:
    """Return the values that were swept, by the unique id of the roots that each variant has."""
    if not isinstance(sweep, Mapping):
        return {}
    return {
        unique_id: {short_key(key): str(value) for key, value in zip(sweep.get("keys", ()), values, strict=False)}
        for values, roots in zip(sweep.get("variants", ()), sweep.get("roots", ()), strict=False)
        for unique_id in roots
    }


def _tags(run: Mapping[str, Any]) -> dict[str, str]:
    texts = {f"kart.{key}": run.get(key, "") for key in ("env", "label", "host", "workspace")}
    command = " ".join(map(str, run.get("command") or ()))
    texts |= {_RUN_ID: run["run"], "mlflow.source.name": command, "mlflow.source.type": "LOCAL"}
    return {key: str(value)[:_LONGEST_VALUE] for key, value in texts.items() if value}


def _metrics(values: Mapping[str, Any], time: int) -> list[tuple[str, float, int, int]]:
    """Return metrics as MLflow takes them; "nan" and "inf" are numbers there."""
    found = []
    for name, value in values.items():
        try:
            found.append((_name(name), float(value), time, 0))
        except (ValueError, TypeError, OverflowError):
            continue
    return found


def _name(text: str) -> str:
    """Return a name in the characters that MLflow takes; it refuses what looks like a path out of a folder."""
    parts = re.sub(r"[^\w.\- :/]", "_", text).split("/")
    return "/".join(part for part in parts if part.strip("."))[:_LONGEST_NAME] or "_"


@contextmanager
def _without_url() -> Iterator[None]:
    """Keep MLflow from printing two lines for each run that ends."""
    name = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
    before = os.environ.get(name)
    os.environ[name] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
