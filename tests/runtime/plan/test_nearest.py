"""The nearest earlier task: the fewest different parameters, then the most in common upstream, then the newest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.history.earlier import Earlier, holds_tasks, plain_params
from kart_runtime.plan.nearest import Candidates

PARAMS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["1", "2", "", "x y"]), max_size=4)
IDS = st.lists(st.sampled_from("uvw"), max_size=3, unique=True)


def earlier(params, requires=()):
    return Earlier("i", "Task", "m", "r", "", tuple(requires), params, plain_params(params))


def differing(params, other):
    return sum(params.get(name) != other.get(name) for name in {*params, *other})


@given(PARAMS, IDS, st.lists(st.tuples(PARAMS, IDS), max_size=12))
def test_it_is_the_one_that_a_search_finds(params, upstream, others):
    tasks = [earlier(*other) for other in others]

    def rank(place):
        task = tasks[place]
        return differing(params, task.params), -len({*upstream} & {*task.requires}), place

    expected = min(range(len(tasks)), key=rank, default=None)
    assert Candidates(tasks).nearest(params, upstream) == expected


@given(PARAMS, st.lists(PARAMS, min_size=1, max_size=8), st.integers(min_value=0))
def test_only_those_that_are_left_count(params, others, left):
    tasks = [earlier(other) for other in others]
    places = [place for place in range(len(tasks)) if left >> place & 1]
    expected = min(places, key=lambda place: (differing(params, tasks[place].params), place), default=None)
    assert Candidates(tasks).nearest(params, left=left) == expected


def test_parameters_with_tasks_do_not_count():
    assert holds_tasks("TrainModel[74393b26]")
    assert holds_tasks("[TrainModel[74393b26], SplitData[eecf2ed2]]")
    assert holds_tasks("TrainModel(74393b2674393b2674393b2674393b26)")
    assert holds_tasks("425a6839" + "0" * 200), "a task in the records of earlier versions"
    for text in ("", "4", "[1, 2]", "a(b)", "{}", "TrainModel", "x[1]"):
        assert not holds_tasks(text)
