"""Values and types as text."""

from __future__ import annotations

import luigi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime.cli.formatting import columns, format_value, type_name
from kart_runtime.settings import format_setting


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"), ("", '""'), ("null", '"null"'), ("a\nb", '"a\\nb"'), (" x", '" x"'), (True, "true"),
        (None, "null"), (1.5, "1.5"), ((1, "a"), '[1, "a"]'), ({"a": (1,)}, '{"a": [1]}'),
    ],
)  # fmt: skip
def test_values_are_written_as_yaml_has_them(value, text):
    assert format_setting(value) == text


def test_other_values_are_written_as_their_parameter_writes_them():
    day = luigi.DateParameter()
    assert format_value(day, day.parse("2026-01-31")) == "2026-01-31"


@pytest.mark.parametrize(
    ("param", "word"),
    [
        (luigi.IntParameter(), "int"),
        (luigi.BoolParameter(), "bool"),
        (luigi.OptionalIntParameter(), "int or null"),
        (luigi.OptionalParameter(), "text or null"),
        (luigi.DictParameter(), "map"),
        (luigi.ChoiceParameter(choices=["b", "a"]), "a | b"),
        (luigi.DateParameter(), "date"),
        (luigi.PathParameter(), "path"),
    ],
)
def test_types_are_said_in_a_word(param, word):
    assert type_name(param) == word


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("ab", max_size=5), st.text("ab", min_size=1, max_size=5)), max_size=5))
def test_columns_line_up(rows):
    lines = columns(rows)
    width = max((len(row[0]) for row in rows), default=0)
    assert lines == [f"{first.ljust(width)}  {second}" for first, second in rows]
