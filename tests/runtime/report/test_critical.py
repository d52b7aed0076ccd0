"""Timeline and critical path."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.history.runs import RunRecord
from kart_runtime.report.critical import Bar, critical_path, timeline


def attempt(start, seconds, worker="a:1:Main", waited=0.0):
    started = f"2026-11-27T10:00:{start:06.3f}+00:00" if isinstance(start, float) else start
    return RunRecord("T", "m", "id", "done", started, seconds, worker=worker, waited=waited)


def test_bars_lie_in_the_lane_of_their_worker():
    records = [attempt(1.0, 2.0), attempt(1.0, 1.0, "b:2:Main"), attempt(3.0, 1.0, waited=0.5)]
    found = timeline(records, [0, 1, 2], None)
    assert found.lanes == ["a:1:Main", "b:2:Main"]
    assert [(bar.lane, bar.start, bar.seconds, bar.waited) for bar in found.bars] == [
        (0, 0.0, 2.0, 0.0),
        (1, 0.0, 1.0, 0.0),
        (0, 2.0, 1.0, 0.5),
    ]
    assert found.seconds == 3.0


def test_records_without_a_worker_get_the_first_free_lane():
    records = [attempt(0.0, 2.0, ""), attempt(1.0, 2.0, ""), attempt(2.0, 1.0, "")]
    assert [bar.lane for bar in timeline(records, [0, 1, 2], None).bars] == [0, 1, 0]


def test_times_that_are_none_are_left_out():
    assert len(timeline([attempt("yesterday", 1.0), attempt(None, 1.0), attempt(1.0, 1.0)], [0, 1, 2], None).bars) == 1


def test_the_path_goes_back_to_what_ended_last_upstream_or_in_the_lane():
    bars = [
        Bar(0, 0, 0.0, 4.0, 0.0, "done"),  # upstream of 2
        Bar(1, 1, 0.0, 5.0, 0.0, "done"),  # in the lane of 2, and ends later
        Bar(2, 1, 5.0, 1.0, 1.0, "done"),
        Bar(3, 0, 4.0, 0.5, 0.0, "done"),
    ]
    assert critical_path(bars, {2: [0]}) == [1, 2]
    assert critical_path(bars, {2: [0, 3]}) == [1, 2]
    assert critical_path([], {}) == []


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.floats(0, 9), st.floats(0, 9)), max_size=20), st.data()
)
def test_any_times_give_a_path_without_repeats(bars, data):
    made = [Bar(task, lane, start, seconds, 0.0, "done") for task, lane, start, seconds in bars]
    requires = data.draw(st.dictionaries(st.integers(0, 5), st.lists(st.integers(0, 5))))
    path = critical_path(made, requires)
    assert len(set(path)) == len(path)
    assert bool(path) == bool(made)
    if made:
        assert made[path[-1]].end == max(bar.end for bar in made)
