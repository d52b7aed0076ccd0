"""Exporter to an MLflow server: a run for the run, and below it one for each task that has measured something."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from kart_runtime.errors.secrets import note_secret
from kart_runtime.exporters.base import ExporterNotReady
from kart_runtime.exporters.http_calls import Refused, address_of, basic, call, tls_context
from kart_runtime.exporters.record_values import milliseconds, short_key, short_name, start_and_end
from kart_runtime.history.log_files import LogFiles
from kart_runtime.history.runs import text_of
from kart_runtime.storage.registry import store_for

_STATUS = {"done": "FINISHED", "complete": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
_LONGEST_VALUE, _LONGEST_NAME = 5000, 250
_MOST_METRICS, _MOST_PAIRS = 500, 100
"""What MLflow takes of a request, with some room."""

_RUN_ID, _TASK_ID = "kart.run_id", "kart.unique_id"


class MlflowExporter:
    """Sender of a run to the MLflow server at `$MLFLOW_TRACKING_URI`, into `$MLFLOW_EXPERIMENT_NAME`.

    Runs are found again by their tags, so what is sent twice is there once.
    """

    def __init__(self) -> None:
        self._server = _Server()
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
        name, metrics, variant = (
            short_name(record),
            record.get("metrics") or {},
            self._variants.get(record["unique_id"]),
        )
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
        return f"1 run{children}{known} to {self._server.url}/#/experiments/{self._experiment}/runs/{self._parent}"

    def _parent_id(self) -> str:
        """Return the id of the run in MLflow; find or create it first."""
        if self._parent:
            return self._parent
        server, run = self._server, self._run
        self._experiment = self._experiment or _experiment(server)
        found = next(server.search(self._experiment, _RUN_ID, run["run"], 1), None)
        if found:
            self._is_known, parent = True, str(found["info"]["run_id"])
            self._children = dict(_children(server, self._experiment, parent))
        else:
            name = run.get("label") or run["run"]
            parent = server.create(self._experiment, name, milliseconds(run.get("started")) or 0, _tags(run))
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
            self._children[unique_id] = self._server.create(self._experiment, short_name(record), begin, tags)
        return self._children[unique_id]

    def _log(
        self,
        run: str,
        metrics: list[tuple[str, float, int, int]],
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Send metrics (name, value, time, step), params and tags in as few requests as the server takes."""
        self._server.log(
            run,
            [_metric(*each) for each in metrics],
            [{"key": _name(key), "value": str(value)[:_LONGEST_VALUE]} for key, value in (params or {}).items()],
            _pairs(tags or {}),
        )

    def _terminate(self, run: str, state: str, time: int | None) -> None:
        values = {"run_id": run, "status": _STATUS.get(state, "FAILED")}
        self._server.post("runs/update", values | ({"end_time": time} if time else {}))

    def _steps(self, record: Mapping[str, Any]) -> list[tuple[str, float, int, int]]:
        """Return the steps of the metrics of a task's latest attempt; of a file that is gone, their last values."""
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


class _Server:
    """Tracking server at `$MLFLOW_TRACKING_URI`, by the endpoints of MLflow's REST API."""

    def __init__(self) -> None:
        variables = os.environ
        url = variables.get("MLFLOW_TRACKING_URI", "").strip()
        if not url:
            raise ExporterNotReady(
                "the exporter mlflow has no address: set MLFLOW_TRACKING_URI, such as http://HOST:5000"
            )
        try:
            self.url, headers = address_of(url)
        except ValueError as error:
            raise ExporterNotReady(f"MLFLOW_TRACKING_URI is no address of a server: {error}") from error
        self.url = self.url.rstrip("/")
        self._headers = {**headers, "Content-Type": "application/json"}
        user, token = variables.get("MLFLOW_TRACKING_USERNAME"), variables.get("MLFLOW_TRACKING_TOKEN")
        if user:
            self._headers["Authorization"] = basic(user, variables.get("MLFLOW_TRACKING_PASSWORD", ""))
        elif token:
            self._headers["Authorization"] = f"Bearer {token}"
        for secret in (token, variables.get("MLFLOW_TRACKING_PASSWORD")):
            note_secret(secret)
        insecure, file = (variables.get(f"MLFLOW_TRACKING_{name}", "") for name in ("INSECURE_TLS", "SERVER_CERT_PATH"))
        self._context = tls_context(insecure, file)

    def post(self, endpoint: str, values: Mapping[str, Any]) -> Any:
        """Send a request, and return the values of the answer."""
        return self._call("POST", endpoint, json.dumps(values).encode())

    def get(self, endpoint: str) -> Any:
        """Ask for something, and return the values of the answer."""
        return self._call("GET", endpoint, None)

    def create(self, experiment: str, name: str, begin: int, tags: Mapping[str, Any]) -> str:
        """Create a run, and return its id."""
        values = {"experiment_id": experiment, "run_name": name[:_LONGEST_NAME], "start_time": begin}
        return str(self.post("runs/create", {**values, "tags": _pairs(tags)})["run"]["info"]["run_id"])

    def search(self, experiment: str, tag: str, value: str, most: int = 1000) -> Iterator[Any]:
        """Yield the runs that have a tag with a value."""
        values = {"experiment_ids": [experiment], "filter": f"tags.`{tag}` = '{value}'", "max_results": most}
        while True:
            answer = self.post("runs/search", values)
            yield from answer.get("runs", ())
            if not answer.get("next_page_token"):
                return
            values["page_token"] = answer["next_page_token"]

    def log(self, run: str, metrics: list[Any], params: list[Any], tags: list[Any]) -> None:
        """Add metrics, params and tags to a run, as many in one request as the server takes."""
        while metrics or params or tags:
            parts = {"params": params[:_MOST_PAIRS], "tags": tags[:_MOST_PAIRS], "metrics": metrics[:_MOST_METRICS]}
            self.post("runs/log-batch", {"run_id": run, **{key: part for key, part in parts.items() if part}})
            params, tags, metrics = params[_MOST_PAIRS:], tags[_MOST_PAIRS:], metrics[_MOST_METRICS:]

    def _call(self, method: str, endpoint: str, data: bytes | None) -> Any:
        try:
            answer = call(method, f"{self.url}/api/2.0/mlflow/{endpoint}", data, self._headers, self._context)
        except Refused:
            raise
        except ConnectionError as error:
            raise ConnectionError(f"{self.url} cannot be reached: {error}") from error
        try:
            return json.loads(answer)
        except ValueError as error:
            raise ConnectionError(f"{self.url} is no MLflow server: its answer is {answer[:60]!r}") from error


def _experiment(server: _Server) -> str:
    """Return the id of the experiment that the environment names; create it if there is none."""
    known, name = os.environ.get("MLFLOW_EXPERIMENT_ID"), os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if known or not name:
        return known or "0"
    query = f"experiments/get-by-name?experiment_name={quote(name, safe='')}"
    try:
        return str(server.get(query)["experiment"]["experiment_id"])
    except Refused as error:
        if error.status != 404:
            raise
    try:
        return str(server.post("experiments/create", {"name": name})["experiment_id"])
    except Refused:  # another run was faster
        return str(server.get(query)["experiment"]["experiment_id"])


def _children(server: _Server, experiment: str, parent: str) -> Iterator[tuple[str, str]]:
    """Yield the unique ids of the tasks that are below a run in MLflow already, and their ids there."""
    for run in server.search(experiment, "mlflow.parentRunId", parent):
        tags = {tag["key"]: tag["value"] for tag in run["data"].get("tags", ())}
        if _TASK_ID in tags:
            yield tags[_TASK_ID], run["info"]["run_id"]


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
    return texts | {_RUN_ID: run["run"], "mlflow.source.name": command, "mlflow.source.type": "LOCAL"}


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


def _metric(name: str, value: float, time: int, step: int) -> dict[str, Any]:
    """Return a metric as JSON has it: what is not finite as text."""
    number: Any = value
    if not math.isfinite(value):
        number = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return {"key": name, "value": number, "timestamp": time, "step": step}


def _pairs(values: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return tags as JSON has them, without empty ones."""
    return [{"key": key, "value": str(value)[:_LONGEST_VALUE]} for key, value in values.items() if value]
