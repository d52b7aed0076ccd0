"""Graph of a past run, with what came of each task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from kart_runtime.history.graph_texts import TaskGraph, TaskNode
from kart_runtime.history.labels import LabelNode, labels
from kart_runtime.history.runs import Run, RunRecord, TaskName

_ACTIONS = {"r": "run", "m": "maybe", "s": "skip", "n": "not needed", "x": "missing"}


def graph_of_run(
    run: Run, newest: Callable[[TaskName], RunRecord | None], upstream_of: Callable[[str], Sequence[str]]
) -> TaskGraph:
    """Return the graph of a run.

    Parameters
    ----------
    run
        The run.
    newest
        Function that returns the newest record of a task: it has the parameters of one that did not run this time.
    upstream_of
        Function that returns the unique ids upstream of one, for a run that had nothing to do and recorded none.
    """
    tasks, upstream, verdicts = _tasks_of(run, upstream_of)
    records = {TaskName(record.module, record.task, record.unique_id): record for record in run.records}
    known = [records.get(task) or newest(task) for task in tasks]
    label_nodes = [
        LabelNode(task.module, task.task, record.params if record else {}, task.unique_id)
        for task, record in zip(tasks, known, strict=True)
    ]
    blocked = _not_started(run)
    nodes = []
    for task, node, label, verdict in zip(tasks, label_nodes, labels(label_nodes, upstream), verdicts, strict=True):
        record = records.get(task)
        state = record.state if record else "not started" if task.unique_id in blocked else ""
        action = _ACTIONS.get(verdict, "skip")
        reason, seconds = (record.reason, record.seconds) if record else ("", None)
        nodes.append(TaskNode(task.unique_id, *task[:2], label, node.params, action, reason, state, seconds))
    return TaskGraph(nodes, [(up, down) for down, found in enumerate(upstream) for up in found])


def _tasks_of(run: Run, upstream_of: Callable[[str], Sequence[str]]) -> tuple[Sequence[TaskName], list[list[int]], str]:
    """Return the tasks of a run, the indexes of those upstream of each, and a letter for each."""
    if run.graph is not None:
        requires = [[each for each in found if isinstance(each, int)] for found in run.graph.requires]
        return run.graph.tasks, requires, run.graph.verdicts
    tasks = sorted(run.tasks)
    ran = {record.unique_id for record in run.records}
    numbers = {task.unique_id: number for number, task in enumerate(tasks)}
    requires = [[numbers[uid] for uid in upstream_of(task.unique_id) if uid in numbers] for task in tasks]
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
