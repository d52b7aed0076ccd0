"""Order of a graph for drawing: a rank for each node, and a place among the nodes of its rank.

*Ranks* are longest paths after the edges that close circles are left out; *places* come from barycenter sweeps, of
which the order with the least total length of edges is kept. The page turns both into coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

SWEEPS = 8
"""Number of barycenter sweeps."""


class Layers(NamedTuple):
    """Ranks and places of the nodes of a graph, by the number of the node."""

    ranks: list[int]
    places: list[int]


def layers(count: int, edges: Iterable[tuple[int, int]]) -> Layers:
    """Return ranks and places of the nodes 0 to `count` - 1; an edge leads from upstream to downstream."""
    kept = without_circles(count, edges)
    ranks = _longest_paths(count, kept)
    return Layers(ranks, _places(count, kept, ranks))


def without_circles(count: int, edges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the edges, each once, without those that lead back to where a path came from, or to themselves."""
    downstream: list[list[int]] = [[] for _ in range(count)]
    has_upstream = bytearray(count)
    for up, down in dict.fromkeys(edges):
        if up != down:
            downstream[up].append(down)
            has_upstream[down] = 1
    first = [node for node in range(count) if not has_upstream[node]]
    kept: list[tuple[int, int]] = []
    state = bytearray(count)  # 1: on the path, 2: done
    for start in (*first, *range(count)):  # the second round starts inside circles that nothing leads to
        if state[start]:
            continue
        state[start] = 1
        path = [(start, iter(downstream[start]))]
        while path:
            node, rest = path[-1]
            for down in rest:
                if state[down] == 1:
                    continue
                kept.append((node, down))
                if not state[down]:
                    state[down] = 1
                    path.append((down, iter(downstream[down])))
                    break
            else:
                state[node] = 2
                path.pop()
    return kept


def _longest_paths(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Return the ranks: the length of the longest path to each node; edges without circles."""
    waiting = [0] * count
    downstream: list[list[int]] = [[] for _ in range(count)]
    for up, down in edges:
        waiting[down] += 1
        downstream[up].append(down)
    ready = [node for node in range(count) if not waiting[node]]
    ranks = [0] * count
    for node in ready:  # grows
        for down in downstream[node]:
            ranks[down] = max(ranks[down], ranks[node] + 1)
            waiting[down] -= 1
            if not waiting[down]:
                ready.append(down)
    return ranks


def _places(count: int, edges: Sequence[tuple[int, int]], ranks: Sequence[int]) -> list[int]:
    """Return the place of each node in its rank."""
    columns: list[list[int]] = [[] for _ in range(max(ranks, default=-1) + 1)]
    for node in range(count):
        columns[ranks[node]].append(node)
    upstream: list[list[int]] = [[] for _ in range(count)]
    downstream: list[list[int]] = [[] for _ in range(count)]
    for up, down in edges:
        upstream[down].append(up)
        downstream[up].append(down)
    places = [0.0] * count
    for column in columns:
        _number(column, places)
    best, least = list(places), _length(edges, places)
    for sweep in range(SWEEPS if len(edges) else 0):
        forward = sweep % 2 == 0
        neighbors = upstream if forward else downstream
        for column in columns if forward else reversed(columns):
            column.sort(key=lambda node: _barycenter(neighbors[node], places, places[node]))
            _number(column, places)
        length = _length(edges, places)
        if length < least:
            best, least = list(places), length
    return _whole(columns, best)


def _number(column: Sequence[int], places: list[float]) -> None:
    """Give the nodes of a rank their places, centered: a short column lies beside the middle of a long one."""
    middle = (len(column) - 1) / 2
    for place, node in enumerate(column):
        places[node] = place - middle


def _barycenter(neighbors: Sequence[int], places: Sequence[float], place: float) -> float:
    return sum(places[each] for each in neighbors) / len(neighbors) if neighbors else place


def _length(edges: Sequence[tuple[int, int]], places: Sequence[float]) -> float:
    return sum(abs(places[up] - places[down]) for up, down in edges)


def _whole(columns: Iterable[list[int]], places: Sequence[float]) -> list[int]:
    whole = [0] * len(places)
    for column in columns:
        for place, node in enumerate(sorted(column, key=places.__getitem__)):
            whole[node] = place
    return whole
