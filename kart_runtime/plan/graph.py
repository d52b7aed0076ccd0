"""Dependency graph of tasks, walked once without recursion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import luigi

from kart_runtime.errors import CyclicDependency
from kart_runtime.task import identity
from kart_runtime.task.identity import MAX_DEPTH, endless_chain
from kart_runtime.task.parameters import active_overrides, using_overrides
from kart_runtime.task.state import own_overrides


class Graph:
    """Tasks and their dependencies.

    Attributes
    ----------
    tasks
        The tasks, upstream before downstream; a task's index is its position in this list.
    upstream
        By index: the indexes of the task's dependencies, each once, in their order.
    index_of
        Task to index.
    """

    __slots__ = ("index_of", "tasks", "upstream")

    def __init__(self) -> None:
        self.tasks: list[luigi.Task] = []
        self.upstream: list[tuple[int, ...]] = []
        self.index_of: dict[luigi.Task, int] = {}

    def by_task(self) -> dict[luigi.Task, tuple[luigi.Task, ...]]:
        """Return each task with its dependencies, upstream before downstream."""
        tasks = self.tasks
        return {
            task: tuple(tasks[index] for index in upstream) for task, upstream in zip(tasks, self.upstream, strict=True)
        }


_VISITING = -1
"""Index of a task whose dependencies are being walked."""


def build_graph(roots: Iterable[luigi.Task]) -> Graph:
    """Return the graph below some tasks; raises `CyclicDependency` if there is a cycle."""
    graph = Graph()
    index_of = graph.index_of
    for root in roots:
        if root in index_of:
            continue
        index_of[root] = _VISITING
        path: list[tuple[luigi.Task, Iterator[luigi.Task], list[int]]] = [(root, iter(_upstream(root)), [])]
        while path:
            task, rest, upstream = path[-1]
            for dependency in rest:
                index = index_of.get(dependency)
                if index is None:
                    index_of[dependency] = _VISITING
                    if len(path) > MAX_DEPTH:
                        raise endless_chain([task for task, _, _ in path[-3:]])
                    path.append((dependency, iter(_upstream(dependency)), []))
                    break
                if index == _VISITING:
                    raise CyclicDependency(_cycle([visited for visited, _, _ in path], dependency))
                upstream.append(index)
            else:
                path.pop()
                index = index_of[task] = len(graph.tasks)
                graph.tasks.append(task)
                graph.upstream.append(tuple(dict.fromkeys(upstream)))
                if path:
                    path[-1][2].append(index)
    return graph


def _cycle(path: list[luigi.Task], again: luigi.Task) -> list[str]:
    return [task.get_task_family() for task in path[path.index(again) :]]


def _upstream(task: luigi.Task) -> tuple[luigi.Task, ...]:
    if type(task)._requires is not luigi.Task._requires:  # luigi lets template classes add requirements there
        with using_overrides(own_overrides(task) or active_overrides()):
            return tuple(cast("list[luigi.Task]", task.deps()))
    return identity.dependencies(task)
