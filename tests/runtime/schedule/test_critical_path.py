"""The way that the build waits for goes first."""

from __future__ import annotations

import luigi
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime import TaskOnKart, build
from kart_runtime.history.ledger import Ledger
from kart_runtime.plan.decisions import Action, Decision, Plan, Reason
from kart_runtime.plan.graph import Graph
from kart_runtime.schedule.critical_path import critical_path_lengths
from kart_runtime.schedule.events import TaskStarted


class Step(TaskOnKart[str]):
    name: luigi.Parameter = luigi.Parameter()
    needs: luigi.ListParameter = luigi.ListParameter(default=[])

    def requires(self):
        return [Step(name=name, needs=list(needs)) for name, needs in self.needs]

    def run(self):
        self.dump(self.name)


class Slow(Step):
    def requires(self):
        return []


graphs = st.integers(1, 9).flatmap(
    lambda size: st.tuples(*(st.sets(st.integers(0, max(n - 1, 0)), max_size=min(n, 3)) for n in range(size)))
)


@given(graphs, st.data())
def test_the_longest_way_is_that_of_all_ways(upstream, data):
    upstream = [tuple(sorted(one)) if number else () for number, one in enumerate(upstream)]
    runs = [data.draw(st.booleans()) for _ in upstream]
    graph = Graph()
    graph.tasks = [Step(name=str(number)) for number in range(len(upstream))]
    graph.upstream = upstream
    decisions = [Decision(Action.RUN if one else Action.SKIP, Reason.COMPLETE) for one in runs]

    def ways(number):
        after = [way for other, needs in enumerate(upstream) if number in needs for way in ways(other)]
        return [runs[number] * 2.0 + way for way in after or [0.0]]

    found = critical_path_lengths(Plan((), graph, decisions), {(Step.__module__, "Step"): 2.0})
    assert list(found) == [max(ways(number)) for number in range(len(upstream))]


def begun(tasks, **options):
    """The tasks in the order in which they began."""
    found = []
    build(tasks, on_event=lambda event: found.append(event.task) if isinstance(event, TaskStarted) else None, **options)
    return found


def test_the_longest_chain_begins_first_where_several_run_at_once():
    chain = ["c", [["b", [["a", []]]]]]
    root = Step(name="root", needs=[["x", []], ["y", []], chain])
    assert [task.name for task in begun(root, workers=2, executor="threads")][:2] == ["a", "x"]


def test_one_worker_keeps_to_the_order_of_the_plan():
    root = Step(name="root", needs=[["x", []], ["c", [["b", []]]]])
    assert [task.name for task in begun(root)] == ["x", "b", "c", "root"]


def test_what_earlier_runs_took_counts():
    ledger = Ledger()
    for cls, seconds in ((Step, 0.001), (Slow, 60.0)):
        record = {"task": cls.__name__, "module": cls.__module__, "unique_id": "0" * 32, "state": "done", "started": ""}
        rest = {"seconds": seconds, "seed": 1, "params": {}, "outputs": (), "log_files": (), "error": "", "reason": ""}
        ledger.append("./resources/", {**record, **rest})
    ledger.close()
    steps = [Step(name=str(number)) for number in range(6)]
    assert isinstance(begun([*steps, Slow(name="slow")], workers=2, executor="threads")[0], Slow)
