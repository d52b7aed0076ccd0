"""Ranks and places of any graph."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.report.layers import layers, without_circles


@st.composite
def graphs(draw):
    count = draw(st.integers(0, 14))
    node = st.integers(0, max(count - 1, 0))
    return count, draw(st.lists(st.tuples(node, node), max_size=40)) if count else []


@given(graphs())
def test_every_node_has_one_place_and_edges_lead_to_higher_ranks(graph):
    count, edges = graph
    ranks, places = layers(count, edges)
    assert len(ranks) == len(places) == count
    by_rank = {}
    for rank, place in zip(ranks, places, strict=True):
        by_rank.setdefault(rank, []).append(place)
    assert sorted(by_rank) == list(range(len(by_rank)))
    assert all(sorted(own) == list(range(len(own))) for own in by_rank.values())
    assert all(ranks[up] < ranks[down] for up, down in without_circles(count, edges))


@given(graphs())
def test_only_edges_that_close_a_circle_are_left_out(graph):
    count, edges = graph
    kept = set(without_circles(count, edges))
    assert kept <= set(edges)
    downstream = {}
    for up, down in kept:
        downstream.setdefault(up, []).append(down)

    def leads(start, end):
        seen, waiting = set(), [start]
        while waiting:
            node = waiting.pop()
            if node == end:
                return True
            if node not in seen:
                seen.add(node)
                waiting += downstream.get(node, ())
        return False

    assert all(leads(down, up) for up, down in set(edges) - kept)


def test_a_rank_is_the_longest_path():
    assert layers(4, [(0, 1), (1, 2), (0, 2), (2, 3)]).ranks == [0, 1, 2, 3]


def test_crossings_are_taken_out():
    # 0 → 3, 1 → 2: drawn in the order of their numbers, the edges would cross.
    ranks, places = layers(4, [(0, 3), (1, 2)])
    assert ranks == [0, 0, 1, 1]
    assert (places[0] < places[1]) == (places[3] < places[2])


def test_a_long_chain_needs_no_stack():
    assert layers(5_000, [(node, node + 1) for node in range(4_999)]).ranks[-1] == 4_999
