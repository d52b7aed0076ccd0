"""Everything that can run runs once, after what it requires; a failure stops what is downstream, and nothing else."""

from __future__ import annotations

import contextlib
import queue

import luigi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kart_runtime import BuildFailed, TaskOnKart, build
from kart_runtime.errors import CyclicDependency
from kart_runtime.history.runs import read_records
from kart_runtime.schedule import scheduler
from kart_runtime.schedule.events import BuildFinished, PlanMade, TaskFinished, TaskStarted

GRAPH: dict[int, list[int]] = {}
FAILING: set[int] = set()
RAN: list[int] = []


class Node(TaskOnKart[int]):
    number = luigi.IntParameter()
    example = luigi.IntParameter(default=0)
    priorities = luigi.DictParameter(default={}, significant=False)

    @property
    def priority(self):
        return self.priorities.get(str(self.number), 0)

    def requires(self):
        return [self.clone(number=upstream) for upstream in GRAPH[self.number]]

    def run(self):
        RAN.append(self.number)
        if self.number in FAILING:
            raise ValueError(f"node {self.number}")
        self.dump(sum(self.load()) + 1)


@st.composite
def graphs(draw):
    """Numbers to lower numbers, and some that fail."""
    size = draw(st.integers(1, 9))
    graph = {
        number: draw(st.lists(st.integers(0, number - 1), unique=True)) if number else [] for number in range(size)
    }
    return graph, draw(st.sets(st.integers(0, size - 1), max_size=2))


def below(graph, number):
    found = {number}
    for upstream in graph[number]:
        found |= below(graph, upstream)
    return found


counter = iter(range(10**9))


@given(graphs())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_graph(tmp_path, case):
    graph, failing = case
    GRAPH.clear()
    GRAPH.update(graph)
    FAILING.clear()
    FAILING.update(failing)
    RAN.clear()
    root = max(graph)
    waiting_for = below(graph, root)
    task = Node(number=root, example=next(counter), workspace_directory=str(tmp_path))
    blocked = {number for number in waiting_for if (below(graph, number) - {number}) & failing}
    events = []
    if failing & waiting_for:
        with pytest.raises(BuildFailed) as caught:
            build(task, on_event=events.append)
        assert len(caught.value.not_started) == len(blocked)
        assert len(caught.value.causes) == len((failing & waiting_for) - blocked)
    else:
        build(task, on_event=events.append)
    assert sorted(RAN) == sorted(waiting_for - blocked)
    for number in RAN:
        assert all(RAN.index(upstream) < RAN.index(number) for upstream in graph[number])
    summary = events[-1].summary
    assert summary.total == len(waiting_for)
    assert summary.ran == len(waiting_for - blocked - failing)
    started = [event.task for event in events if isinstance(event, TaskStarted)]
    assert started == [event.task for event in events if isinstance(event, TaskFinished)]
    # What could not be done this time is done next time, and only that.
    FAILING.clear()
    RAN.clear()
    build(task)
    assert sorted(RAN) == sorted((failing | blocked) & waiting_for)
    RAN.clear()
    build(task)
    assert RAN == []


def graph(**edges):
    GRAPH.clear()
    GRAPH.update({int(name[1:]): upstream for name, upstream in edges.items()})
    FAILING.clear()
    RAN.clear()


def test_priority_goes_first():
    graph(n0=[], n1=[], n2=[], n9=[0, 1, 2])
    build(Node(number=9, priorities={"2": 5, "1": 1}))
    assert RAN == [2, 1, 0, 9]


def test_events_come_in_order():
    graph(n0=[], n1=[0])
    events = []
    build(Node(number=1), on_event=events.append)
    assert [type(event) for event in events] == [
        PlanMade,
        TaskStarted,
        TaskFinished,
        TaskStarted,
        TaskFinished,
        BuildFinished,
    ]


def test_a_record_is_kept_of_each_attempt():
    graph(n0=[], n1=[0], n2=[1])
    FAILING.add(1)
    with pytest.raises(BuildFailed):
        build(Node(number=2))
    records = list(read_records("resources"))
    assert [(record.params["number"], record.state) for record in records] == [("0", "done"), ("1", "failed")]
    assert records[1].error == "ValueError: node 1"
    assert records[0].outputs[0].url == Node(number=0).output().path()
    assert records[0].reason.startswith("its output does not exist")
    assert records[0].seed == Node(number=0).get_random_seed()


def test_ctrl_c_keeps_what_is_done_and_says_so():
    class Interrupted(TaskOnKart[int]):
        def requires(self):
            return Node(number=0)

        def run(self):
            raise KeyboardInterrupt

    graph(n0=[])
    events = []
    with pytest.raises(KeyboardInterrupt):
        build(Interrupted(), on_event=events.append)
    assert events[-1].summary.interrupted
    assert events[-1].summary.text().startswith("Interrupted: 2 tasks: 1 ran")
    assert Node(number=0).complete()
    assert not Interrupted().complete()


class Dynamic(TaskOnKart[int]):
    how_many = luigi.IntParameter()

    def run(self):
        RAN.append(-1)
        total = 0
        for number in range(self.how_many):
            total += (yield Node(number=number)).load()
        self.dump(total)


class Number(TaskOnKart[int]):
    number: int = luigi.IntParameter()

    def run(self):
        self.dump(self.number)


@pytest.mark.parametrize("options", [{"executor": "serial"}, {"executor": "threads", "workers": 2}])
def test_ctrl_c_between_the_end_of_a_task_and_its_handling_hangs_nothing(monkeypatch, options):
    class Lossy(queue.SimpleQueue):
        interrupted = False

        def get(self, *args, **kwargs):
            news = super().get(*args, **kwargs)
            if isinstance(news, tuple) and not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            return news

    monkeypatch.setattr(scheduler.queue, "SimpleQueue", Lossy)
    with pytest.raises(KeyboardInterrupt):
        build([Number(number=number) for number in range(6)], return_value=False, **options)
    done = [record for record in read_records("resources") if record.state == "done"]
    assert len(done) == sum(Number(number=number).complete() for number in range(6)) > 0


def test_yielded_tasks_run_and_their_requirements_too():
    graph(n0=[], n1=[0], n2=[3], n3=[])
    assert build(Dynamic(how_many=3)) == 1 + 2 + 2
    assert RAN == [-1, 0, 1, 3, 2]  # and run() was entered once


def test_a_yielded_task_that_fails_fails_the_one_that_waits():
    graph(n0=[], n1=[])
    FAILING.add(1)
    with pytest.raises(BuildFailed) as caught:
        build(Dynamic(how_many=2))
    assert list(caught.value.not_started) == [f"Dynamic[{Dynamic(how_many=2).make_unique_id()[:8]}]"]
    FAILING.clear()
    assert build(Dynamic(how_many=2)) == 2


def test_yielding_what_has_no_order_fails_the_one_that_yields():
    class Circle(TaskOnKart[int]):
        def requires(self):
            return Circle(fail_on_empty_dump=True)

    class Yields(TaskOnKart[int]):
        def run(self):
            yield Circle()

    graph(n0=[])
    with pytest.raises(BuildFailed) as caught:
        build([Yields(), Node(number=0)])
    assert [type(error).__name__ for error in caught.value.causes.values()] == ["CyclicDependency"]
    assert Node(number=0).complete()


def test_a_yielded_task_that_was_not_needed_before_is_run():
    class Complete(TaskOnKart[int]):
        def requires(self):
            return Node(number=0)

        def run(self):
            self.dump(1)

    class Root(TaskOnKart[int]):
        def requires(self):
            return Complete()

        def run(self):
            self.dump((yield Node(number=0)).load())

    graph(n0=[])
    build(Complete())
    Node(number=0).output().remove()
    assert build(Root()) == 1


def test_a_yielded_task_that_runs_anyway_is_not_run_twice():
    class Root(TaskOnKart[int]):
        def requires(self):
            return [Dynamic(how_many=1), Node(number=1)]

        def run(self):
            self.dump(1)

    graph(n0=[], n1=[0])
    build(Root())
    assert sorted(RAN) == [-1, 0, 1]


class Selfish(TaskOnKart[int]):
    """Yields itself."""

    def run(self):
        yield Selfish()


class Needs(TaskOnKart[int]):
    """Requires the task that yields it."""

    def requires(self):
        return Yields()

    def run(self):
        self.dump(1)


class Yields(TaskOnKart[int]):
    def run(self):
        yield Needs()


@pytest.mark.parametrize(("task", "cycle"), [(Selfish, {"Selfish"}), (Yields, {"Yields", "Needs"})])
def test_a_circle_through_a_yield_is_a_failure_that_names_it(task, cycle):
    events = []
    with pytest.raises(BuildFailed) as caught:
        build(task(), return_value=False, on_event=events.append)
    [error] = caught.value.causes.values()
    assert isinstance(error, CyclicDependency)
    assert {name.partition("[")[0] for name in error.cycle} == cycle
    assert not events[-1].summary.ok
    assert next(read_records("resources")).state == "failed"


DYNAMIC: dict[int, list[int]] = {}


class Wild(Node):
    """A node that also yields others, whichever they are."""

    def run(self):
        for number in DYNAMIC[self.number]:
            yield self.clone(number=number)
        self.dump(1)


@given(graphs(), st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_yielded_a_build_ends_and_only_claims_what_is_there(tmp_path, case, data):
    GRAPH.clear()
    GRAPH.update(case[0])
    root = max(GRAPH)
    yields = st.lists(st.sampled_from(sorted(GRAPH)), max_size=2)
    DYNAMIC.clear()
    DYNAMIC.update({number: data.draw(yields) for number in GRAPH})
    task = Wild(number=root, example=next(counter), workspace_directory=str(tmp_path))
    events = []
    with contextlib.suppress(BuildFailed):
        build(task, return_value=False, on_event=events.append)
    summary = events[-1].summary
    assert summary.ok == task.complete()
    assert all(isinstance(error, CyclicDependency) for error in summary.failed.values())
    assert summary.total == summary.ran + len(summary.failed) + len(summary.not_started)
