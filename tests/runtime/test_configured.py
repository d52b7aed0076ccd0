"""`with configured(...)`: tasks under other values, with all that they require, wherever they run."""

from __future__ import annotations

import datetime
import pickle
import threading

import luigi
import pytest

from kart_runtime import TaskInstanceParameter, TaskOnKart, build, configured
from kart_runtime.errors import ConfigError
from kart_runtime.task.parameters import Override, active_overrides, overriding


class Numbers(TaskOnKart[list[int]]):
    size = luigi.IntParameter(default=3)
    day = luigi.DateParameter(default=datetime.date(2026, 1, 1))
    label = luigi.Parameter(default="")

    def run(self):
        self.dump(list(range(self.size)))


class Total(TaskOnKart[int]):
    numbers = TaskInstanceParameter(Numbers, default=Numbers())

    def run(self):
        self.dump(sum(self.load(self.numbers)))


class Tenfold(TaskOnKart[int]):
    def requires(self):
        return Total()

    def run(self):
        self.dump(10 * self.load())


class Compare(TaskOnKart[list[int]]):
    def requires(self):
        with configured("Numbers.size=5"):
            five = Tenfold()
        with configured({"Numbers.size": 6}):
            six = Tenfold()
        return [Tenfold(), five, six]

    def run(self):
        self.dump(self.load())


class Dynamic(TaskOnKart[list[int]]):
    def run(self):
        values = []
        for size in (7, 8):
            with configured({"Numbers.size": size}):
                yield Tenfold()
                total = Total()
            yield total
            values.append(total.output().load())
        yield Total()
        self.dump([*values, Total().output().load()])


class Wrong(TaskOnKart[int]):
    text = luigi.Parameter()

    def requires(self):
        with configured(self.text):
            return Tenfold()


EXECUTORS = {
    "serial": {},
    "threads": {"executor": "threads", "workers": 2},
    "processes": {"executor": "processes", "workers": 2},
}
each_executor = pytest.mark.parametrize("options", EXECUTORS.values(), ids=EXECUTORS)


@each_executor
def test_the_same_tasks_run_under_several_values(options):
    assert build(Compare(), **options) == [30, 100, 150]
    assert build(Dynamic(), **options) == [21, 28, 3]
    assert active_overrides().by_class == {}


@each_executor
def test_a_project_s_values_stay_for_what_the_block_does_not_name(options):
    configuration = {Numbers: {"label": Override("x", "conf"), "size": Override(2, "conf")}}
    with overriding(configuration):
        assert build(Compare(), **options) == [10, 100, 150]
        with configured("Numbers.size=5"):
            task = Total()
        assert (task.numbers.size, task.numbers.label) == (5, "x")


def test_on_dask(tmp_path):
    from distributed import Client, LocalCluster  # not in the worker processes of the other tests

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", local_directory=tmp_path) as local,
        Client(local),
    ):
        assert build(Compare(), executor="dask") == [30, 100, 150]
        assert build(Dynamic(), executor="dask") == [21, 28, 3]


def test_two_values_are_two_tasks_and_equal_values_are_one():
    with configured("Numbers.size=5"):
        five = Tenfold()
    with configured({"Numbers.size": 5}):
        again = Tenfold()
    with configured("Numbers.size=3"):
        usual = Tenfold()
    assert five is again
    assert five.make_unique_id() != Tenfold().make_unique_id()
    assert five.output().path() != Tenfold().output().path()
    assert usual == Tenfold()
    assert usual.make_unique_id() == Tenfold().make_unique_id()
    with overriding({Numbers: {"size": Override(4, "conf")}}):
        with configured("Numbers.size=4"):
            same = Tenfold()
        assert same is Tenfold()


def test_blocks_add_up_and_the_inner_one_counts():
    with configured("Numbers.size=5", "Numbers.label=a"):
        with configured({"Numbers.size": 6, "Numbers.day": datetime.date(2026, 2, 1)}):
            inner = Numbers()
        outer = Numbers()
    assert (inner.size, inner.label, inner.day) == (6, "a", datetime.date(2026, 2, 1))
    assert (outer.size, outer.label, outer.day) == (5, "a", datetime.date(2026, 1, 1))
    assert Numbers().size == 3
    with configured("test_configured.Numbers.day=2026-03-01", "Numbers.label=1.10"):
        assert (Numbers().day, Numbers().label) == (datetime.date(2026, 3, 1), "1.10")
        assert Numbers(label="b").label == "b"


def test_a_task_keeps_its_block_through_a_pickle():
    with configured("Numbers.size=5"):
        five = Tenfold()
    copied = pickle.loads(pickle.dumps(five))
    assert copied == five
    assert copied.make_unique_id() == five.make_unique_id()


def test_a_block_ends_with_an_exception_and_stays_in_its_thread():
    seen = []
    with pytest.raises(KeyError), configured("Numbers.size=5"):
        thread = threading.Thread(target=lambda: seen.append(Numbers().size))
        thread.start()
        thread.join()
        raise KeyError
    assert seen == [3]
    assert Numbers().size == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nubmers.size=5", "unknown task Nubmers. Did you mean 'Numbers.size'?"),
        ("Numbers.sise=5", "Numbers has no parameter 'sise' (expected size, day, label). Did you mean 'size'?"),
        ("Numbers.size=x", "expected int, got str 'x'"),
        ("Numbers.size", "'Numbers.size' has no value"),
        ("Numbers=5", "Numbers is a task; name a parameter (expected size, day, label)"),
        ("Numbers.size.0=5", "an entry of size cannot be set alone"),
        ("size=5", "the key lacks its task"),
    ],
)
def test_a_mistake_is_told_with_the_requiring_task(text, expected):
    with pytest.raises(ConfigError) as caught:
        Wrong(text).make_unique_id()
    assert expected in str(caught.value)
    assert "test_configured.py:" in str(caught.value)
    assert " in Wrong.requires(): " in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_generator_that_is_dropped_in_a_block_changes_nothing():
    steps = Dynamic().run()
    with overriding({Numbers: {"label": Override("x", "conf")}}):
        next(steps)
        del steps
        assert Numbers().label == "x"
    assert active_overrides().by_class == {}


def test_a_typed_value_is_checked_as_that_of_a_constructor():
    with pytest.raises(ConfigError, match="size"), configured({"Numbers.size": "5"}):
        pass
    with pytest.raises(ConfigError, match="is neither a text nor a mapping"), configured(5):
        pass
    assert active_overrides().by_class == {}
