from __future__ import annotations

import datetime
import enum
import math
import subprocess
import sys
from pathlib import Path

import luigi
import pytest

from kart_runtime import ConfigError, TaskInstanceParameter, TaskOnKart, build
from kart_runtime.errors import ObjectCorrupt, ObjectMissing
from kart_runtime.history import History
from kart_runtime.storage.registry import store_for
from tests.runtime.history import past


class Rows(TaskOnKart):
    number = luigi.IntParameter(default=3)

    def run(self):
        self.dump(list(range(self.number)))


class Model(TaskOnKart):
    kind = luigi.Parameter()
    rows = TaskInstanceParameter(default=Rows())

    def requires(self):
        return self.rows

    def output(self):
        return {"model": self.make_target("model.pkl"), "metrics": self.make_target("metrics.json")}

    def run(self):
        for step in range(3):
            self.log_metric("loss", 1 / (step + 1), step=step)
        self.log_metric("odd", math.nan)
        self.dump({"kind": self.kind, "rows": self.load()}, "model")
        self.dump({"auc": 0.9 + len(self.kind) / 100}, "metrics")


class Report(TaskOnKart):
    number = luigi.IntParameter(default=3)
    workspaces = None

    def requires(self):
        rows = Rows(number=self.number, workspace_directory=self.workspace_directory)
        return [
            Model(kind=kind, rows=rows, workspace_directory=self.workspace_directory) for kind in ("tree", "forest")
        ]

    def run(self):
        self.dump(f"report {self.number}")


@pytest.fixture
def history(workspace):
    """The history of two runs in each kind of store."""
    for number in (3, 4):
        build(Report(number=number, workspace_directory=workspace))
    return History(workspace)


def test_every_value_can_be_loaded(history):
    assert history.load("Report") == "report 4"
    assert history.load("Report", run="last~1") == "report 3"
    model = history.load("Model", "model", kind="tree")
    assert model == {"kind": "tree", "rows": [0, 1, 2, 3]}
    unique_id = history.task("Model", kind="tree", run="last~1").unique_id
    assert history.load(unique_id[:8], "model")["rows"] == [0, 1, 2]
    assert set(history.load(unique_id)) == {"model", "metrics"}


def test_a_task_of_the_past_says_what_it_was(history):
    task = history.task("Model", kind="tree")
    assert task.params["kind"] == "tree"
    assert task.metrics == {"loss": pytest.approx(1 / 3), "odd": "nan", "auc": pytest.approx(0.94)}
    assert task.series("loss") == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert task.series("none") == []
    assert [each.name for each in task.upstream] == ["Rows"]
    assert task.upstream[0].load() == [0, 1, 2, 3]
    assert [url.rpartition("/")[2].partition("_")[0] for url in task.outputs] == ["model", "metrics"]
    assert (task.run.state, task.run.root_names, task.log) == ("done", ("Report",), "")


class Split(TaskOnKart):
    def output(self):
        names = ("train/rows.json", "test/rows.json", "table.json", "table.txt")
        return {name: self.make_target(name) for name in names}

    def run(self):
        for name, value in (("train/rows.json", 1), ("test/rows.json", 2), ("table.json", 3), ("table.txt", "four")):
            self.dump(value, name)


def test_outputs_of_one_name_are_told_apart(tmp_path):
    build(Split(workspace_directory=str(tmp_path / "w")))
    history = History(tmp_path / "w")
    stored = {"train/rows": 1, "test/rows": 2, "table.json": 3, "table.txt": ["four"]}
    assert history.load("Split") == stored
    assert {key: history.load("Split", key) for key in stored} == stored
    with pytest.raises(ConfigError, match="has no output 'rows'"):
        history.load("Split", "rows")


def test_the_parameters_name_a_task_of_an_earlier_run(history):
    assert history.load("Report", number=3) == "report 3"
    assert history.load("Report", number="4") == "report 4"
    with pytest.raises(ConfigError, match="no 'Report' in run last has these parameters"):
        history.load("Report", number=3, run="last")


def test_a_run_that_had_nothing_to_do_has_the_values_that_it_used(history, workspace):
    build(Report(number=3, workspace_directory=workspace))
    history.refresh()
    assert history.load("Report", run="last") == "report 3"
    assert history.load("Report") == "report 4"


def test_a_file_that_is_gone_names_its_run(history):
    task = history.task("Report")
    store, key = store_for(task.outputs[0])
    store.delete(key)
    with pytest.raises(ObjectMissing, match=rf"Run {task.run.id} wrote it .* kart gc deletes"):
        history.load("Report")


def test_a_file_that_was_replaced_is_no_value_of_the_past(history):
    task = history.task("Report")
    store, key = store_for(task.outputs[0])
    with store.write(key) as file:
        file.write(b"something else")
    with pytest.raises(ObjectCorrupt):
        history.load("Report")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda history: history.load("Model"), r"stands for 2 tasks: Model\(kind=tree\), Model\(kind=forest\).*kind="),
        (lambda history: history.load("Modle"), "Did you mean 'Model'"),
        (lambda history: history.load("Report", "nothing"), "has no output 'nothing'"),
        (lambda history: history.load("Report", run="first"), "no run is called 'first'"),
        (lambda history: history.task("Model", kind="bush"), "no 'Model' has these parameters"),
        (lambda history: history.compare("Model", sort="ac"), "Did you mean 'auc'"),
    ],
)
def test_a_mistake_says_what_there_is(tmp_path, call, message):
    workspace = str(tmp_path / "w")
    build(Report(workspace_directory=workspace))
    with pytest.raises(ConfigError, match=message):
        call(History(workspace))


class Kind(enum.Enum):
    TREE = 1
    FOREST = 2


class Everything(TaskOnKart):
    names = luigi.ListParameter(default=["a", "b"])
    options = luigi.DictParameter(default={"a": [1]})
    pair = luigi.TupleParameter(default=(1, 2))
    kind = luigi.EnumParameter(enum=Kind, default=Kind.TREE)
    kinds = luigi.EnumListParameter(enum=Kind, default=(Kind.TREE, Kind.FOREST))
    flag = luigi.BoolParameter(default=True)
    rate = luigi.FloatParameter(default=1.0)
    day = luigi.DateParameter(default=datetime.date(2026, 1, 1))
    hour = luigi.DateHourParameter(default=datetime.datetime(2026, 1, 1, 5))
    wait = luigi.TimeDeltaParameter(default=datetime.timedelta(hours=1))
    limit = luigi.OptionalIntParameter(default=None)
    held = TaskInstanceParameter(default=Rows())

    def run(self):
        self.dump(1)


def test_values_of_every_type_name_a_task(tmp_path):
    task = Everything(workspace_directory=str(tmp_path / "w"))
    build(task)
    history = History(tmp_path / "w")
    values = task.param_kwargs
    for name in history.task("Everything").params:
        assert history.task("Everything", **{name: values[name]}).unique_id == task.make_unique_id()
    assert history.load("Everything", rate=1, names=["a", "b"]) == 1
    for wrong in ({"rate": 2}, {"flag": False}, {"limit": 0}, {"kind": Kind.FOREST}, {"pair": (2, 1)}, {"other": 1}):
        with pytest.raises(ConfigError, match="has these parameters"):
            history.task("Everything", **wrong)


@pytest.fixture
def variants(tmp_path):
    past.variants(tmp_path / "outputs")
    return History(tmp_path / "outputs")


@pytest.mark.parametrize("as_", ["pandas", "polars"])
def test_tables_are_frames(variants, as_):
    compared = variants.compare("EvaluateModels", sort="auc", as_=as_)
    assert list(compared["TrainModel.max_depth"]) == ["8", "4", "2"]
    assert list(compared["auc"]) == [0.98, 0.94, 0.92]
    assert len(variants.runs(as_=as_)) == 3
    attempts = variants.attempts(task="TrainModel", as_=as_)
    assert list(attempts["params.max_depth"]) == ["4", "4", "2", "2", "8", "8"]
    assert next(iter(attempts["started"])).hour == 12
    assert list(variants.metrics(as_=as_)["value"]) == [0.94, 0.25, 0.92, 0.5, 0.98, 0.125]
    assert "TrainModel.max_depth" in list(variants.diff(as_=as_)["name"])


def test_tables_are_rows_without_pandas(variants):
    assert [row["run"] for row in variants.rows("runs")] == [past.run_id(number) for number in (2, 1, 0)]
    assert variants.rows("compare", "EvaluateModels", sort="loss")[0]["auc"] == 0.98
    assert variants.rows("attempts", task="SplitData")[0]["params"] == {"test_fraction": "0.25"}
    assert {row["section"] for row in variants.rows("diff", "last~2", "last")} >= {"settings", "metrics"}
    assert variants.rows("runs", failed=True) == []
    with pytest.raises(ValueError, match="no table is called 'load'"):
        variants.rows("load")


def test_a_workspace_may_be_moved(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    build(Report(workspace_directory="outputs"))
    (tmp_path / "here" / "outputs").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    assert History(tmp_path / "there").load("Report") == "report 3"
    assert History("there").load("Model", "model", kind="tree")["kind"] == "tree"


def test_a_relative_workspace_is_read_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build(Report(workspace_directory="outputs"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert History("../outputs").load("Report") == "report 3"


def test_the_history_of_a_project_is_that_of_its_workspace(tmp_path, monkeypatch):
    (tmp_path / "conf" / "base").mkdir(parents=True)
    (tmp_path / "conf" / "dev").mkdir()
    (tmp_path / "p" / "tasks").mkdir(parents=True)
    (tmp_path / "p" / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text('[tool.kart]\npackage = "p"\n')
    (tmp_path / "conf" / "base" / "run.yaml").write_text("workspace: outputs/\n")
    past.variants(tmp_path / "outputs")
    monkeypatch.chdir(tmp_path / "p")
    assert len(History().rows("runs")) == 3


def test_a_history_in_a_bucket(bucket):
    build(Report(workspace_directory=bucket.url))
    assert History(bucket.url).load("Report") == "report 3"
    assert History(bucket.url).rows("runs")[0]["ran"] == 4


def test_importing_the_package_of_the_history_is_cheap():
    code = "import sys, kart_runtime.history; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"luigi", "sqlite3", "kart_runtime.history.index"} & set(done.stdout.split())


def test_a_history_without_runs(tmp_path):
    history = History(tmp_path / "nothing")
    assert history.rows("runs") == history.rows("attempts") == []
    assert repr(history).endswith("0 runs")
    assert not Path(tmp_path / "nothing").exists()
    with pytest.raises(ConfigError, match="no run yet"):
        history.diff()


class Scores(TaskOnKart[dict[str, list[float]]]):
    def output(self):
        return self.make_target("scores.json")

    def run(self):
        self.dump({"tree": [0.5, 0.25], "forest": [0.75, 1.0]})


def test_a_value_has_the_type_that_its_task_declares(workspace):
    written = build(Scores(workspace_directory=workspace))
    loaded = History(workspace).load("Scores")
    assert type(loaded) is dict
    assert loaded == written == {"tree": [0.5, 0.25], "forest": [0.75, 1.0]}
