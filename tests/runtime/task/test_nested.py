"""Nested structures are gone through whole and in order, and keep their form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.task.nested import iter_flat, map_structure

trees = st.recursive(
    st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner)
)


def leaves(tree):
    if isinstance(tree, int):
        return [tree]
    items = tree.values() if isinstance(tree, dict) else tree
    return [leaf for item in items for leaf in leaves(item)]


@given(trees)
def test_flat_gives_every_item_once_and_in_order(tree):
    assert list(iter_flat(tree)) == leaves(tree)


@given(trees)
def test_mapped_keeps_the_form(tree):
    assert map_structure(tree, lambda leaf: leaf) == tree
    assert list(iter_flat(map_structure(tree, lambda leaf: leaf + 1))) == [leaf + 1 for leaf in leaves(tree)]


def test_none_is_no_item_and_text_is_one():
    assert list(iter_flat([None, "text", {"a": {"b": iter([1, 2])}}])) == ["text", 1, 2]


def test_loaded_tuples_become_lists():
    assert map_structure(({"a": (1,)},), str, tuples_as=list) == [{"a": ["1"]}]
