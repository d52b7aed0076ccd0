"""Space of a search: what each key may take, written as on the command line, such as `2..12` or `1e-4..1e-1 log`."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kart_runtime.sweeps.keys import Key, Kind, values_of
from kart_runtime.sweeps.words import number_text, read_range

_LOG = "log"


@dataclass(frozen=True)
class Choices:
    """Values to choose from, as text."""

    texts: tuple[str, ...]

    @property
    def size(self) -> int | None:
        """Return the number of values."""
        return len(self.texts)

    def draw(self, rng: random.Random) -> str:
        """Return one of the values."""
        return rng.choice(self.texts)

    def text(self, value: Any) -> str:
        """Return the text of a value that a sampler gives."""
        return str(value)

    def value(self, text: str) -> Any:
        """Return the value for a sampler; raise `ValueError` if the space lacks it."""
        if text not in self.texts:
            raise ValueError(text)
        return text


@dataclass(frozen=True)
class Numbers:
    """Numbers from `first` to `last`, both included; `step` is None for any number between them."""

    first: Decimal
    last: Decimal
    step: Decimal | None
    is_log: bool
    is_int: bool

    @property
    def size(self) -> int | None:
        """Return the number of values; None if they are not counted."""
        return None if self.step is None else int((self.last - self.first) // self.step) + 1

    def draw(self, rng: random.Random) -> str:
        """Return one of the numbers; on a scale of logarithms, small ones as often as large ones."""
        first, last = float(self.first), float(self.last)
        if self.is_log:
            low, high = (first - 0.5, last + 0.5) if self.is_int else (first, last)
            return self.text(math.exp(rng.uniform(math.log(low), math.log(high))))
        if self.size is not None and self.step is not None:
            return number_text(self.first + self.step * rng.randrange(self.size))
        return self.text(rng.uniform(first, last))

    def text(self, value: Any) -> str:
        """Return the text of a value that a sampler gives."""
        if self.is_int:
            return str(min(max(round(value), int(self.first)), int(self.last)))
        if self.step is not None:
            place = round((Decimal(repr(float(value))) - self.first) / self.step)
            return number_text(self.first + self.step * place)
        return repr(min(max(float(f"{float(value):.6g}"), float(self.first)), float(self.last)))

    def value(self, text: str) -> Any:
        """Return the value for a sampler; raise `ValueError` if the space lacks it."""
        number = int(text) if self.is_int else float(text)
        if not float(self.first) <= number <= float(self.last):
            raise ValueError(text)
        return number


Dimension = Choices | Numbers


def dimension_of(key: Key, text: str) -> Dimension | None:
    """Return what a key may take; None if the text is one value. Raise `ConfigError` if it is malformed."""
    words = text.split()
    is_log = words[-1:] == [_LOG] and len(words) > 1
    found = read_range(" ".join(words[:-1]) if is_log else text) if key.kind in {Kind.INT, Kind.FLOAT} else None
    if found is None:
        if is_log and key.kind in {Kind.INT, Kind.FLOAT}:
            raise key.refused(f"'{key.word}={text}' is no range of numbers", f"{key.word}=FIRST..LAST log")
        values = values_of(key, text)
        return Choices(tuple(values)) if len(values) > 1 else None
    first, last, step = found
    is_int = key.kind is Kind.INT
    if is_int and any(number % 1 for number in found if number is not None):
        raise key.refused(f"'{key.word}={text}' is a range of whole numbers, with one that is not")
    if last <= first:
        raise key.refused(f"'{key.word}={text}' ends before it begins", f"{key.word}={last}..{first}")
    if step is not None and step <= 0:
        raise key.refused(f"'{key.word}={text}' needs a step above 0")
    if is_log and (first <= 0 or step is not None):
        why = "cannot have a step" if step is not None else "begins at 0 or below"
        raise key.refused(f"'{key.word}={text}': a range on a scale of logarithms {why}")
    if is_int and step is None:
        step = Decimal(1)
    if step is not None:
        last = first + step * ((last - first) // step)
    return Numbers(first, last, step, is_log, is_int)


def size_of(dimensions: Sequence[Dimension]) -> int | None:
    """Return the number of points of a space; None if they are not counted."""
    sizes = [dimension.size for dimension in dimensions]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def texts_of(dimension: Dimension) -> tuple[str, ...]:
    """Return values that stand for all: of numbers, both ends."""
    if isinstance(dimension, Choices):
        return dimension.texts
    return dimension.text(dimension.first), dimension.text(dimension.last)


def shown(dimension: Dimension) -> str:
    """Return what a key may take for people to read."""
    if isinstance(dimension, Choices):
        return ", ".join(dimension.texts)
    ends = f"{number_text(dimension.first)}..{number_text(dimension.last)}"
    step = "" if dimension.step is None else f"..{number_text(dimension.step)}"
    return ends + ("" if dimension.is_int and dimension.step == 1 else step) + (" log" if dimension.is_log else "")
