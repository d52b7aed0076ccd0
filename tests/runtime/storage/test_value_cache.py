"""What is handed off is what the file holds, whoever changes what; and a file that is another one is read."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import luigi
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime import BuildFailed, ConfigError, TaskOnKart, build
from kart_runtime.errors import ObjectCorrupt, ObjectMissing
from kart_runtime.project.conf.sections import check
from kart_runtime.storage import registry, value_cache
from kart_runtime.storage.target import Target, make_target
from kart_runtime.storage.value_cache import ValueCache, caching_values, version_of
from tests.runtime.far_store import FarStore

ROWS = 20_000
"""Enough for a file that is not too small to be kept."""

LIMIT = 10**8


@pytest.fixture(autouse=True)
def far(monkeypatch):
    """Make the store of ``far://`` known, and return it."""
    store = FarStore()
    entry = "tests.runtime.far_store:FarStore"
    monkeypatch.setitem(registry.STORES, "far", entry)
    monkeypatch.setitem(registry._loaded, entry, store)
    return store


def numbers():
    return pd.DataFrame({"x": np.random.default_rng(0).normal(size=ROWS)})


def spoil(target):
    """Overwrite the file so that nobody can read it, and nothing shows that it was changed."""
    path = Path(target.path())
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"\1" * before.st_size)  # zeros would look like a power cut, and be computed again
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def is_handed_off(target):
    """Return whether a value comes without its file being read; the file is lost."""
    spoil(target)
    try:
        target.load()
    except ObjectCorrupt:
        return False
    return True


# -- one target -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_a_value_is_not_read_back_while_the_block_lasts(suffix):
    target = Target(f"x.{suffix}")
    with caching_values(LIMIT):
        target.dump(numbers())
        spoil(target)
        assert target.load().equals(numbers())
        assert make_target(f"x.{suffix}").load().equals(numbers())
    with pytest.raises(ObjectCorrupt):
        target.load()


def test_nothing_is_kept_without_the_block_or_with_a_limit_of_nought():
    target = Target("x.parquet")
    with caching_values(0):
        assert value_cache.active_cache is None
        target.dump(numbers())
    with caching_values(LIMIT):
        assert not is_handed_off(target)


def test_a_file_that_is_gone_is_missing():
    target = Target("x.parquet")
    with caching_values(LIMIT):
        target.dump(numbers())
        target.remove()
        with pytest.raises(ObjectMissing):
            target.load()


def test_a_file_that_took_its_place_is_read():
    target, other = Target("x.parquet"), Target("other.parquet")
    other.dump(numbers() + 1)
    with caching_values(LIMIT):
        target.dump(numbers())
        before = Path("x.parquet").stat()
        os.utime("other.parquet", ns=(before.st_atime_ns, before.st_mtime_ns))
        Path("other.parquet").replace("x.parquet")
        assert target.load().equals(numbers() + 1)


def test_a_file_that_was_changed_in_place_is_read():
    target, other = Target("x.pkl"), Target("other.pkl")
    other.dump("b" * ROWS * 2)
    with caching_values(LIMIT):
        target.dump("a" * ROWS * 2)
        time.sleep(0.05)  # the clock of a file system may be coarse
        Path("x.pkl").write_bytes(Path("other.pkl").read_bytes())
        assert target.load() == "b" * ROWS * 2


def test_the_same_path_in_another_folder_is_another_file():
    target = Target("x.pkl")
    with caching_values(LIMIT):
        target.dump("a" * ROWS * 2)
        with contextlib.chdir(Path.cwd()):
            Path("below").mkdir()
            os.chdir("below")
            with pytest.raises(ObjectMissing):
                target.load()


def test_the_last_dump_counts():
    target = Target("x.parquet")
    with caching_values(LIMIT):
        target.dump(numbers())
        target.dump(numbers() + 1)
        assert len(value_cache.active_cache) == 1
        assert target.load().equals(numbers() + 1)
        target.dump(numbers().head(3))  # too small to be kept
        assert len(target.load()) == 3
        target.dump(numbers().astype("Int64", errors="ignore").convert_dtypes())  # not known to come back
        assert len(value_cache.active_cache) == 0


def test_a_dump_that_fails_changes_nothing():
    target = Target("x.parquet")
    with caching_values(LIMIT):
        target.dump(numbers())
        with pytest.raises(Exception, match="mixed"):
            target.dump(pd.DataFrame({"mixed": [1, "a"] * ROWS}))
        assert target.load().equals(numbers())


def test_what_is_read_in_another_way_is_read():
    with caching_values(LIMIT):
        make_target("x.feather").dump(numbers().rename_axis("row"))
        without = make_target("x.feather", store_index_in_feather=False)
        assert list(without.load().columns) == ["x", "__feather_gokart_index__row"]
        assert isinstance(Target("x.feather", as_type=pl.DataFrame).load(), pl.DataFrame)


def test_small_values_are_not_kept():
    with caching_values(LIMIT):
        Target("x.pkl").dump("small")
        assert len(value_cache.active_cache) == 0


@pytest.mark.parametrize("handed_off", [True, False])
def test_a_check_sees_what_is_loaded(handed_off):
    seen = []
    target = Target("x.parquet")
    target.check = lambda value, when: seen.append((len(value), when))
    with caching_values(LIMIT if handed_off else 0):
        target.dump(numbers())
        target.load()
    assert seen == [(ROWS, "dump"), (ROWS, "load")]


def test_what_does_not_lie_on_a_disk_is_not_kept():
    reading, writing = os.pipe()
    values = ValueCache(LIMIT)
    with open(reading, "rb") as file, open(writing, "wb"):
        values.put("x.pkl", "a", Target("x.pkl")._codec, None, version_of(file))
    assert len(values) == 0


# -- far away -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, [1, {"a": 2}], "text", None])
def test_far_away_every_value_is_handed_off_without_a_question(far, value):
    target = Target("far://w/x.pkl")
    with caching_values(LIMIT):
        target.dump(value)
        assert target.load() == value
        assert make_target("far://w/x.pkl").load() == value
        assert far.asked == {"write": 1}
    assert target.load() == value
    assert far.asked["open"] == 1


def test_a_model_is_handed_off_too(far):
    task = Model(workspace_directory="far://w/")
    assert build(task) == {"weights": [1, 2]}
    assert far.asked["open"] == 0  # nothing but the records


class Model(TaskOnKart[dict]):
    def output(self):
        return self.make_model_target("model.zip", save_model, load_model)

    def run(self):
        self.dump({"weights": [1, 2]})


def save_model(value, path):
    Path(path).write_text(repr(value["weights"]))


def load_model(path):
    return {"weights": [int(number) for number in Path(path).read_text().strip("[]").split(",")]}


def test_far_away_a_changed_value_of_one_reader_reaches_no_other(far):
    target = Target("far://w/x.pkl")
    value = [1]
    with caching_values(LIMIT):
        target.dump(value)
        value.append("after the dump")
        target.load().append("by a reader")
        assert target.load() == [1]


def test_far_away_what_was_removed_or_replaced_here_is_not_handed_off(far):
    target = Target("far://w/x.pkl")
    with caching_values(LIMIT):
        target.dump(1)
        target.dump(2)
        assert target.load() == 2
        target.remove()
        with pytest.raises(ObjectMissing):
            target.load()


def test_far_away_what_could_not_be_stored_is_not_handed_off(far):
    target = Target("far://w/x.pkl")

    def refuse():
        raise RuntimeError("the lock is lost")

    with caching_values(LIMIT):
        target.dump("stored before")
        with pytest.raises(RuntimeError, match="lost"):
            target.dump("refused", may_commit=refuse)
        assert target.load() == "stored before"


def test_far_away_a_task_asks_for_nothing_after_its_dump(far):
    class Numbers(TaskOnKart[list]):
        def run(self):
            self.dump([1, 2])

    class Sum(TaskOnKart[int]):
        def requires(self):
            return Numbers(workspace_directory=self.workspace_directory)

        def run(self):
            self.dump(sum(self.load()))

    assert build(Sum(workspace_directory="far://w/")) == 3
    assert far.asked["open"] == 0  # nothing but the records
    assert far.asked["stat"] == 2  # by the plan, since this store lists no folders for it


# -- the limit ------------------------------------------------------------------------------------------------------


def test_the_one_that_nobody_asked_for_longest_goes_first():
    text = "a" * 40_000
    with caching_values(100_000):
        for name in "ab":
            Target(f"{name}.pkl").dump(text)
        Target("a.pkl").load()
        Target("c.pkl").dump(text)
        assert value_cache.active_cache.size <= 100_000
        assert [is_handed_off(Target(f"{name}.pkl")) for name in "abc"] == [True, False, True]


def test_what_is_larger_than_the_limit_leaves_the_others():
    with caching_values(100_000):
        Target("a.pkl").dump("a" * 40_000)
        Target("b.pkl").dump("a" * 200_000)
        assert len(value_cache.active_cache) == 1
        assert is_handed_off(Target("a.pkl"))


def test_the_size_is_the_sum_of_what_is_kept():
    with caching_values(LIMIT):
        for _ in range(3):
            Target("a.npz").dump(np.random.default_rng(0).normal(size=ROWS))
        assert value_cache.active_cache.size == ROWS * 8


def test_blocks_share_what_is_kept_until_the_last_ends():
    target = Target("x.pkl")
    with caching_values(10_000):
        with caching_values(LIMIT):
            target.dump("a" * 40_000)
            with caching_values(0):
                assert len(value_cache.active_cache) == 1
        assert len(value_cache.active_cache) == 0  # the larger limit is gone
        assert value_cache.active_cache.limit == 10_000
    assert value_cache.active_cache is None


def test_blocks_of_several_threads_may_end_in_any_order():
    first_is_in, second_is_out = threading.Event(), threading.Event()

    def first():
        with caching_values(LIMIT):
            first_is_in.set()
            second_is_out.wait(10)

    thread = threading.Thread(target=first)
    with caching_values(LIMIT // 2):
        thread.start()
        first_is_in.wait(10)
        Target("x.pkl").dump("a" * 40_000)
    assert is_handed_off(Target("x.pkl"))
    second_is_out.set()
    thread.join()
    assert value_cache.active_cache is None


def test_threads_that_dump_and_load_at_once_get_their_own():
    wrong = []

    def work(number):
        target = Target(f"{number}.pkl")
        for turn in range(50):
            text = f"{number}-{turn}" * 10_000
            target.dump(text)
            if target.load() != text:
                wrong.append((number, turn))

    with caching_values(200_000):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert value_cache.active_cache.size == sum(
            entry.snapshot.size for entry in value_cache.active_cache._entries.values()
        )
    assert not wrong


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_nothing_and_does_not_wait():
    with caching_values(LIMIT):
        Target("x.pkl").dump("a" * 40_000)
        with value_cache.active_cache._lock, value_cache._lock:  # as if another thread held them
            child = os.fork()
            if child == 0:
                code = 1
                with contextlib.suppress(BaseException):
                    found = value_cache.active_cache is None and len(Target("x.pkl").load()) == 40_000
                    with caching_values(LIMIT):
                        code = 0 if found else 2
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# -- builds ---------------------------------------------------------------------------------------------------------


class Made(TaskOnKart[pd.DataFrame]):
    def output(self):
        return self.make_target("made.parquet")

    def run(self):
        self.dump(numbers())


class Spoiled(TaskOnKart[int]):
    def requires(self):
        return Made()

    def run(self):
        spoil(self.input())
        self.dump(0)


class Sum(TaskOnKart[float]):
    def requires(self):
        return {"made": Made(), "spoiled": Spoiled()}

    def run(self):
        self.dump(float(self.load("made")["x"].sum()))


@pytest.mark.parametrize("options", [{}, {"executor": "threads", "workers": 3}], ids=str)
def test_a_build_hands_off_to_tasks_and_to_its_caller(options):
    found = build([Sum(), Made()], **options)
    assert found[0] == numbers()["x"].sum()
    assert found[1].equals(numbers())
    assert value_cache.active_cache is None


def test_a_build_without_it_reads():
    with pytest.raises(BuildFailed, match="made"):
        build(Sum(), value_cache_mb=0)


def test_a_build_that_fails_forgets_as_well():
    class Failing(TaskOnKart[int]):
        def requires(self):
            return Made()

        def run(self):
            assert len(value_cache.active_cache) == 1
            raise ValueError("no")

    with pytest.raises(BuildFailed, match="no"):
        build(Failing())
    assert value_cache.active_cache is None


def test_a_build_inside_a_task_shares_what_is_kept():
    class Outer(TaskOnKart[float]):
        def run(self):
            build(Made(), return_value=False)
            spoil(Made().output())
            self.dump(float(Made().output().load()["x"].sum()))

    assert build(Outer()) == numbers()["x"].sum()


def test_a_negative_limit_is_refused():
    with pytest.raises(ConfigError, match="value_cache_mb"):
        build(Made(), value_cache_mb=-1)


def test_the_setting_is_a_number_of_megabytes():
    assert check("run", "value_cache_mb", 0) == 0
    with pytest.raises(ValueError, match="of at least 0"):
        check("run", "value_cache_mb", -1)


# -- nobody sees what another changes -------------------------------------------------------------------------------


def pandas_of(seed, array):
    """Return a frame that shares memory with an array, if pandas lets it."""
    frame = pd.DataFrame(array, columns=["a", "b"], copy=False)
    frame["n"] = range(len(frame))
    frame["t"] = pd.date_range("2020", periods=len(frame), unit="us")
    frame["s"] = [f"{seed}-{number}" for number in range(len(frame))]
    return frame


def polars_of(seed, array):
    return pl.DataFrame({"a": array[:, 0], "b": array[:, 1]}).with_columns(
        n=pl.int_range(pl.len()), s=pl.Series([f"{seed}-{number}" for number in range(len(array))])
    )


def arrays_of(seed, array):
    return array


MAKE = {"parquet": pandas_of, "feather": pandas_of, "npz": arrays_of, "polars.parquet": polars_of}


def forced(array):
    array.flags.writeable = True
    return array


PANDAS = {
    "a column": lambda frame, array: frame.__setitem__("a", 0),
    "a cell by iloc": lambda frame, array: frame.iloc.__setitem__((0, 0), -5.0),
    "a cell by loc": lambda frame, array: frame.loc.__setitem__((0, "s"), "changed"),
    "a cell by iat": lambda frame, array: frame.iat.__setitem__((1, 2), 77),
    "some rows": lambda frame, array: frame.loc.__setitem__((frame["n"] > 1, "b"), 9.0),
    "values": lambda frame, array: frame[["a", "b"]].values.__setitem__((0, 0), 5.0),
    "values made writeable": lambda frame, array: forced(frame["a"].to_numpy()).__setitem__(0, 6.0),
    "times made writeable": lambda frame, array: forced(frame["t"].to_numpy()).__setitem__(0, 6),
    "an extension array": lambda frame, array: frame["s"].array.__setitem__(0, "changed"),
    "an array of times": lambda frame, array: frame["t"].array.__setitem__(0, pd.Timestamp("1999")),
    "labels": lambda frame, array: forced(frame.index.to_numpy()).__setitem__(0, 99),
    "names": lambda frame, array: frame.columns.array.__setitem__(0, "changed"),
    "the name of the index": lambda frame, array: setattr(frame.index, "name", "changed"),
    "the name of the names": lambda frame, array: setattr(frame.columns, "name", "changed"),
    "all names": lambda frame, array: setattr(frame, "columns", list("vwxyz")),
    "the index": lambda frame, array: setattr(frame, "index", frame.index + 5),
    "less": lambda frame, array: frame.pop("b"),
    "order": lambda frame, array: frame.loc.__setitem__((slice(None), "a"), frame["a"].to_numpy()[::-1]),
    "more": lambda frame, array: frame.insert(0, "new", 1),
    "attributes": lambda frame, array: frame.attrs.update(changed=1),
    "update": lambda frame, array: frame.update(pd.DataFrame({"a": [1.5, 2.5]})),
    "the array below": lambda frame, array: array.__setitem__(0, 8.0),
}
POLARS = {
    "a cell": lambda frame, array: frame.__setitem__((0, "a"), -5.0),
    "a column": lambda frame, array: frame.replace_column(0, pl.Series("a", [0.0] * len(frame))),
    "a series": lambda frame, array: frame["b"].__setitem__(0, 7.0),
    "names": lambda frame, array: setattr(frame, "columns", list("wxyz")),
    "less": lambda frame, array: frame.drop_in_place("s"),
    "more": lambda frame, array: frame.extend(frame),
    "the memory": lambda frame, array: forced(frame["a"].to_numpy()).__setitem__(0, 9.0),
    "the array below": lambda frame, array: array.__setitem__(0, 8.0),
}
ARRAYS = {
    "a cell": lambda found, array: found.__setitem__((0, 0), -5.0),
    "all": lambda found, array: found.fill(0),
    "order": lambda found, array: found.sort(axis=0),
    "type": lambda found, array: setattr(found, "dtype", "i8"),
}
CHANGES = {"parquet": PANDAS, "feather": PANDAS, "npz": ARRAYS, "polars.parquet": POLARS}


def apply(value, array, kind, names):
    for name in names:
        # Some changes are refused, and some do not fit what those before have left.
        with contextlib.suppress(
            ValueError, TypeError, KeyError, AttributeError, IndexError, pl.exceptions.PolarsError
        ):
            CHANGES[kind][name](value, array)


def content(value):
    """Return everything that can be told of a value, as text."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {value.strides} {value.tobytes().hex()}"
    if isinstance(value, pl.DataFrame):
        return f"{value.schema} {value.rows()!r}"
    axes = [(type(one).__name__, one.dtype, one.names, list(one)) for one in value.axes]
    columns = [(column.dtype, column.name, column.to_list()) for _, column in value.items()]
    return f"{axes!r} {columns!r} {value.attrs} {value.flags}"


class Producer(TaskOnKart[object]):
    kind = luigi.Parameter()
    where = luigi.Parameter(default="./resources")
    seed = luigi.IntParameter()
    changes = luigi.ListParameter()

    def output(self):
        as_type = pl.DataFrame if self.kind.startswith("polars") else None
        return make_target(f"{self.where}/{self.make_unique_id()}.{self.kind}", as_type=as_type)

    def run(self):
        array = np.asfortranarray(np.random.default_rng(self.seed).normal(size=(4, 2)))
        value = MAKE[self.kind](self.seed, array)
        self.dump(value)
        apply(value, array, self.kind, self.changes)


class Consumer(TaskOnKart[list]):
    kind = luigi.Parameter()
    where = luigi.Parameter(default="./resources")
    seed = luigi.IntParameter()
    made_with = luigi.ListParameter()
    number = luigi.IntParameter()
    changes = luigi.ListParameter()

    def requires(self):
        return Producer(kind=self.kind, where=self.where, seed=self.seed, changes=self.made_with)

    def run(self):
        value = self.load()
        first = content(value)
        apply(value, np.zeros((4, 2)), self.kind, self.changes)
        self.dump([first, content(self.load())])


def changes_of(kind):
    return st.lists(st.sampled_from(sorted(CHANGES[kind])), max_size=4)


@pytest.mark.filterwarnings("ignore:.*deprecated")  # some ways of changing a frame are, and people use them
@pytest.mark.parametrize("options", [{}, {"executor": "threads", "workers": 3}], ids=["serial", "threads"])
@pytest.mark.parametrize("where", ["./resources", "far://w"])
@pytest.mark.parametrize("kind", sorted(MAKE))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_what_one_task_changes_no_other_sees(kind, where, options, data):
    seed = time.monotonic_ns()  # a workspace without outputs
    made_with = data.draw(changes_of(kind))
    of_consumers = data.draw(st.lists(changes_of(kind), min_size=2, max_size=4))

    def consumers(start):
        return [
            Consumer(kind=kind, where=where, seed=seed, made_with=made_with, number=start + number, changes=changes)
            for number, changes in enumerate(of_consumers)
        ]

    with caching_values(LIMIT):
        value_cache.active_cache.smallest = 0
        handed = build(consumers(0), **options)
        assert len(value_cache.active_cache) == 1  # the producer's; lists are read
    read = build(consumers(100), value_cache_mb=0, **options)
    assert {found for pair in handed + read for found in pair} == {read[0][0]}
