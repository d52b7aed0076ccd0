"""Trees laid over one another."""

from __future__ import annotations

from hypothesis import given, reject, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from kart_runtime.project.conf.tree import Branch, Leaf, merge, plain

NAMES = st.sampled_from("abcd")


MAPS = st.recursive(
    st.dictionaries(NAMES, st.integers() | st.lists(st.integers(), max_size=2), max_size=3),
    lambda inner: st.dictionaries(NAMES, inner | st.integers(), max_size=3),
    max_leaves=8,
)


def tree_of(value, origin):
    if isinstance(value, dict):
        return Branch({name: tree_of(child, origin) for name, child in value.items()}, origin)
    return Leaf(value, origin)


@settings(deadline=None)
@given(st.lists(MAPS, min_size=1, max_size=4))
def test_layers_merge_as_omegaconf_merges_them(layers):
    merged = Branch()
    for number, layer in enumerate(layers):
        merged = merge(merged, tree_of(layer, str(number)))
    wanted = OmegaConf.create({})
    try:
        for layer in layers:
            wanted = OmegaConf.merge(wanted, OmegaConf.create(layer))
    except TypeError:
        reject()  # a list over a map, which OmegaConf refuses and kart replaces: the parameter's type is checked later
    assert plain(merged) == OmegaConf.to_container(wanted)


def at(value, path):
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return value


@settings(deadline=None)
@given(st.lists(MAPS, min_size=1, max_size=4))
def test_each_value_names_the_last_layer_that_wrote_it(layers):
    merged = Branch()
    for number, layer in enumerate(layers):
        merged = merge(merged, tree_of(layer, str(number)))

    def check(node, path):
        if isinstance(node, Leaf):
            writers = [number for number, layer in enumerate(layers) if at(layer, path) is not None]
            assert node.origin == str(writers[-1])
            assert at(layers[writers[-1]], path) == node.value
        else:
            for name, child in node.children.items():
                check(child, (*path, name))

    check(merged, ())
