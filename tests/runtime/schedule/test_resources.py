"""Never more of a resource is in use than there is, and what could never run is refused before anything does."""

from __future__ import annotations

import time
from pathlib import Path

import luigi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import BuildFailed, ConfigError
from kart_runtime.schedule.resources import Limits


class Uses(TaskOnKart[int]):
    number: luigi.IntParameter = luigi.IntParameter()
    gpu: luigi.FloatParameter = luigi.FloatParameter(default=1.0)

    def process_resources(self):
        return {"gpu": self.gpu} if self.gpu else {}

    def run(self):
        own = Path("using", f"{self.number} {self.gpu}")
        own.parent.mkdir(exist_ok=True)
        own.touch()
        time.sleep(0.02)
        amounts = [float(path.name.partition(" ")[2]) for path in own.parent.iterdir()]
        with Path("seen.txt").open("a") as file:
            file.write(f"{sum(amounts)} {len(amounts)}\n")
        own.unlink()
        self.dump(self.number)


def seen():
    lines = [line.split() for line in Path("seen.txt").read_text().splitlines()]
    return max(float(amount) for amount, _ in lines), max(int(count) for _, count in lines)


@pytest.mark.parametrize(("limit", "at_once"), [(1, 1), (2, 2)])
def test_tasks_wait_for_what_they_need(limit, at_once):
    tasks = [Uses(number=number) for number in range(8)]
    assert build(tasks, workers=4, executor="threads", resources={"gpu": limit}) == list(range(8))
    assert seen() == (limit, at_once)


def test_of_what_nobody_limits_there_is_one_and_a_greedy_task_runs_alone():
    tasks = [Uses(number=number, gpu=3.0 if number == 2 else 1.0) for number in range(5)]
    assert build(tasks, workers=4, executor="threads") == list(range(5))
    assert seen() == (3.0, 1)


def test_tasks_that_need_nothing_do_not_wait():
    tasks = [Uses(number=number, gpu=float(number < 2)) for number in range(6)]
    build(tasks, workers=3, executor="threads", resources={"gpu": 1})
    assert seen()[0] == 1.0


def test_a_limit_of_luigis_configuration_counts():
    luigi.configuration.get_config().set("resources", "gpu", "2")
    try:
        build([Uses(number=number) for number in range(6)], workers=4, executor="threads")
        assert seen() == (2.0, 2)
    finally:
        luigi.configuration.get_config().remove_section("resources")


def test_a_limit_of_luigis_configuration_that_is_no_number_is_named():
    config = luigi.configuration.get_config()
    config.set("resources", "memory_gb", "1.5")
    try:
        assert Limits({}).fits((("memory_gb", 1.5),))
        config.set("resources", "gpu", "two")
        with pytest.raises(ConfigError, match=r"resources\.gpu.*'two'"):
            build(Uses(number=1))
    finally:
        config.remove_section("resources")
    assert not Path("seen.txt").exists()


@pytest.mark.parametrize(("amount", "message"), [(2.0, "can never run"), (-1.0, "not an amount")])
def test_what_could_never_run_is_refused_before_anything_runs(amount, message):
    with pytest.raises(ConfigError, match=message):
        build([Uses(number=1, gpu=0.0), Uses(number=2, gpu=amount)], resources={"gpu": 1})
    assert not Path("seen.txt").exists()


def test_a_yielded_task_that_could_never_run_fails_the_one_that_yields():
    class Yields(TaskOnKart[int]):
        def run(self):
            yield Uses(number=1, gpu=5.0)

    with pytest.raises(BuildFailed, match="can never run"):
        build(Yields(), resources={"gpu": 1})


needs = st.dictionaries(st.sampled_from("ab"), st.sampled_from([0, 0.1, 0.2, 0.7, 1, 3]), max_size=2)


@given(
    st.lists(st.tuples(needs, st.booleans()), max_size=30), st.dictionaries(st.sampled_from("ab"), st.integers(3, 4))
)
def test_what_is_given_back_is_free_again(steps, stated):
    limits, held = Limits(stated), []
    for wanted, release in steps:
        need = tuple(sorted(wanted.items()))
        if limits.fits(need):
            limits.take(need)
            held.append(need)
        for name, limit in stated.items():
            assert sum(dict(one).get(name, 0) for one in held) <= limit + 1e-6
        if release and held:
            limits.give_back(held.pop(0))
    for one in held:
        limits.give_back(one)
    assert limits.fits((("a", 3), ("b", 3)))
