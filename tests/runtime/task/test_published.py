"""`Published`: one version counts for a build, and a step back finds what was computed with it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
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
    delete_unnecessary_outputs,
    find_publication,
    load_published,
    register_codec,
)
from kart_runtime.errors import InputReplaced, ObjectCorrupt, ObjectMissing
from kart_runtime.history.publication import Publication, PublishRefused
from kart_runtime.history.published import PublishedFile
from kart_runtime.storage import registry
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.target import Target
from kart_runtime.task.parameters import Override, set_overrides
from kart_runtime.task.placeholders import InvalidPlaceholder
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


# -- folders ---------------------------------------------------------------------------------------------------------


class Bert(TaskOnKart[Path]):
    depth: luigi.IntParameter = luigi.IntParameter(default=1)
    publish = "models/bert"

    def run(self):
        with self.folder() as path:
            (path / "config.json").write_text(str(self.depth))
            (path / "layers").mkdir()
            (path / "layers" / "0.bin").write_bytes(bytes(1000))
            (path / "run.sh").write_text("#!/bin/sh")
            (path / "run.sh").chmod(0o755)
            (path / "empty").mkdir()


class Use(TaskOnKart[str]):
    def requires(self):
        return Published[Path]("models/bert")

    def run(self):
        path = self.load()
        files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*"))
        assert files == ["config.json", "empty", "layers", "layers/0.bin", "run.sh"]
        self.dump((path / "config.json").read_text())


def test_a_folder_is_published_whole_gone_back_from_and_checked(place):
    build(Bert(), return_value=False)
    assert ran(Use()) == ("1", 1)
    build(Bert(depth=2), return_value=False)
    assert ran(Use()) == ("2", 1)
    file = file_of(place, "models/bert")
    file.go_back(file.earlier()[-1])
    assert ran(Use()) == ("1", 0)
    entry = find_publication(place, "models/bert")
    assert (entry.task, entry.size, len(file.history())) == ("Bert", 1010, 2)
    path = load_published(place, "models/bert")
    assert ((path / "config.json").read_text(), (path / "empty").is_dir()) == ("1", True)
    assert (path / "run.sh").stat().st_mode & 0o100
    assert (file.published_target().load() / "config.json").read_text() == "1", "what other programs find"
    assert list(file.damaged()) == []
    store, key = store_for(file.published_target().place())
    store.delete(f"{key}/config.json")
    [(url, why)] = file.damaged()
    assert (url, why) == (file.url, "its file 'config.json' is missing")
    assert file.restore(url)
    assert list(file.damaged()) == []


@local
def test_a_folder_has_a_name_without_a_suffix(place):
    for name, cls in (("models/bert.folder", Bert), ("models/bert.pkl", Bert), ("models/bert-v1.5", Bert)):
        with pytest.raises(PublishRefused, match=r"Write 'models/bert(-v1)?'"):
            build(type("Named", (cls,), {"publish": name})(), return_value=False)
    with pytest.raises(PublishRefused, match=r"stores \.pkl.*Choose a name that ends in \.pkl"):
        build(type("Named", (Model,), {"publish": "models/bert"})())


@local
def test_a_folder_that_was_changed_by_hand_is_not_what_consumers_get(place):
    build(Bert(), return_value=False)
    published = file_of(place, "models/bert").published_target().load()
    (published / "config.json").write_text("by hand")
    assert ran(Use()) == ("1", 1)
    content = load_published(place, "models/bert")
    (content / "config.json").write_text("7")
    with pytest.raises(ObjectCorrupt, match=r"config\.json"):
        load_published(place, "models/bert")


@local
def test_an_output_that_was_deleted_leaves_the_published_folder(place):
    build(Bert(), return_value=False)
    delete_unnecessary_outputs(Use())
    assert not Bert().complete()
    assert (file_of(place, "models/bert").published_target().load() / "run.sh").exists()
    assert ran(Use()) == ("1", 1)


_KILLED = """
import os, signal, sys
from pathlib import Path
from kart_runtime.history.publication import Publication
from kart_runtime.history.published import PublishedFile
from kart_runtime.storage.target import make_target

NAME, steps = "models/bert", 0

def publish(place, text):
    folder = Path(place).parent / text
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(3):
        (folder / str(number)).write_text(text)
    target = make_target(f"{place}/outputs/{text}.folder")
    return PublishedFile(place, NAME).publish(target.url, target.dump(folder), Publication(NAME, "", 0, ""))

def die(event, arguments):
    global steps
    if event in ("os.rename", "open", "os.mkdir") and "/w/" in str(arguments[0]):
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

for step in range(1, 4000, 7):
    place = f"{sys.argv[1]}/{step}/w"
    publish(place, "old")
    child = os.fork()
    if not child:
        sys.addaudithook(die)
        publish(place, "new")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    file = PublishedFile(place, NAME)
    for target in (file.target(file.current()), file.published_target()):
        texts = [path.read_text() for path in sorted(target.load().iterdir())]
        assert texts in (["old"] * 3, ["new"] * 3), texts
    publish(place, "new")
    assert [path.read_text() for path in file.published_target().load().iterdir()] == ["new"] * 3
    assert list(file.damaged()) == []
    if not status:
        print(step)
        break
    assert status == signal.SIGKILL
"""


@local
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_leaves_the_old_folder_or_the_new_one(place, tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", _KILLED, str(tmp_path / "killed")]
    (tmp_path / "killed").mkdir()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


# -- placeholders ----------------------------------------------------------------------------------------------------


class Kind(TaskOnKart[str]):
    kind: luigi.Parameter = luigi.Parameter()
    publish = "models/{kind}.pkl"

    def run(self):
        self.dump(self.kind)


@local
def test_tasks_of_one_class_are_published_under_names_with_their_parameters(place):
    build([Kind(kind="linear"), Kind(kind="tree")])
    assert [load_published(place, f"models/{kind}.pkl") for kind in ("linear", "tree")] == ["linear", "tree"]
    assert "kart publish Kind --as models/boost.pkl" in Published("models/boost.pkl").missing()
    with pytest.raises(InvalidPlaceholder, match=r"Kind_ has no parameter 'kid'. Did you mean '{kind}'\?"):
        build(type("Kind_", (Kind,), {"publish": "models/{kid}.pkl"})(kind="a"))
    with pytest.raises(PublishRefused, match=r"Add a parameter to the name, such as {kind}"):
        same = type("Same", (Kind,), {"publish": "models/same.pkl"})
        build([same(kind="a"), same(kind="b")])


# -- formats ---------------------------------------------------------------------------------------------------------


class Shout:
    def dump(self, value, file):
        file.write(value.upper().encode())

    def load(self, file, as_type=None):
        return file.read().decode()


@local
def test_suffixes_of_two_parts_and_of_registered_codecs_are_published(place, monkeypatch):
    monkeypatch.setattr(registry, "CODECS", dict(registry.CODECS))
    register_codec(".shout", f"{__name__}:Shout")
    register_codec(".tar.shout", f"{__name__}:Shout")

    class Table(TaskOnKart[pd.DataFrame]):
        suffix = ".csv.zst"
        publish = "reports/table.csv.zst"

        def run(self):
            self.dump(pd.DataFrame({"a": [1, 2]}))

    class Word(TaskOnKart[str]):
        suffix = ".shout"
        publish = "reports/word.v1.shout"

        def run(self):
            self.dump("word")

    class Two(Word):
        suffix = ".tar.shout"
        publish = "reports/two.tar.shout"

    build([Table(), Word(), Two()])
    assert load_published(place, "reports/table.csv.zst", pd.DataFrame)["a"].tolist() == [1, 2]
    assert load_published(place, "reports/word.v1.shout") == "WORD"
    assert load_published(place, "reports/two.tar.shout") == "WORD"
    with pytest.raises(PublishRefused, match=r"stores \.csv\.zst.*ends in \.csv\.zst"):
        build(type("Gz", (Table,), {"publish": "reports/table.csv.gz"})())


@local
def test_the_suffix_that_the_type_chooses_is_published(place):
    class Frame(TaskOnKart[pd.DataFrame]):
        suffix_by_type = True
        publish = "reports/frame.parquet"

        def run(self):
            self.dump(pd.DataFrame({"a": [1, 2]}))

    build(Frame())
    assert load_published(place, "reports/frame.parquet")["a"].tolist() == [1, 2]
