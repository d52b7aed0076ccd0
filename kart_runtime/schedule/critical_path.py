"""Critical path of a plan, which decides what runs first: the build waits for its longest path.

Path lengths are in seconds if earlier runs say how long the tasks of a class take, else in tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kart_runtime.plan.decisions import RUNNING, Plan

TaskClass = tuple[str, str]
"""Module and name of a task class."""


def critical_path_lengths(plan: Plan, seconds: Mapping[TaskClass, float]) -> Sequence[float]:
    """Return, for each task of a plan, the length of its longest path to the end of the graph, the task included."""
    default = sum(seconds.values()) / len(seconds) if seconds else 1.0
    graph = plan.graph
    length = [0.0] * len(graph.tasks)
    for index in range(len(length) - 1, -1, -1):  # downstream before upstream
        if plan.decisions[index].action in RUNNING:
            cls = type(graph.tasks[index])
            length[index] += seconds.get((cls.__module__, cls.__name__), default)
        for dependency in graph.upstream[index]:
            length[dependency] = max(length[dependency], length[index])
    return length
