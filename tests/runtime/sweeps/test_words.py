"""The grammar of several values: what splits, what protects, and what a range stands for."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kart_runtime.sweeps.words import (
    WordError,
    expand_range,
    is_quoted,
    joined,
    read_range,
    split_items,
    unquoted,
)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("2,4,8", ["2", "4", "8"]),
        ('"a,b"', ['"a,b"']),
        ('"a,b",c', ['"a,b"', "c"]),
        ("'it''s, so',c", ["'it''s, so'", "c"]),
        ('"say \\", so",c', ['"say \\", so"', "c"]),
        ("[1,2],[3]", ["[1,2]", "[3]"]),
        ("{a: [1,2], b: 3},{a: []}", ["{a: [1,2], b: 3}", "{a: []}"]),
        ("['a,]',b],c", ["['a,]',b]", "c"]),
        ("it's,that's", ["it's", "that's"]),
        ("a]b,c}", ["a]b", "c}"]),
        ("1,,2", ["1", "", "2"]),
        ("a, b", ["a", " b"]),
        ("", [""]),
    ],
)
def test_commas_split_unless_quotes_or_brackets_protect_them(text, items):
    assert split_items(text) == items


@pytest.mark.parametrize("text", ["[1,2", "{a: 1", '"a,b', "'a,b", "[[1],2", "[1,2},3"])
def test_what_nothing_closes_is_refused(text):
    with pytest.raises(WordError, match="closing"):
        split_items(text)


@given(st.lists(st.text(), min_size=2, max_size=5))
@example(["", "\x85", "\u2028", "\U0001f600", "a\\b", '"', "'", " x ", "*", "1..2", "\ud7ff", "\x7f"])
def test_joined_texts_are_split_into_the_same_texts(texts):
    items = split_items(joined(texts))
    assert [unquoted(item) if is_quoted(item) else item for item in items] == texts


@given(st.text())
def test_any_text_is_split_or_refused(text):
    try:
        items = split_items(text)
    except WordError:
        return
    assert ",".join(items) == text


@pytest.mark.parametrize(
    ("text", "whole", "values"),
    [
        ("1..4", True, ["1", "2", "3", "4"]),
        ("1..9..2", True, ["1", "3", "5", "7", "9"]),
        ("1..8..3", True, ["1", "4", "7"]),
        ("-1..1", True, ["-1", "0", "1"]),
        ("0..1..0.25", False, ["0", "0.25", "0.5", "0.75", "1"]),
        ("0..0.3..0.1", False, ["0", "0.1", "0.2", "0.3"]),
        ("1e-2..3e-2..1e-2", False, ["0.01", "0.02", "0.03"]),
        ("5..5", True, ["5"]),
    ],
)
def test_a_range_has_its_end_and_exact_steps(text, whole, values):
    assert expand_range(read_range(text), whole=whole) == values


@pytest.mark.parametrize(
    ("text", "whole", "why"),
    [
        ("4..1", True, "write 1..4"),
        ("1..4..0", True, "step above 0"),
        ("1..4..-1", True, "step above 0"),
        ("1..2.5", True, "whole numbers"),
        ("0..0.5", False, "needs a step"),
        ("1..99999999", True, "more than"),
    ],
)
def test_a_range_that_is_none_is_refused(text, whole, why):
    with pytest.raises(WordError, match=why):
        expand_range(read_range(text), whole=whole)


@pytest.mark.parametrize("text", ["1..", "..2", "a..b", "1..2..3..4", "1..nan", "0..inf", "1..1e999999", "../data"])
def test_other_texts_are_no_ranges(text):
    assert read_range(text) is None


@given(st.decimals("-1000", "1000", places=3), st.decimals("0.001", "10", places=3), st.integers(0, 50))
def test_ranges_are_exact(first, step, number):
    texts = expand_range(read_range(f"{first}..{first + step * number}..{step}"), whole=False)
    assert [Decimal(text) for text in texts] == [first + step * place for place in range(number + 1)]
