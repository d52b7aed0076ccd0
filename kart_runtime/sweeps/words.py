"""Grammar of several values in one text: `2,4,8`, where quotes and brackets keep a comma from splitting."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation, localcontext
from typing import NamedTuple

from kart_runtime.project.conf.yaml_documents import read_scalar

MOST_VALUES = 10_000
"""Values of one range; more are taken for a slip."""

_DIGITS = 60
"""Digits of the arithmetic of ranges, which is exact."""

_CLOSING = {"[": "]", "{": "}"}
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


class WordError(ValueError):
    """A text of several values is malformed; the message says how."""


class Range(NamedTuple):
    """Range of numbers, which includes its end; `step` is None if none was written."""

    first: Decimal
    last: Decimal
    step: Decimal | None


def may_be_several(text: str) -> bool:
    """Return whether a text, or that of an override, could stand for several values; most do not."""
    return "," in text or ".." in text or text.rstrip().rstrip("'\"").endswith("*")


def split_items(text: str) -> list[str]:
    """Return the parts between commas, as typed; raise `WordError` for a quote or bracket that nothing closes."""
    items: list[str] = []
    begin = place = 0
    open_brackets: list[str] = []
    while place < len(text):
        char = text[place]
        if char in "\"'" and _may_open(text, begin, place, bool(open_brackets)):
            place = _end_of_quoted(text, place)
        elif char in _CLOSING:
            open_brackets.append(_CLOSING[char])
        elif open_brackets and char == open_brackets[-1]:
            open_brackets.pop()
        elif char == "," and not open_brackets:
            items.append(text[begin:place])
            begin = place + 1
        place += 1
    if open_brackets:
        raise WordError(f"has no closing {open_brackets[-1]}")
    return [*items, text[begin:]]


def _may_open(text: str, begin: int, place: int, inside: bool) -> bool:
    """Return whether a quote begins a quoted text, and is not an apostrophe within a word."""
    before = text[begin:place].rstrip()
    return not before or (inside and before[-1] in "[{,:")


def _end_of_quoted(text: str, place: int) -> int:
    """Return the place of the quote that closes the one at `place`."""
    quote, place = text[place], place + 1
    while place < len(text):
        if quote == '"' and text[place] == "\\":
            place += 1
        elif text[place] == quote:
            if quote != "'" or text[place + 1 : place + 2] != "'":
                return place
            place += 1  # '' is a quote within single quotes
        place += 1
    raise WordError(f"has no closing {quote}")


def is_quoted(item: str) -> bool:
    """Return whether an item is one text in quotes."""
    item = item.strip()
    if len(item) < 2 or item[0] not in "\"'":
        return False
    try:
        return _end_of_quoted(item, 0) == len(item) - 1
    except WordError:
        return False


def unquoted(item: str) -> str:
    """Return the text of an item in quotes, as YAML reads it."""
    return str(read_scalar(item.strip()))


def joined(texts: list[str]) -> str:
    """Return texts as one text of several values: `split_items` and `unquoted` give them back."""
    return ",".join(quoted(text) if needs_quotes(text) else text for text in texts)


def needs_quotes(text: str) -> bool:
    """Return whether a text among several values has to stand in quotes."""
    is_plain = text == text.strip() and text.isprintable() and text not in {"", "*"}
    return not is_plain or ".." in text or any(char in text for char in ",[]{}\"'")


def quoted(text: str) -> str:
    """Return a text in double quotes of YAML."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def read_range(item: str) -> Range | None:
    """Return the range that an item is, such as `1..9..2`; None if it is no range of numbers."""
    parts = item.strip().split("..")
    if len(parts) not in {2, 3}:
        return None
    try:
        numbers = [Decimal(part.strip()) for part in parts]
    except InvalidOperation:
        return None
    if not all(number.is_finite() and _is_exact(number) for number in numbers):
        return None
    return Range(numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else None)


def _is_exact(number: Decimal) -> bool:
    """Return whether sums with a number are exact in arithmetic of so many digits."""
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -30 and number.adjusted() < 20


def expand_range(found: Range, *, whole: bool) -> list[str]:
    """Return the numbers of a range as texts; raise `WordError` if it has none, or too many."""
    with localcontext(prec=_DIGITS):
        return _expanded(found, whole=whole)


def _expanded(found: Range, *, whole: bool) -> list[str]:
    first, last, step = found
    if whole and any(number % 1 for number in found if number is not None):
        raise WordError("is a range of whole numbers, with one that is not")
    if step is None:
        if first % 1 or last % 1:
            raise WordError(
                f"needs a step: {number_text(first)}..{number_text(last)}..{number_text((last - first) / 4)}"
            )
        step = Decimal(1)
    if step <= 0:
        raise WordError("needs a step above 0")
    if last < first:
        raise WordError(f"ends before it begins; write {number_text(last)}..{number_text(first)}")
    number = int((last - first) // step) + 1
    if number > MOST_VALUES:
        raise WordError(f"has {number:,} values, more than {MOST_VALUES:,}")
    return [number_text(first + step * place) for place in range(number)]


def number_text(number: Decimal) -> str:
    """Return a number without zeros that say nothing."""
    return format(number.normalize(), "f") if number else "0"
