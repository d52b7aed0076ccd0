"""Which ready task goes first? The one with the longest way before it, since that way is what the build waits for.

The length of a way is in seconds where earlier runs have told how long tasks of a class take, else in tasks. Called by
`schedule`, and only where several tasks run at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kart_runtime.plan.decisions import Action, Plan

TaskClass = tuple[str, str]
"""Module and name of a task class."""


def critical_path_lengths(plan: Plan, seconds: Mapping[TaskClass, float]) -> Sequence[float]:
    """Return, for each task of a plan, how long its longest way to an end of the graph is, the task included.

    Parameters
    ----------
    plan
        The plan. Tasks that do not run take no time.
    seconds
        How long tasks of a class took, by module and name. A class that is not among them takes the mean of the others.
    """
    otherwise = sum(seconds.values()) / len(seconds) if seconds else 1.0
    graph = plan.graph
    length = [0.0] * len(graph.tasks)
    # Downstream before upstream: when a task's turn comes, all that require it have said what comes after it.
    for number in range(len(length) - 1, -1, -1):
        if plan.decisions[number].action is Action.RUN:
            cls = type(graph.tasks[number])
            length[number] += seconds.get((cls.__module__, cls.__name__), otherwise)
        for one in graph.upstream[number]:
            length[one] = max(length[one], length[number])
    return length
