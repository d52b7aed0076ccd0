"""Nearest of many earlier tasks: the one with the fewest different parameters, and of those the newest.

Each value of a parameter has a number whose bits say which tasks have it. Adding these numbers bit by bit counts, for
all tasks at once, the parameters that fit: some microseconds for a thousand tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from kart_runtime.history.earlier import Earlier


class Candidates:
    """Earlier tasks of one class, newest first, among which the nearest to given parameters is found."""

    def __init__(self, tasks: Sequence[Earlier]) -> None:
        self.tasks = tasks
        self._with_value: dict[tuple[str, str], int] = {}
        self._with_name: dict[str, int] = {}
        for place, task in enumerate(tasks):
            bit = 1 << place
            for item in task.plain.items():
                self._with_value[item] = self._with_value.get(item, 0) | bit
                self._with_name[item[0]] = self._with_name.get(item[0], 0) | bit

    def nearest(self, params: Mapping[str, str], upstream: Iterable[str] = (), left: int = -1) -> int | None:
        """Return the place of the nearest task, of those whose bits are in `left`; None if there is none.

        Of those with the fewest different parameters it is the one with the most of some ids `upstream`, and of those
        the newest.
        """
        best = ((1 << len(self.tasks)) - 1) & left
        if not best:
            return None
        fits = [self._with_value.get(item, 0) for item in params.items()]
        # a task without a parameter of that name differs, and so does one with a parameter more
        fits += [~bits for name, bits in self._with_name.items() if name not in params]
        best = _with_most(best, fits)
        if best & (best - 1):  # several
            best = _with_most(best, [self._upstream.get(unique_id, 0) for unique_id in upstream])
        return (best & -best).bit_length() - 1

    def at(self, place: int | None) -> Earlier | None:
        """Return the task at a place."""
        return None if place is None else self.tasks[place]

    @cached_property
    def _upstream(self) -> Mapping[str, int]:
        having: dict[str, int] = {}
        for place, task in enumerate(self.tasks):
            for unique_id in task.requires:
                having[unique_id] = having.get(unique_id, 0) | 1 << place
        return having


def _with_most(among: int, fits: Iterable[int]) -> int:
    """Return the bits of `among` that are set in the most of the numbers: a sum for each bit, by binary digits."""
    digits: list[int] = []
    for bits in fits:
        carry, position = bits & among, 0
        while carry:
            if position == len(digits):
                digits.append(0)
            digits[position], carry = digits[position] ^ carry, digits[position] & carry
            position += 1
    for digit in reversed(digits):
        among = among & digit or among
    return among
