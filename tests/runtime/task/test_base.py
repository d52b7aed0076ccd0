"""What a user declares and calls: parameters, load, dump, complete, randomness."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import luigi
import pandas as pd
import pandera.pandas as pa
import pytest

from kart_runtime import ListTaskInstanceParameter, TaskInstanceParameter, TaskOnKart, build, make_target
from kart_runtime.errors import (
    BuildFailed,
    EmptyDump,
    LockSettingsIncomplete,
    NotRequired,
    ObjectCorrupt,
    ObjectMissing,
    UnknownFormat,
)
from kart_runtime.history.records import forget_records
from kart_runtime.task.schemas import SchemaMismatch


class Number(TaskOnKart[int]):
    value = luigi.IntParameter(default=0)

    def run(self):
        self.dump(self.value)


class Two(TaskOnKart[dict]):
    def output(self):
        return {"a": self.make_target("two/a.json"), "b": self.make_target("two/b.pkl")}

    def run(self):
        self.dump({"x": 1}, "a")
        self.dump([1], "b")


class Nested(TaskOnKart[list]):
    def requires(self):
        return {"one": Number(value=1), "many": [Number(value=2), (Number(value=3),)], "two": Two()}

    def run(self):
        self.dump(
            [
                self.load(),
                self.load("many"),
                self.load(Number(value=1)),
                self.load([Number(value=2), Number(value=3)]),
                self.load(Two()),
                list(self.load_generator()),
                list(self.load_generator("many")),
            ]
        )


def test_everything_that_load_can_be_asked_for():
    two = {"a": {"x": 1}, "b": [1]}
    assert build(Nested()) == [
        {"one": 1, "many": [2, [3]], "two": two},
        [2, [3]],
        1,
        [2, 3],
        two,
        [("one", 1), ("many", [2, [3]]), ("two", two)],
        [2, 3],
    ]


def test_keys_of_the_only_required_task():
    class Reads(TaskOnKart[dict]):
        def requires(self):
            return Two()

        def run(self):
            self.dump(self.load("a"))

    assert build(Reads()) == {"x": 1}


@pytest.mark.parametrize("wanted", ["thre", Number(value=9)], ids=["key", "task"])
def test_loading_what_is_not_required_says_what_is(wanted):
    with pytest.raises(NotRequired) as caught:
        Nested().load(wanted)
    assert "Nested" in str(caught.value)
    assert "one" in str(caught.value) or "value=1" in str(caught.value)


def test_loading_what_is_not_there():
    with pytest.raises(ObjectMissing, match="Run the task that makes it"):
        Nested().load("one")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Two().dump(1, "c"), KeyError, "has no 'c'; it has 'a', 'b'"),
        (lambda: Two().dump(1), TypeError, "say which output"),
        (lambda: Number().dump(1, "a"), KeyError, "one output without a name"),
    ],
)
def test_dumping_to_an_unknown_output(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_tasks_held_as_parameters_are_required():
    class Holder(TaskOnKart[list]):
        one = TaskInstanceParameter()
        many = ListTaskInstanceParameter()
        none = ListTaskInstanceParameter(default=[])

        def run(self):
            self.dump([self.load("one"), self.load("many")])

    assert build(Holder(one=Number(value=1), many=[Number(value=2), Number(value=3)])) == [1, [2, 3]]


def test_a_task_is_one_object_and_pickles_as_class_and_parameters():
    task = Number(value=3)
    assert Number(value=3) is task
    task.make_unique_id()
    assert pickle.loads(pickle.dumps(task)) is task


def test_tasks_in_different_workspaces_are_different():
    assert Number(workspace_directory="a") != Number(workspace_directory="b")
    assert len({Number(workspace_directory="a"), Number(workspace_directory="b"), Number()}) == 3


def test_a_constructor_of_ones_own_may_change_arguments():
    class Doubled(Number):
        def __init__(self, *args, **kwargs):
            kwargs["value"] = kwargs["value"] * 2
            super().__init__(*args, **kwargs)
            self.note = "kept"

    assert Doubled(value=2).value == 4
    assert Doubled(value=2).note == "kept"


def test_the_text_of_the_parameters_is_the_callers_to_change():
    task = Number(value=3)
    task.to_str_params(only_significant=True)["value"] = "4"
    assert task.to_str_params(only_significant=True) == {"value": "3"}
    assert task.make_unique_id() != Number(value=4).make_unique_id()


def test_building_a_task_touches_nothing(tmp_path):
    task = Nested()
    repr(task), str(task), task.complete(), task.output(), task.input(), hash(task)
    assert list(tmp_path.iterdir()) == []


def test_text_shows_family_id_and_parameters_and_hides_what_is_not_public():
    class Hidden(TaskOnKart[int]):
        shown = luigi.IntParameter(default=1)
        secret = luigi.Parameter(default="s", visibility=luigi.parameter.ParameterVisibility.HIDDEN)

    task = Hidden()
    assert str(task) == f"Hidden[{task.make_unique_id()}](shown=1)"
    assert repr(task) == f"Hidden[{task.make_unique_id()}](shown=1, secret=***)"


def test_complete_is_a_question():
    task = Number(value=5, rerun=True)
    build(Number(value=5))
    assert task.complete() is False
    assert task.complete() is False
    assert task.output().exists()


class After(TaskOnKart[int]):
    def requires(self):
        return Number(value=1)

    def run(self):
        self.dump(self.load())


def test_strict_check_wants_inputs_too():
    build(After())
    Number(value=1).output().remove()
    assert After().complete()
    assert not After(strict_check=True).complete()
    build(Number(value=1))
    assert After(strict_check=True).complete()


def test_modification_time_check_wants_outputs_newer_than_inputs():
    import os

    build(After())
    os.utime(Number(value=1).output().path(), (2e9, 2e9))
    assert After().complete()
    assert not After(modification_time_check=True).complete()


def test_a_task_without_outputs_is_complete_as_in_gokart_and_runs_in_every_build():
    runs = []

    class Silent(TaskOnKart[None]):
        def output(self):
            return []

        def run(self):
            runs.append(1)

    class Strict(Silent):
        strict_check = luigi.BoolParameter(default=True, significant=False)

        def requires(self):
            return Silent()

    assert Silent().complete()
    assert Strict().complete()
    build(Silent(), return_value=False)
    build(Strict(), return_value=False)
    assert len(runs) == 3


@pytest.mark.parametrize("given", [{"redis_host": "h"}, {"redis_port": 1}])
def test_a_task_that_locks_its_run_names_host_and_port(given):
    class Locks(TaskOnKart[int]):
        pass

    with pytest.raises(LockSettingsIncomplete, match=r"Locks\.redis_(port|host)"):
        Locks(should_lock_run=True, **given)
    Locks(**given)  # is not locked yet


def test_the_id_that_is_known_so_far():
    class Known(TaskOnKart[int]):
        value = luigi.IntParameter(default=1)

    task = Known(value=7)
    assert task.task_unique_id is None
    assert task.make_unique_id() == task.task_unique_id
    assert Known(value=8, cache_unique_id=False).task_unique_id is None


def test_the_seed_can_be_set_by_hand():
    assert Number.try_set_seed(["random.seed", "numpy.random.seed", "no_such.seed", "random.no_such"], 5) == [
        "random.seed",
        "numpy.random.seed",
    ]
    first = random.random()
    Number.try_set_seed(["random.seed"], 5)
    assert random.random() == first


def test_the_code_of_a_class():
    (source,) = TaskOnKart.get_code(Number) - TaskOnKart.get_code(TaskOnKart)
    assert "def run(self)" in source
    assert Number(value=1).get_own_code() == source
    assert TaskOnKart.get_code(Number(value=1)) == TaskOnKart.get_code(Number)


@pytest.mark.parametrize(
    ("frame", "empty"), [(pd.DataFrame({"a": []}), True), (pd.DataFrame({"a": [1]}), False), ([], False)]
)
def test_empty_frames_can_be_forbidden(frame, empty):
    class Frame(TaskOnKart):
        pass

    Frame().dump(frame)
    if empty:
        with pytest.raises(EmptyDump, match="Frame"):
            Frame(fail_on_empty_dump=True).dump(frame)
    else:
        Frame(fail_on_empty_dump=True).dump(frame)


def test_clone_shares_values():
    class Other(TaskOnKart[int]):
        value = luigi.IntParameter()
        extra = luigi.IntParameter(default=1)

    task = Number(value=3, workspace_directory="ws", rerun=True)
    other = task.clone(Other, extra=5)
    assert (other.value, other.extra, other.workspace_directory, other.rerun) == (3, 5, "ws", False)
    assert task.clone(value=4).rerun is False


def test_randomness_of_ones_own():
    assert Number(value=1).rng.random() != Number(value=2).rng.random()
    assert Number(value=1, fix_random_seed_value=0).get_random_seed() == 0
    assert Number(value=1).get_random_seed() == int(Number(value=1).make_unique_id(), 16) % (2**32 - 1)


def test_restore_finds_a_task_by_its_id():
    task = Number(value=41)
    build(task)
    assert Number.restore(task.make_unique_id()) is task
    with pytest.raises(ObjectMissing):
        Number.restore("0" * 32)


def test_a_notebook_may_define_a_class_again():
    def define(result):
        class Cell(TaskOnKart[int]):
            def run(self):
                self.dump(result)

        return Cell

    assert build(define(1)()) == 1
    assert build(define(2)(rerun=True)) == 2


def save_lines(value, path):
    Path(path).write_text("\n".join(value))
    Path(path).with_name("count.txt").write_text(str(len(value)))


def load_lines(path):
    lines = Path(path).read_text().split("\n")
    assert int(Path(path).with_name("count.txt").read_text()) == len(lines)
    return lines


class Model(TaskOnKart[list]):
    def output(self):
        return self.make_model_target("models/lines.zip", save_lines, load_lines)

    def run(self):
        self.dump(["a", "b"])


def test_a_model_saves_and_loads_itself():
    assert build(Model(local_temporary_directory="tmp")) == ["a", "b"]
    assert Model().output().path() == f"./resources/models/lines_{Model().make_unique_id()}.zip"
    assert list(Path("tmp").rglob("*")) == []


def test_a_model_is_packed_in_the_folder_of_the_system():
    assert build(Model()) == ["a", "b"]
    assert not Path("resources", "tmp").exists()


def test_a_model_lies_in_a_zip_file():
    with pytest.raises(UnknownFormat, match=r"\.zip"):
        Model().make_model_target("lines.pkl", save_lines, load_lines)


class Large(TaskOnKart[pd.DataFrame]):
    def output(self):
        return self.make_large_data_frame_target(max_byte=100)

    def run(self):
        self.dump(pd.DataFrame({"a": range(200), "b": [str(number) for number in range(200)]}))


def test_a_large_frame_keeps_its_rows_in_order():
    frame = build(Large())
    assert frame["a"].tolist() == list(range(200))
    assert frame.index.tolist() == list(range(200))
    assert Large().output().path().endswith(f"/test_base/Large_{Large().make_unique_id()}.zip")


def test_parameters_can_be_read_as_text():
    class Holds(TaskOnKart[int]):
        task = TaskInstanceParameter()
        quiet = luigi.Parameter(default="q", significant=False)

    task = Holds(task=Number(value=3))
    assert task.get_info(only_significant=True) == {"task": f"Number-{Number(value=3).make_unique_id()}"}
    assert task.get_info()["quiet"] == "q"
    assert task.get_info()["workspace_directory"] == "./resources/"


def test_the_index_of_a_feather_file_can_be_left_out():
    class Frame(TaskOnKart[pd.DataFrame]):
        def output(self):
            return self.make_target("frame.feather")

        def run(self):
            self.dump(pd.DataFrame({"a": [1, 2]}, index=[0, 1]))  # numbers, but no RangeIndex

    def columns(**settings):
        build(Frame(**settings))
        return list(pd.read_feather(Frame(**settings).output().path()).columns)

    assert columns() == ["a", "__feather_gokart_index__None"]
    assert columns(store_index_in_feather=False, workspace_directory="other") == ["a"]


class Positive(TaskOnKart[pd.DataFrame]):
    schema = pa.DataFrameSchema({"a": pa.Column(int, pa.Check.gt(0))})
    first = luigi.IntParameter()

    def output(self):
        return self.make_target("positive.parquet")

    def run(self):
        self.dump(pd.DataFrame({"a": [self.first, 2]}))


def test_a_frame_that_does_not_fit_the_schema_is_neither_stored_nor_given_out():
    assert build(Positive(first=1))["a"].tolist() == [1, 2]
    with pytest.raises(BuildFailed, match=r"(?s)Positive.*column 'a': greater_than\(0\)"):
        build(Positive(first=0))
    assert not Positive(first=0).complete()
    pd.DataFrame({"a": [-1]}).to_parquet(Positive(first=1).output().path())
    with pytest.raises(ObjectCorrupt):
        Positive(first=1).output().load()
    for path in Path("resources/log").rglob("*"):  # without a record, only the schema can tell
        if path.is_file():
            path.unlink()
    forget_records()
    with pytest.raises(SchemaMismatch, match="-1"):
        Positive(first=1).output().load()


def test_each_output_may_have_a_schema():
    class TwoFrames(TaskOnKart[pd.DataFrame]):
        schema = {"a": Positive.schema}

        def output(self):
            return {"a": self.make_target("a.parquet"), "b": self.make_target("b.parquet")}

        def run(self):
            self.dump(pd.DataFrame({"a": [-1]}), "b")
            self.dump(pd.DataFrame({"a": [-1]}), "a")

    with pytest.raises(BuildFailed, match="greater_than"):
        build(TwoFrames())
    TwoFrames().output()["b"].dump(pd.DataFrame({"a": [-1]}))  # has none
    assert TwoFrames().output()["b"].exists()
    assert not TwoFrames().output()["a"].exists()


def test_a_task_class_clears_and_disables_the_cache_of_task_objects():
    before = Number(value=1)
    assert Number(value=1) is before
    Number.clear_instance_cache()
    assert Number(value=1) is not before
    Number.disable_instance_cache()
    try:
        assert Number(value=2) is not Number(value=2)
    finally:
        Number.clear_instance_cache()
    assert Number(value=2) is Number(value=2)


def test_plain_tasks_of_luigi_clear_it_too():
    before = Number(value=1)
    luigi.Task.clear_instance_cache()
    assert Number(value=1) is not before


def test_inputs_on_disk_and_outputs_in_s3_are_compared_by_time(s3_bucket, tmp_path):
    class Local(TaskOnKart[int]):
        def output(self):
            return make_target(str(tmp_path / "x.pkl"))

        def run(self):
            self.dump(1)

    class Remote(TaskOnKart[int]):
        def requires(self):
            return Local()

        def run(self):
            self.dump(self.load())

    task = Remote(workspace_directory=s3_bucket.url, modification_time_check=True)
    assert build(task) == 1
    Path(tmp_path / "x.pkl").touch()
    os.utime(tmp_path / "x.pkl", (2e9, 2e9))
    assert not task.complete()
    os.utime(tmp_path / "x.pkl", (1e9, 1e9))
    assert task.complete()
