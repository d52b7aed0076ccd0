"""MLflow gets a run with one below it for each task that measured something, once however often it is sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request

import pytest

from kart_runtime import build
from kart_runtime.exporters.mlflow import MlflowExporter
from kart_runtime.history.run_header import RunInfo
from tests.runtime.exporters.pipeline import Compare, Train, run, send
from tests.runtime.exporters.receivers import Mlflow, receiver

INFO = RunInfo(env="dev", label="shallow", overrides={"tasks.model.train.Train.depth": "3"})


@pytest.fixture
def server(monkeypatch):
    answers = Mlflow()
    with receiver(answers) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{server.url}/")
        answers.received = server.requests
        yield answers


def named(server):
    return {each["run_name"]: each for each in server.runs.values()}


def values(run, name):
    return sorted((step, value) for key, value, _, step in run["metrics"] if key == name)


def short(task):
    return f"{type(task).__name__}[{task.make_unique_id()[:8]}]"


@pytest.mark.parametrize("is_live", [True, False])
def test_a_run_and_below_it_what_was_measured(server, is_live):
    recorded = run(*(["mlflow"] if is_live else []), info=INFO)
    if not is_live:
        assert send(MlflowExporter()).startswith("1 run with 3 below it to http://127.0.0.1:")
    runs = named(server)
    assert set(runs) == {"shallow", short(Compare()), short(Train(depth=2)), short(Train(depth=3))}
    parent, child = runs["shallow"], runs[short(Train(depth=3))]

    assert parent["params"] == {"Train.depth": "3"}
    assert (parent["tags"]["kart.run_id"], parent["tags"]["kart.env"]) == (recorded.id, "dev")
    assert (parent["status"], parent["tags"]["kart.state"]) == ("FINISHED", "done")
    assert values(parent, "Compare.best/auc all") == [(0, 0.8)]
    assert not any(key.startswith("Train.") for key, *_ in parent["metrics"])  # of two, no name says which
    assert parent["start_time"] <= child["start_time"] <= child["end_time"] <= parent["end_time"]

    assert child["tags"]["mlflow.parentRunId"] == parent["run_id"]
    assert child["tags"]["kart.unique_id"] == Train(depth=3).make_unique_id()
    assert child["params"] == {"depth": "3"}
    assert values(child, "loss") == [(0, 1), (1, 1 / 2), (2, 1 / 3), (3, 1 / 4)]
    assert values(child, "auc") == [(0, 0.8)]
    assert values(child, "gap") == [(0, "NaN")]
    assert values(child, "most") == [(0, "Infinity")]
    assert child["status"] == "FINISHED"


def test_the_steps_are_there_from_a_bucket_too(server, bucket):
    build(Train(depth=2, workspace_directory=f"{bucket.url}/outputs"), export=["mlflow"])
    child = named(server)[short(Train(depth=2))]
    assert values(child, "loss") == [(0, 1), (1, 1 / 2), (2, 1 / 3), (3, 1 / 4)]


def test_sent_twice_it_is_there_once(server):
    run("mlflow", info=INFO)
    before = json.dumps(named(server), default=sorted)
    assert "which was there already and is brought up to date" in send(MlflowExporter())
    assert json.dumps(named(server), default=sorted) == before


def test_what_an_earlier_try_did_not_send_is_added(server, monkeypatch):
    run("mlflow")
    whole = json.dumps(named(server), default=sorted)
    parent = next(iter(server.runs))
    server.runs = {parent: {**server.runs[parent], "status": "RUNNING", "metrics": set()}}
    send(MlflowExporter())
    assert json.dumps(named(server), default=sorted) == whole


def test_a_failure_is_named(server):
    run("mlflow", fails=True)
    (parent,) = [each for each in server.runs.values() if "kart.run_id" in each["tags"]]
    assert parent["status"] == "FAILED"
    assert parent["tags"]["kart.failed"] == f"{short(Compare(fails=True))}: ValueError: no <winner> & no loser"
    assert len(server.runs) == 3


def test_a_run_with_nothing_to_do_is_not_there(server):
    run()
    run("mlflow")
    assert server.runs == {}
    assert send(MlflowExporter()) == "nothing to mlflow, because no task of this run has run"


def test_the_roots_of_a_sweep_have_its_values(server):
    roots = [[Train(depth=2).make_unique_id()], [Train(depth=3).make_unique_id()]]
    sweep = {"keys": ["tasks.a.Train.lr"], "variants": [["0.1"], ["0.2"]], "roots": roots}
    run("mlflow", info=RunInfo(sweep=sweep))
    assert named(server)[short(Train(depth=3))]["params"] == {"depth": "3", "Train.lr": "0.2"}


def test_the_experiment_and_the_login_come_from_the_variables_of_mlflow(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "churn & co")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken-of-mine")
    run("mlflow")
    assert {each["experiment_id"] for each in server.runs.values()} == {server.experiments["churn & co"]}
    assert {headers["Authorization"] for _, headers, _ in server.received} == {"Bearer t0ken-of-mine"}
    count = len(server.experiments)
    send(MlflowExporter())
    assert len(server.experiments) == count


def test_few_requests(server):
    run("mlflow")
    assert len(server.requests) <= 2 + 3 + 3 * 4  # to find; the run; of each below it also the steps of metrics


# -- the real server ---------------------------------------------------------------------------------------------------

_SERVER = [
    "mlflow-skinny==3.17.2",
    *["aiohttp", "alembic", "cryptography", "flask", "flask-cors", "graphene", "numpy", "pandas", "sqlalchemy"],
]
"""What `mlflow server` needs: a fifth of what `mlflow` installs."""


@pytest.fixture
def real_server(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("mlflow")
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "-p", sys.executable, folder / "env"], check=True)
    python = folder / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([*uv, "pip", "install", "-q", "-p", python, *_SERVER], check=True)
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--backend-store-uri", "sqlite:///runs.db"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [python, "-m", "mlflow", "server", *words], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 300
        while not _answers(f"http://127.0.0.1:{port}/version"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.slow
def test_the_real_server_has_it_once(real_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "churn & co")
    run(info=INFO)
    send(MlflowExporter())
    assert "was there already" in send(MlflowExporter())

    def ask(endpoint, **values):
        request = urllib.request.Request(
            f"{real_server}/api/2.0/mlflow/{endpoint}",
            json.dumps(values).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def read(url):
        with urllib.request.urlopen(f"{real_server}/api/2.0/mlflow/{url}", timeout=30) as answer:
            return json.loads(answer.read())

    known = read("experiments/get-by-name?experiment_name=churn%20%26%20co")["experiment"]["experiment_id"]
    runs = {each["info"]["run_name"]: each for each in ask("runs/search", experiment_ids=[known])["runs"]}
    assert set(runs) == {"shallow", short(Compare()), short(Train(depth=2)), short(Train(depth=3))}
    parent, child = runs["shallow"], runs[short(Train(depth=3))]
    assert (parent["info"]["status"], child["info"]["status"]) == ("FINISHED", "FINISHED")
    assert parent["data"]["params"] == [{"key": "Train.depth", "value": "3"}]
    assert child["data"]["params"] == [{"key": "depth", "value": "3"}]
    assert {each["key"] for each in child["data"]["metrics"]} == {"loss", "auc", "gap", "most"}
    history = read(f"metrics/get-history?run_id={child['info']['run_id']}&metric_key=loss")["metrics"]
    assert [(each["step"], each["value"]) for each in history] == [(0, 1), (1, 1 / 2), (2, 1 / 3), (3, 1 / 4)]
