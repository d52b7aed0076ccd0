"""Variants of a configuration: one for each combination of the values that a command line gives, as one plan.

Each variant is a whole configuration of its own, composed and checked as any other, so that shared values, references
and options of groups follow. Its tasks are made under its overrides and keep them; those with the same unique id are
one task of the plan. What differs between the variants has no value outside of their tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import luigi

from kart_runtime.errors import ConfigError
from kart_runtime.plan.decisions import Plan
from kart_runtime.project.conf.dotlist import split_override
from kart_runtime.project.conf.sections import TO_TASKS
from kart_runtime.project.conf.tree import COMMAND_LINE
from kart_runtime.project.problems import raise_all, split_errors
from kart_runtime.project.session import ComposedProject, Session
from kart_runtime.sweeps.keys import Key, Keys, shown_values, values_of
from kart_runtime.sweeps.sweep_file import read_sweep_file
from kart_runtime.sweeps.words import joined, may_be_several
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.naming import id_of
from kart_runtime.task.parameters import (
    NOT_SET,
    ActiveOverrides,
    AmbiguousVariant,
    Override,
)

MOST_VARIANTS = 100
"""Variants that run without being asked for by number."""

_MOST_PLACES = 20
"""Values that a line of combinations shows."""


@dataclass(frozen=True)
class Axis:
    """Keys whose values change together: one key of a grid, or all keys of listed combinations."""

    keys: tuple[Key, ...]
    rows: tuple[tuple[str, ...], ...]

    def shown(self) -> str:
        """Return the keys with their values for people to read."""
        if len(self.keys) == 1:
            return shown_values(self.keys[0], [row[0] for row in self.rows])
        names = ", ".join(key.word for key in self.keys)
        rows = [f"({', '.join(map(_shown, self.keys, row))})" for row in self.rows]
        if len(rows) > _MOST_PLACES:
            rows = [*rows[:_MOST_PLACES], "...", rows[-1]]
        return f"({names}) {', '.join(rows)}"


def _shown(key: Key, text: str) -> str:
    return key.shown(text)


@dataclass(frozen=True)
class Words:
    """Overrides of a command line, sorted: those with one value, and the axes of those with several."""

    fixed: tuple[str, ...]
    axes: tuple[Axis, ...] = ()

    @property
    def number(self) -> int:
        """Return the number of combinations."""
        return prod(len(axis.rows) for axis in self.axes)

    @property
    def keys(self) -> tuple[Key, ...]:
        """Return the keys with several values."""
        return tuple(key for axis in self.axes for key in axis.keys)

    def combinations(self) -> Iterator[tuple[str, ...]]:
        """Yield the values of each combination, in the order of the keys; the last key changes fastest."""
        for rows in product(*(axis.rows for axis in self.axes)):
            yield tuple(text for row in rows for text in row)

    def overrides(self, values: Sequence[str]) -> list[str]:
        """Return the overrides of one combination."""
        return [*self.fixed, *(f"{key.word}={text}" for key, text in zip(self.keys, values, strict=True))]


def sorted_words(composed: ComposedProject, overrides: Sequence[str], file: str | None = None) -> Words:
    """Return the overrides of a command line, sorted; raise `ConfigError` with all that are malformed."""
    keys, errors = Keys(composed), list[ConfigError]()
    fixed: list[str] = []
    axes: list[Axis] = []
    typed: dict[str, list[str]] = {}
    for text in overrides:
        try:
            word, value = split_override(text)
            key = keys.find(word)
            typed.setdefault(key.full, []).append(text)
            values = values_of(key, value) if may_be_several(value) else [value]
        except ConfigError as error:
            errors.append(error)
            continue
        if len(values) > 1:
            axes.append(Axis((key,), tuple((each,) for each in values)))
        else:
            fixed.append(f"{word}={values[0]}")
    if file is not None:
        axes += [Axis(found, rows) for found, rows in read_sweep_file(file, keys, errors)]
        for key in (key for axis in axes[-1:] for key in axis.keys if key.full in typed):
            errors.append(key.refused(f"it is in {file}, too. Leave one of them out"))
    errors += [_twice(keys, full, texts) for full, texts in typed.items() if len(texts) > 1]
    if errors:
        _raise(composed, fixed, errors)
    return Words(tuple(fixed), tuple(axes))


def _raise(composed: ComposedProject, fixed: Sequence[str], errors: list[ConfigError]) -> None:
    """Raise the errors together with those of the overrides with one value."""
    try:
        composed.session(fixed)
    except ConfigError as error:
        known = set(map(str, errors))
        errors += [single for single in split_errors(error) if str(single) not in known]
    raise_all(errors)


def _twice(keys: Keys, full: str, texts: Sequence[str]) -> ConfigError:
    """Return the error for a key that was typed twice, which is also what a shell makes of `{2,4}`."""
    word = texts[0].partition("=")[0].strip()
    key = keys.find(word)
    values = ",".join(key.shown(text.partition("=")[2]) for text in texts)
    typed = " and ".join(f"{text.partition('=')[0]}={key.shown(text.partition('=')[2])}" for text in texts)
    can_differ = not full.startswith(("run.", "logging.")) or full == "run.seed"
    expected = f"{word}={values} to run each, or one of them" if can_differ else "one of them"
    return key.refused(f"it is set twice: {typed}", expected)


@dataclass(frozen=True)
class Variant:
    """One configuration of a sweep.

    Attributes
    ----------
    values
        Its values, in the order of the sweep's keys, as text.
    session
        The configuration.
    overrides
        What its tasks are made under.
    """

    values: tuple[str, ...]
    session: Session
    overrides: ActiveOverrides


@dataclass(frozen=True)
class Sweep:
    """All variants of a command line.

    Attributes
    ----------
    axes
        The keys with several values.
    session
        The project with what all variants share; to be active while they are used.
    variants
        The variants, the last key changing fastest.
    """

    axes: tuple[Axis, ...]
    session: Session
    variants: tuple[Variant, ...]

    @property
    def keys(self) -> tuple[Key, ...]:
        """Return the keys with several values."""
        return tuple(key for axis in self.axes for key in axis.keys)

    def header(self, roots: Sequence[Sequence[luigi.Task]]) -> dict[str, Any]:
        """Return what the header of the run's file says, for the roots of each variant."""
        return {
            "keys": [key.full for key in self.keys],
            "variants": [list(map(_shown, self.keys, variant.values)) for variant in self.variants],
            "roots": [[id_of(root) for root in tasks if isinstance(root, TaskOnKart)] for tasks in roots],
        }

    def named(self, variant: Variant) -> str:
        """Return a variant for people to read."""
        return " ".join(f"{key.word}={key.shown(text)}" for key, text in zip(self.keys, variant.values, strict=True))

    def check_effect(self, roots: Sequence[Sequence[luigi.Task]]) -> None:
        """Raise `ConfigError` for keys that change none of the roots: each of their values would be the same run."""
        errors = []
        for place, key in enumerate(self.keys):
            seen: dict[tuple[str, ...], dict[tuple[luigi.Task, ...], None]] = {}
            for variant, tasks in zip(self.variants, roots, strict=True):
                others = (*variant.values[:place], *variant.values[place + 1 :])
                seen.setdefault(others, {})[tuple(tasks)] = None
            several = len({variant.values[place] for variant in self.variants}) > 1
            if several and all(len(found) == 1 for found in seen.values()) and len(seen) < len(self.variants):
                errors.append(key.refused(without_effect(key, roots)))
        raise_all(errors)


def without_effect(key: Key, roots: Sequence[Sequence[luigi.Task]]) -> str:
    """Return what is wrong with a key whose values change none of the roots."""
    if key.param is not None and not key.param.significant:
        return "it is not significant: all its values are one task"
    names = ", ".join(dict.fromkeys(type(task).__name__ for tasks in roots for task in tasks))
    return f"its values change nothing of {names}. Name a task that depends on it, or leave it out"


def make_sweep(composed: ComposedProject, words: Words, most: int | None = None) -> Sweep:
    """Return the variants of a command line; raise `ConfigError` with every invalid value, or for too many."""
    check_values(composed, words)
    limit = MOST_VARIANTS if most is None else most
    if words.number > limit:
        sizes = " x ".join(str(len(axis.rows)) for axis in words.axes)
        raise ConfigError(
            f"{words.number:,} variants{f' ({sizes})' if len(words.axes) > 1 else ''}, more than {limit:,}",
            file=COMMAND_LINE,
            expected=f"--max-variants {words.number} to run them all, or fewer values",
        )
    combinations = list(words.combinations())
    sessions = [session_of(composed, words.keys, words.overrides(values)) for values in combinations]
    _check_settings(sessions, words)
    shared = Shared.of(sessions)
    variants = [
        Variant(values, session, shared.variant(session))
        for values, session in zip(combinations, sessions, strict=True)
    ]
    several = {
        key.recorded: joined(list(dict.fromkeys(key.shown(row[place]) for row in axis.rows)))
        for axis in words.axes
        for place, key in enumerate(axis.keys)
    }
    return Sweep(words.axes, replace(shared.session, several=several), tuple(variants))


def session_of(composed: ComposedProject, keys: Sequence[Key], overrides: Sequence[str]) -> Session:
    """Return the configuration of one variant.

    If seeds are varied, they count in the unique ids, which otherwise leave them out: all would be one task.
    """
    session = composed.session(overrides)
    if not any(key.full == "run.seed" for key in keys):
        return session
    name, seeded = TO_TASKS["seed"], dict[type, Mapping[str, Override]]()
    for cls, named in session.overrides.items():
        seeded[cls] = {**named, name: replace(named[name], identifies=True)} if name in named else named
    return replace(session, overrides=seeded)


def check_values(composed: ComposedProject, words: Words) -> None:
    """Raise `ConfigError` with what is wrong with any value, each checked once."""
    errors: dict[str, ConfigError] = {}
    for number in range(max(len(axis.rows) for axis in words.axes)):
        rows = [axis.rows[number % len(axis.rows)] for axis in words.axes]
        try:
            composed.session(words.overrides([text for row in rows for text in row]))
        except ConfigError as error:
            errors.update((str(single), single) for single in split_errors(error))
    raise_all(list(errors.values()))


def _check_settings(sessions: Sequence[Session], words: Words) -> None:
    """Raise `ConfigError` if the options of a group set settings that cannot differ within one run."""
    first = sessions[0].settings
    for session in sessions[1:]:
        run = replace(session.settings.run, seed=first.run.seed)
        if run != first.run or session.settings.logging != first.logging:
            key = next(key for key in words.keys if key.cls is None)
            raise key.refused(
                "its values change settings of run or logging, which cannot differ within one run. Run once for each"
            )


@dataclass(frozen=True)
class Shared:
    """What several configurations share; a value that differs is an error outside of the tasks of a variant.

    Attributes
    ----------
    session
        The session to be active.
    active
        Its overrides, of which those of the variants are made.
    """

    session: Session
    active: ActiveOverrides

    @classmethod
    def of(cls, sessions: Sequence[Session]) -> Shared:
        """Return what some configurations share."""
        everything = [session.all_overrides() for session in sessions]
        shared: dict[type, dict[str, Override]] = {}
        for owner, name in dict.fromkeys((cls, name) for each in everything for cls in each for name in each[cls]):
            found = [overrides.get(owner, {}).get(name, NOT_SET) for overrides in everything]
            if all(_is_same(found[0], other) for other in found):
                shared.setdefault(owner, {})[name] = found[0]
                continue
            secret = any(override.secret for override in found)
            error = AmbiguousVariant(f"{owner.__name__}.{name}")
            shared.setdefault(owner, {})[name] = Override(None, COMMAND_LINE, secret, error)
        active = ActiveOverrides(shared)
        active.swept = True
        return cls(replace(sessions[0], overrides=shared, active=active, _before=[]), active)

    def variant(self, session: Session) -> ActiveOverrides:
        """Return the overrides of one configuration, as a variant of those that are active."""
        own, shared = session.all_overrides(), self.active.by_class
        changes: dict[type, dict[str, Override]] = {}
        places = {(owner, name) for overrides in (own, shared) for owner in overrides for name in overrides[owner]}
        for cls, name in places:
            override = own.get(cls, {}).get(name, NOT_SET)
            if not _is_same(override, shared.get(cls, {}).get(name, NOT_SET)):
                changes.setdefault(cls, {})[name] = override
        return self.active.variant(changes)


def _is_same(first: Override, other: Override) -> bool:
    if first is other:
        return True
    if first.error is not None or other.error is not None:
        return str(first.error) == str(other.error)
    return type(first.value) is type(other.value) and bool(first.value == other.value)


def planned_line(sweep: Sweep, plan: Plan, roots: Sequence[Sequence[luigi.Task]]) -> str:
    """Return a line with the variants, and how many tasks they have together."""
    total, shared = len(plan.tasks), _shared(plan, roots)
    tasks = f"{total} task{'' if total == 1 else 's'}" + (f", {shared} shared" if shared else "")
    return f"{len(sweep.variants)} variants: {' × '.join(axis.shown() for axis in sweep.axes)}; {tasks}"


def _shared(plan: Plan, roots: Sequence[Sequence[luigi.Task]]) -> int:
    """Return the number of tasks that several variants need."""
    masks = [0] * len(plan.tasks)
    for number, tasks in enumerate(roots):
        for task in tasks:
            masks[plan.graph.index_of[task]] |= 1 << number
    for index in range(len(masks) - 1, -1, -1):
        for upstream in plan.graph.upstream[index]:
            masks[upstream] |= masks[index]
    return sum(mask & (mask - 1) != 0 for mask in masks)
