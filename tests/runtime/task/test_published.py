"""`Published`: one version counts for a build, and a step back finds what was computed with it."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import luigi
import pandas as pd
import polars as pl
import pytest

from kart_runtime import (
    BuildFailed,
    Published,
    TaskOnKart,
    build,
    find_publication,
    load_published,
)
from kart_runtime.errors import InputReplaced, ObjectCorrupt, ObjectMissing
from kart_runtime.history.publication import Publication, PublishRefused
from kart_runtime.history.published import PublishedFile
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.target import Target
from kart_runtime.task.parameters import Override, set_overrides
from tests.runtime.execution.executors import dask_clusters

PATH = "models/current.pkl"


class Model(TaskOnKart[dict]):
    depth: luigi.IntParameter = luigi.IntParameter(default=1)
    publish = PATH

    def run(self):
        self.dump({"depth": self.depth})


class Predict(TaskOnKart[int]):
    number: luigi.IntParameter = luigi.IntParameter(default=0)

    def requires(self):
        return Published[dict](PATH)

    def run(self):
        self.dump(self.load()["depth"] * 10 + self.number)


class Total(TaskOnKart[int]):
    def requires(self):
        return [Predict(number=number) for number in range(3)]

    def run(self):
        self.dump(sum(self.load()))


@pytest.fixture(params=["local", "s3", "gs"])
def place(request, tmp_path):
    """An empty workspace of each kind that worker processes see."""
    if request.param == "local":
        return str(tmp_path / "w")
    return f"{request.getfixturevalue('s3_bucket' if request.param == 's3' else 'gcs_bucket').url}/w"


@pytest.fixture(autouse=True)
def _workspace(place):
    set_overrides({TaskOnKart: {"workspace_directory": Override(place, "the test")}})


def ran(task, **options):
    events = []
    value = build(task, on_event=events.append, **options)
    return value, events[-1].summary.ran


def file_of(place, path=PATH):
    return PublishedFile(place, path)


def go_back(place, steps=1):
    file_of(place).go_back(file_of(place).earlier()[-steps])


def publish(place, value, path=PATH):
    target = Target(f"{place}/made/{path}")
    record = target.dump(value)
    return file_of(place, path).publish(target.url, record, Publication(path, "", 0, ""))


def test_a_publication_and_a_step_back_run_exactly_what_uses_it(place):
    task = Predict()
    build(Model(depth=1))
    assert ran(task) == (10, 1)
    build(Model(depth=2))
    assert ran(task) == (20, 1), "the task object of the first build"
    assert ran(Predict()) == (20, 0)
    go_back(place)
    assert ran(task) == (10, 0), "what was computed then is complete again"
    assert load_published(place, PATH) == {"depth": 1}


def test_equal_content_is_the_same_version(place):
    publish(place, {"depth": 1})
    before = Published(PATH).make_unique_id()
    publish(place, {"depth": 2})
    publish(place, {"depth": 1})
    assert build(Predict()) == 10
    assert Published(PATH).make_unique_id() == before


def test_what_is_missing_names_path_workspace_and_command(place):
    with pytest.raises(BuildFailed) as raised:
        build(Predict())
    text = str(raised.value)
    assert f"{place}/{PATH} does not exist. Nothing is published as {PATH} in the workspace {place}." in text
    assert f"kart publish Model --as {PATH}" in text
    with pytest.raises(ObjectMissing, match=r"kart publish TASK --as other\.pkl"):
        Published("other.pkl").output().load()
    publish(place, {"depth": 1})
    with pytest.raises(ObjectMissing, match=f"Did you mean '{PATH}'"):
        load_published(place, "models/curent.pkl")
    assert build(Predict()) == 10


def test_another_workspace_is_read(place, tmp_path):
    other = str(tmp_path / "other")
    publish(other, {"depth": 7})
    publish(place, {"depth": 1})

    class Two(TaskOnKart[list]):
        def requires(self):
            return [Published(PATH), Published(PATH, workspace=other)]

        def run(self):
            self.dump([model["depth"] for model in self.load()])

    assert build(Two()) == [1, 7]


def test_a_build_sees_one_version(place):
    class Replace(TaskOnKart[int]):
        def run(self):
            store, key = store_for(f"{place}/made/other.pkl")
            with store.write(key) as file:  # at once, and not with the output of the task
                file.write(pickle.dumps({"depth": 9}))
            file_of(place).publish(f"{place}/made/other.pkl", None, Publication(PATH, "", 0, ""))
            self.dump(1)

    class Before(Predict):
        pass

    class After(Predict):
        def requires(self):
            return {"model": Published(PATH), "other": Replace(), "before": Before()}

        def run(self):
            self.dump(self.load("model")["depth"] * 10 + self.load("before"))

    publish(place, {"depth": 1})
    assert build(After()) == 20
    assert load_published(place, PATH) == {"depth": 9}
    assert build(After()) == 180


def test_a_file_that_somebody_replaces_while_the_build_runs_is_refused(place):
    class Replace(TaskOnKart[int]):
        def run(self):
            Target(f"{place}/{PATH}").dump({"depth": 9})
            self.dump(1)

    class After(Predict):
        def requires(self):
            return {"model": Published(PATH), "other": Replace()}

        def run(self):
            self.dump(self.load("model")["depth"])

    Target(f"{place}/{PATH}").dump({"depth": 1})  # nor was it published by kart
    with pytest.raises(BuildFailed) as raised:
        build(After())
    assert isinstance(next(iter(raised.value.causes.values())), InputReplaced)
    assert build(After()) == 9


def test_labels_name_what_is_behind_the_path(place):
    task = Published(PATH)
    assert task.label() == f"Published({PATH})"
    assert task.publication is None
    build(Model())
    build(Predict())
    assert task.label() == f"Published({PATH}: Model[{Model().make_unique_id()[:8]}])"
    assert task.publication.params == {"depth": "1"}
    assert find_publication(place, PATH) == task.publication
    Target(f"{place}/{PATH}").dump({"depth": 3})
    build(Predict())
    assert task.label() == f"Published({PATH}: {find_publication(place, PATH).id[:8]})"


@pytest.fixture(params=["threads", "processes", "dask"])
def executor(request, tmp_path):
    if request.param == "dask":
        with dask_clusters.cluster(tmp_path / "cluster") as found:
            yield {"executor": "dask", "address": found.address}
    else:
        yield {"executor": request.param, "workers": 2}


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_workers_publish_and_load_the_version_of_the_plan(place, executor):
    build(Model(), **executor)
    tasks = [Predict(number=number) for number in range(3)]
    assert build(tasks, **executor) == [10, 11, 12]
    build(Model(depth=2), **executor)
    assert build(tasks, **executor) == [20, 21, 22]
    go_back(place)
    assert ran(tasks, **executor) == ([10, 11, 12], 0)


local = pytest.mark.parametrize("place", ["local"], indirect=True)


@local
def test_a_pickled_task_has_the_version_of_its_process(place):
    publish(place, {"depth": 1})
    task = Published(PATH)
    before = task.make_unique_id()
    data = pickle.dumps(task)
    luigi.task_register.Register.clear_instance_cache()
    publish(place, {"depth": 2})
    loaded = pickle.loads(data)
    assert loaded.make_unique_id() == before
    assert loaded.output().load() == {"depth": 1}


class Zipped(TaskOnKart[dict]):
    publish = "models/current.zip"

    def output(self):
        return self.make_model_target("models/model.zip", save, load)

    def run(self):
        self.dump({"a": 1})


def save(value, path):
    Path(path).write_text(str(value["a"]))


def load(path):
    return {"a": int(Path(path).read_text())}


def test_models_in_archives_load_themselves(place):
    build(Zipped())
    assert Published("models/current.zip").output().load() == {"a": 1}
    assert load_published(place, "models/current.zip") == {"a": 1}


@local
def test_frames_have_the_declared_type(place):
    frame = pd.DataFrame({"a": [1, 2]})
    publish(place, frame, "x.parquet")

    class Current(Published[pl.DataFrame]):
        path = luigi.Parameter(default="x.parquet")

    assert isinstance(Current().output().load(), pl.DataFrame)
    assert Published[pd.DataFrame]("x.parquet").output().load().equals(frame)
    assert isinstance(load_published(place, "x.parquet", pl.DataFrame), pl.DataFrame)
    assert Current().label().startswith("Current(x.parquet: ")


@local
def test_a_subclass_may_have_a_codec_and_a_schema(place):
    import pandera.pandas as pa

    from kart_runtime.gokart.file_processor import TextFileProcessor

    class Raw(Published[str]):
        processor = TextFileProcessor()

    publish(place, pd.DataFrame({"a": [1]}), "x.csv")
    assert "a" in str(Raw("x.csv").output().load())

    class Checked(Published[pd.DataFrame]):
        schema = pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(2))})

    with pytest.raises(Exception, match="schema validation failed on input"):
        Checked("x.csv").output().load()


@local
def test_a_stored_content_that_is_damaged_is_refused(place):
    entry = publish(place, {"depth": 1})
    url = file_of(place).content_url(entry.id)
    data = bytearray(Path(url).read_bytes())
    data[-3] ^= 1
    Path(url).write_bytes(bytes(data))
    with pytest.raises(ObjectCorrupt, match="content"):
        Published(PATH).output().load()


@local
def test_it_is_never_deleted(place):
    publish(place, {"depth": 1})
    assert Published(PATH).output().remove() is False
    assert load_published(place, PATH) == {"depth": 1}


@local
def test_a_path_that_is_none_is_refused(place):
    with pytest.raises(PublishRefused, match="stays in the workspace"):
        Published("../x.pkl").make_unique_id()
    with pytest.raises(PublishRefused):
        load_published(place, "log/x.pkl")


@local
def test_an_archive_without_a_load_function_is_told(place, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("model.pkl", "x")
    file_of(place, "x.zip").publish(str(tmp_path / "x.zip"), None, Publication("x.zip", "", 0, ""))
    with pytest.raises(Exception, match="load_function"):
        load_published(place, "x.zip")
