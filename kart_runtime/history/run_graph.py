"""Graph of a past run, with what came of each task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from kart_runtime.history.graph_texts import TaskGraph, TaskNode
from kart_runtime.history.index import Index
from kart_runtime.history.labels import LabelNode, labels
from kart_runtime.history.runs import Run, TaskName

_ACTIONS = {"r": "run", "m": "maybe", "s": "skip", "n": "not needed", "x": "missing"}


def graph_of_run(run: Run, index: Index) -> TaskGraph:
    """Return the graph of a run.

    Parameters
    ----------
    run
        The run.
    index
        Index of its workspace, which knows the parameters of tasks that did not run this time, and, for a run that had
        nothing to do, what is upstream of each.
    """
    tasks, upstream, verdicts = _tasks_of(run, index)
    records = {TaskName(record.module, record.task, record.unique_id): record for record in run.records}
    before = index.measured_of(task.unique_id for task in tasks if task not in records)
    known = [records.get(task) or before.get(task.unique_id) for task in tasks]
    label_nodes = [
        LabelNode(task.module, task.task, found.params if found else {}, task.unique_id)
        for task, found in zip(tasks, known, strict=True)
    ]
    blocked = _not_started(run)
    nodes = []
    for task, node, label, verdict in zip(tasks, label_nodes, labels(label_nodes, upstream), verdicts, strict=True):
        record = records.get(task)
        state = record.state if record else "not started" if task.unique_id in blocked else ""
        action = _ACTIONS.get(verdict, "skip")
        reason, seconds = (record.reason, record.seconds) if record else ("", None)
        nodes.append(
            TaskNode(task.unique_id, task.module, task.task, label, node.params, action, reason, state, seconds)
        )
    return TaskGraph(nodes, [(up, down) for down, found in enumerate(upstream) for up in found])


def _tasks_of(run: Run, index: Index) -> tuple[Sequence[TaskName], list[list[int]], str]:
    """Return the tasks of a run, the indexes of those upstream of each, and a letter for each."""
    if run.graph is not None:
        requires = [[each for each in found if isinstance(each, int)] for found in run.graph.requires]
        return run.graph.tasks, requires, run.graph.verdicts
    tasks = sorted(run.tasks)
    ran = {record.unique_id for record in run.records}
    numbers = {task.unique_id: number for number, task in enumerate(tasks)}
    upstream = index.upstream_of(numbers)
    requires = [[numbers[uid] for uid in upstream.get(task.unique_id, ()) if uid in numbers] for task in tasks]
    return tasks, requires, "".join("r" if task.unique_id in ran else "s" for task in tasks)


def _not_started(run: Run) -> Collection[str]:
    """Return the ids of the tasks that did not start, because of a failed one."""
    blocked = (run.end or {}).get("blocked", ())
    return {pair[0] for pair in blocked if isinstance(pair, list) and pair}


def part_of(graph: TaskGraph, wanted: Callable[[TaskNode], bool]) -> TaskGraph:
    """Return the part of a graph that some tasks need: these, and all upstream of them."""
    upstream: Mapping[int, list[int]] = {number: [] for number in range(len(graph.nodes))}
    for up, down in graph.edges:
        upstream[down].append(up)
    needed = _reached((number for number, node in enumerate(graph.nodes) if wanted(node)), upstream)
    place = {old: new for new, old in enumerate(sorted(needed))}
    edges = [(place[up], place[down]) for up, down in graph.edges if up in place and down in place]
    return TaskGraph([graph.nodes[old] for old in place], edges)


def _reached(start: Iterable[int], upstream: Mapping[int, Sequence[int]]) -> set[int]:
    reached, waiting = set[int](), list(start)
    while waiting:
        number = waiting.pop()
        if number not in reached:
            reached.add(number)
            waiting += upstream[number]
    return reached
