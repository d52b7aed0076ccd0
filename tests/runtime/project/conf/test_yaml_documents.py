"""What one YAML file, or one value of the command line, says."""

from __future__ import annotations

import math
import re
import time

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kart_runtime.errors import ConfigError
from kart_runtime.project.conf import yaml_documents
from kart_runtime.project.conf.tree import leaves, plain
from kart_runtime.project.conf.yaml_documents import read_document, read_value

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=10
)


class Writer(yaml.SafeDumper):
    """Quotes what YAML 1.2 would take for something else than text."""

    yaml_implicit_resolvers = yaml_documents._Loader.yaml_implicit_resolvers


def read(text, prefix=()):
    errors = []
    tree = read_document(text, name="conf/base/a.yaml", prefix=prefix, errors=errors)
    return tree, errors


def test_values_know_their_line_and_files_their_prefix():
    tree, errors = read("A:\n  x: 1\n\n  y: [1, 2]\n", ("tasks", "m"))
    assert errors == []
    assert plain(tree) == {"tasks": {"m": {"A": {"x": 1, "y": [1, 2]}}}}
    assert [leaf.origin for leaf in leaves(tree)] == ["conf/base/a.yaml:2", "conf/base/a.yaml:4"]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "\n\n"])
def test_an_empty_file_says_nothing(text):
    assert read(text) == (read("")[0], [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("False", False), ("no", "no"), ("on", "on"), ("yes", "yes"), ("12", 12), ("-3", -3),
        ("010", "010"),
        ("0o17", 15), ("0x1f", 31), ("1_000", 1000), ("1.5", 1.5), ("1e3", 1000.0), ("2.5e-3", 0.0025), ("1.", 1.0),
        (".5", 0.5), ("-.inf", -math.inf), ("12:30", "12:30"), ("2026-01-31", "2026-01-31"), ("1.2.3", "1.2.3"),
        ("null", None), ("~", None), ("'12'", "12"), ('""', ""), ("007.5", "007.5"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    tree, errors = read(f"x: {text}")
    assert errors == []
    assert plain(tree) == {"x": value}
    assert type(plain(tree)["x"]) is type(value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x:\n", "conf/base/a.yaml:1: x: has no value. Write a value, write null, or delete the line."),
        ("A:\n  # x: 1\n", "conf/base/a.yaml:1: A: has no value"),
        ("x: [1, ]\ny: [1, , 2]\n", "conf/base/a.yaml:2: not valid YAML"),
        ("x: 1\nx: 2\n", "conf/base/a.yaml:2: x: set twice in this file, first on line 1. Delete one of them."),
        ("A:\n  x: 1\n  x: 1\n", "conf/base/a.yaml:3: A.x: set twice"),
        ("1: a\n", "the key 1 is not text (expected a name; quote it: '1')"),
        ("true: a\n", "the key true is not text"),
        ("? [a, b]\n: 1\n", "the key a list or map is not text"),
        ("x: {a: 1, a: 2}\n", "a: set twice"),
        ("x: [{a: 1, a: 2}]\n", "a: set twice"),
        ("A:\n\tx: 1\n", "Indent with spaces, not tabs"),
        ("A: 'unfinished\n", "conf/base/a.yaml:2: not valid YAML"),
        ("- a\n- b\n", "the file does not contain a map (expected lines such as name: value)"),
        ("just text\n", "the file does not contain a map"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: !!set {b}\n", "!!set is not supported"),
        ("a: !!python/object/apply:os.system ['true']\n", "!!python/object/apply:os.system is not supported"),
        ("a: !!binary aGk=\n", "!!binary is not supported"),
        ("a: &x [1, *x]\n", "an alias contains itself"),
        ("a: &x {b: *x}\n", "an alias contains itself"),
        ("a: *nowhere\n", "not valid YAML: found undefined alias"),
        ("base: &b {x: 1}\nA:\n  <<: *b\n", "conf/base/a.yaml:3: A: the merge key << of YAML is not supported"),
        ("x: \x01\n", "not valid YAML"),
    ],
)
def test_mistakes_are_told_with_their_line(text, wanted):
    _, errors = read(text)
    assert wanted in str(errors[0])
    assert len(errors) == 1


def test_all_mistakes_of_a_file_are_told():
    _, errors = read("a:\nb: 1\nb: 2\n3: x\n")
    assert [error.file.rpartition(":")[2] for error in errors] == ["1", "3", "4"]


def test_an_anchor_is_read_where_it_is_used():
    tree, errors = read("a: &x [1, 2]\nb: *x\n")
    assert (plain(tree), errors) == ({"a": [1, 2], "b": [1, 2]}, [])


@settings(deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_what_yaml_writes_is_read_as_it_was(value):
    assume("<<" not in str(value))  # YAML's merge key, which is refused on purpose
    tree, errors = read(yaml.dump(value, Dumper=Writer, allow_unicode=False))
    assert errors == []
    assert plain(tree) == value


@pytest.mark.parametrize(
    ("text", "value", "kept"),
    [
        ("5", 5, "5"), ("1.10", 1.1, "1.10"), ("deep", "deep", None), ("[1, 2]", [1, 2], "[1, 2]"),
        ("null", None, "null"),
        ("{a: 1}", {"a": 1}, None), ("[1, 2", "[1, 2", None), ("%x", "%x", None), ("@home", "@home", None),
        ('"5"', "5", None), ("''", "", None), ("a b", "a b", None), ("http://x:1/y", "http://x:1/y", None),
    ],
)  # fmt: skip
def test_a_value_of_the_command_line_is_yaml_or_else_text(text, value, kept):
    errors = []
    node = read_value(text, key="k", errors=errors)
    assert errors == []
    assert plain(node) == value
    assert getattr(node, "text", None) == kept
    assert node.origin == "command line"


def test_bytes_that_are_no_text_are_taken_as_they_are():
    # Python hands arguments that are not UTF-8 over like this.
    assert plain(read_value("\udcff", key="k", errors=[])) == "\udcff"


def test_deep_nesting_is_a_mistake():
    _, errors = read("a: " + "[" * 1000 + "]" * 1000)
    assert [error.message for error in errors] == ["nested too deeply: more than 100 levels of maps and lists"]
    assert len(str(errors[0])) < 200


def test_a_value_of_the_command_line_must_be_plain_yaml():
    errors = []
    assert read_value("{a: }", key="k", errors=errors) is not None
    assert "command line: k.a: has no value" in str(errors[0])


def billion(levels):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


def test_aliases_of_aliases_are_bounded():
    errors: list[ConfigError] = []
    began = time.perf_counter()
    read_document(billion(12), name="bomb.yaml", prefix=(), errors=errors)
    assert time.perf_counter() - began < 10
    assert any(re.search(r"bomb\.yaml:\d+: .*stand for too many values", str(error)) for error in errors)
    assert len(billion(12)) < 700


def test_a_few_aliases_are_fine():
    errors: list[ConfigError] = []
    tree = read_document(billion(3), name="few.yaml", prefix=(), errors=errors)
    assert not errors
    assert len(plain(tree)["a2"]) == 9


def test_huge_numbers_are_refused():
    for text in (f"a: {'9' * 5000}", f"a: 0x{'f' * 100_000}"):
        errors: list[ConfigError] = []
        read_document(text, name="big.yaml", prefix=(), errors=errors)
        assert "big.yaml:1" in str(errors[0])
        assert "integer" in str(errors[0])
    errors = []
    began = time.perf_counter()
    read_document(f"a: {'1' * 100_000}x", name="long.yaml", prefix=(), errors=errors)
    assert time.perf_counter() - began < 5
