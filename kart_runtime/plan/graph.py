"""Dependency graph of tasks, walked once without recursion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import luigi

from kart_runtime.errors import CyclicDependency
from kart_runtime.task import identity


class Graph:
    """Tasks with what they require.

    Attributes
    ----------
    tasks
        The tasks, upstream before downstream; the place in this list is a task's number.
    upstream
        By number: the numbers of the tasks that the task requires, each once, in their order.
    index_of
        Task to number.
    """

    __slots__ = ("index_of", "tasks", "upstream")

    def __init__(self) -> None:
        self.tasks: list[luigi.Task] = []
        self.upstream: list[tuple[int, ...]] = []
        self.index_of: dict[luigi.Task, int] = {}

    def by_task(self) -> dict[luigi.Task, tuple[luigi.Task, ...]]:
        """Return each task with the tasks that it requires, upstream before downstream."""
        tasks = self.tasks
        return {
            task: tuple(tasks[number] for number in upstream)
            for task, upstream in zip(tasks, self.upstream, strict=True)
        }


_VISITING = -1
"""The number of a task whose requirements are being walked."""


def build_graph(roots: Iterable[luigi.Task]) -> Graph:
    """Return the graph below some tasks.

    Parameters
    ----------
    roots
        Where to begin.

    Raises
    ------
    CyclicDependency
        When tasks require one another in a circle.
    """
    graph = Graph()
    index_of = graph.index_of
    for root in roots:
        if root in index_of:
            continue
        index_of[root] = _VISITING
        path: list[tuple[luigi.Task, Iterator[luigi.Task], list[int]]] = [(root, iter(_upstream(root)), [])]
        while path:
            task, rest, found = path[-1]
            for following in rest:
                number = index_of.get(following)
                if number is None:
                    index_of[following] = _VISITING
                    path.append((following, iter(_upstream(following)), []))
                    break
                if number == _VISITING:
                    raise CyclicDependency(_cycle([one for one, _, _ in path], following))
                found.append(number)
            else:
                path.pop()
                number = index_of[task] = len(graph.tasks)
                graph.tasks.append(task)
                graph.upstream.append(tuple(dict.fromkeys(found)))
                if path:
                    path[-1][2].append(number)
    return graph


def _cycle(path: list[luigi.Task], again: luigi.Task) -> list[str]:
    return [one.get_task_family() for one in path[path.index(again) :]]


def _upstream(task: luigi.Task) -> tuple[luigi.Task, ...]:
    if type(task)._requires is not luigi.Task._requires:  # luigi lets template classes add requirements there
        return tuple(cast("list[luigi.Task]", task.deps()))
    return identity.dependencies(task)
