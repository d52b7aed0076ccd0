"""Option `--range`: a task for each date or number of a range, and what is said of them."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, Protocol

import luigi

from kart_runtime.cli.arguments import explain_missing
from kart_runtime.cli.formatting import counted
from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.plan.decisions import RUNNING, Action, Plan
from kart_runtime.project import Session
from kart_runtime.project.conf.tree import COMMAND_LINE
from kart_runtime.project.conf.yaml_documents import read_scalar
from kart_runtime.project.names import own_parameters, parameters
from kart_runtime.schedule.events import Summary
from kart_runtime.schedule.results import Metrics
from kart_runtime.task.parameters import coerce, takes_text
from kart_runtime.task.partitions import InvalidRange, check_number, is_countable, next_value, values_between

_NOUNS = (
    (luigi.MonthParameter, "month"),
    (luigi.YearParameter, "year"),
    (luigi.DateParameter, "day"),
    (luigi.DateHourParameter, "hour"),
    (luigi.DateMinuteParameter, "minute"),
    (luigi.DateSecondParameter, "second"),
)
_MAX_LINES = 10
"""Lines that name partitions to run again."""

_EXAMPLE = "day=2026-01-01..2026-01-31"


class _Option(NamedTuple):
    """One `--range`; `task` is the full name of the task that its key begins with, or ""."""

    task: str
    name: str
    text: str


class Part(Protocol):
    """Tasks of a run that are counted on their own: the partitions of a range, or the variants of a sweep."""

    def planned(self, plan: Plan) -> str:
        """Return a line about them before anything runs."""
        ...

    def finished(self, plan: Plan, summary: Summary) -> list[str]:
        """Return lines about them when the run has ended."""
        ...

    def results(self, metrics_of: Callable[[luigi.Task], Metrics]) -> list[str]:
        """Return lines with what came out, in place of those of any run; none: these."""
        ...


@dataclass(frozen=True)
class TaskRange:
    """The partitions of one task class.

    Attributes
    ----------
    cls
        The class.
    values
        The values of each parameter that has a range, earlier first.
    tasks
        The task of each combination, in the order of the run.
    """

    cls: type[luigi.Task]
    values: dict[str, list[Any]]
    tasks: list[luigi.Task]

    def planned(self, plan: Plan) -> str:
        """Return a line that says which partitions there are, and how many of them run."""
        actions = Counter(plan.decision_by_task[task].action for task in self.tasks)
        to_run = sum(actions[action] for action in RUNNING)
        missing = f", {actions[Action.MISSING]} missing" if actions[Action.MISSING] else ""
        return f"{self._counted()} {self._ends()}: {actions[Action.SKIP]} complete, {to_run} to run{missing}"

    def finished(self, plan: Plan, summary: Summary) -> list[str]:
        """Return a line with the result, and lines with the options that run the rest."""
        complete = sum(plan.decision_by_task[task].action is Action.SKIP for task in self.tasks)
        counts = {
            "failed": [task for task in self.tasks if task in summary.failed],
            "missing": [task for task in self.tasks if task in summary.missing],
            "not started": [task for task in self.tasks if task in summary.not_started],
        }
        rest = {task for tasks in counts.values() for task in tasks}
        parts = [f"{complete} complete", f"{len(self.tasks) - complete - len(rest)} run"]
        parts += [f"{len(tasks)} {words}" for words, tasks in counts.items() if tasks]
        lines = [f"{self._counted()}: {', '.join(parts)}"]
        return [*lines, "To run the rest, type the same command with:", *self._again(rest)] if rest else lines

    def results(self, metrics_of: Callable[[luigi.Task], Metrics]) -> list[str]:  # noqa: ARG002 - as of sweeps
        """Return no lines: what came out is said as of any run."""
        return []

    def _counted(self) -> str:
        param = parameters(self.cls)[next(iter(self.values))]
        noun = next((noun for kind, noun in _NOUNS if isinstance(param, kind)), "partition")
        is_plain = len(self.values) == 1 and getattr(param, "interval", 1) == 1
        return f"{self.cls.__name__}: {counted(len(self.tasks), noun if is_plain else 'partition')}"

    def _ends(self) -> str:
        texts = {name: pieces_text(parameters(self.cls)[name], values) for name, values in self.values.items()}
        if len(texts) > 1:
            return f"({', '.join(f'{name}={text}' for name, text in texts.items())}, both ends included)"
        (text,) = texts.values()
        first, dots, last = text.partition("..")
        if "," in text:
            return f"in {text}, both ends included"
        return f"from {first} to {last}, both included" if dots else f"({text})"

    def _again(self, tasks: set[luigi.Task]) -> list[str]:
        """Return the options that name these partitions: a line for each combination of the other parameters."""
        *others, last = self.values
        groups: dict[tuple[str, ...], list[Any]] = {}
        for task in self.tasks:
            if task in tasks:
                key = tuple(pieces_text(parameters(self.cls)[name], [getattr(task, name)]) for name in others)
                groups.setdefault(key, []).append(getattr(task, last))
        lines = []
        for key, values in groups.items():
            named = zip((*others, last), (*key, pieces_text(parameters(self.cls)[last], values)), strict=True)
            lines.append("  " + " ".join(f"--range {name}={text}" for name, text in named))
        rest = len(lines) - _MAX_LINES
        return [*lines[:_MAX_LINES], f"  ... and {rest} more"] if rest > 0 else lines


def pieces_text(param: luigi.Parameter[Any], values: Sequence[Any]) -> str:
    """Return values as the text of a range, such as ``2026-01-03,2026-01-09..2026-01-11``."""
    pieces: list[list[Any]] = []
    for value in sorted(values):
        if pieces and next_value(param, pieces[-1][-1]) == value:
            pieces[-1].append(value)
        else:
            pieces.append([value])
    return ",".join("..".join(dict.fromkeys(map(param.serialize, (piece[0], piece[-1])))) for piece in pieces)


def ranges_from_args(session: Session, names: Sequence[str], arguments: argparse.Namespace) -> list[TaskRange]:
    """Return the partitions that `--range` asks for, for each task that a command line names; none without it."""
    texts: list[str] = arguments.range
    if not texts:
        if arguments.order is not None:
            raise _error(f"--order {arguments.order} is an option of --range", "--range " + _EXAMPLE)
        return []
    options = [_option(session, text) for text in texts]
    named = [session.names.resolve(name, file=COMMAND_LINE) for name in names]
    named = named or list(dict.fromkeys(option.task for option in options if option.task))
    named = named or [_default_task(session)]
    stray = next((option for option in options if option.task and option.task not in named), None)
    if stray is not None:
        raise _error(f"--range is for {stray.task}, which the command does not name", None)
    ranges = []
    for full in dict.fromkeys(named):
        own = [option for option in options if option.task in ("", full)]
        ranges.append(_task_range(session, session.tasks[full], own, descending=arguments.order == "descending"))
    return ranges


def _default_task(session: Session) -> str:
    cls = session.task()
    return next(full for full, task in session.tasks.items() if task is cls)


def _option(session: Session, text: str) -> _Option:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise _error(f"'--range {text}' is no range", f"--range PARAMETER=FIRST..LAST, such as --range {_EXAMPLE}")
    owner, _, name = key.rpartition(".")
    return _Option(session.names.resolve(owner, file=COMMAND_LINE) if owner else "", name, value)


def _task_range(session: Session, cls: type[luigi.Task], options: Sequence[_Option], *, descending: bool) -> TaskRange:
    values: dict[str, list[Any]] = {}
    for option in options:
        if option.name in values:
            message = f"{option.name} has two ranges. Join them by a comma"
            raise _error(message, f"--range {option.name}=FIRST..LAST,FIRST..LAST")
        _check(session, cls, option.name)
        values[option.name] = _values(cls, option)
    try:
        check_number(cls, values)
    except InvalidRange as error:
        raise _error(str(error), None) from error
    combinations = list(product(*values.values()))
    tasks = [_task(session, cls, dict(zip(values, combination, strict=True))) for combination in combinations]
    return TaskRange(cls, values, tasks[::-1] if descending else tasks)


def _task(session: Session, cls: type[luigi.Task], values: dict[str, Any]) -> luigi.Task:
    try:
        return cls(**values)
    except luigi.parameter.MissingParameterException as error:
        raise ConfigError(explain_missing(session, cls, values) or str(error)) from error


def _check(session: Session, cls: type[luigi.Task], name: str) -> None:
    """Raise `ConfigError` unless a parameter can have a range."""
    own = own_parameters(cls)
    countable = [key for key, param in own.items() if is_countable(param)]
    if name not in own:
        owners = session.names.with_parameter(name)
        guess = closest_match(name, countable)
        hint = f" Name a task that has it: {', '.join(owners)}" if owners and not guess else ""
        expected = None if hint else ", ".join(countable) or "a task with a date or an integer as a parameter"
        raise _error(f"{cls.__name__} has no parameter '{name}'.{hint}", expected, suggestion=guess)
    if name not in countable:
        raise _error(f"{cls.__name__}.{name} is no date, time or integer, so it has no range", ", ".join(countable))
    if not own[name].significant:
        raise _error(f"{cls.__name__}.{name} is not significant: all its values are one task", None)
    override = session.overrides.get(cls, {}).get(name)
    if override is not None and override.origin == COMMAND_LINE:
        raise _error(f"{cls.__name__}.{name} is set on the command line, and has a range. Leave one of them out", None)


def _values(cls: type[luigi.Task], option: _Option) -> list[Any]:
    """Return the values of a text such as ``2026-01-03,2026-01-09..yesterday``, each once, earlier first."""
    values: dict[Any, None] = {}
    for piece in option.text.split(","):
        first, dots, last = (text.strip() for text in piece.partition(".."))
        if not first or (dots and not last):
            raise _error(
                f"'{option.name}={option.text}' is open at an end",
                f"both ends, such as {_EXAMPLE} or day=2026-01-01..yesterday",
            )
        ends = [_end(cls, option.name, text) for text in (first, last or first)]
        try:
            values.update(dict.fromkeys(values_between(cls, option.name, *ends)))
        except InvalidRange as error:
            raise _error(str(error), None) from error
    return sorted(values)


def _end(cls: type[luigi.Task], name: str, text: str) -> Any:
    param = parameters(cls)[name]
    try:
        return coerce(param, text, text=text) if takes_text(param) else coerce(param, read_scalar(text))
    except ValueError as error:
        raise _error(f"{cls.__name__}.{name}: {error}", None) from error


def _error(message: str, expected: str | None, suggestion: str | None = None) -> ConfigError:
    return ConfigError(message, file=COMMAND_LINE, key="--range", expected=expected, suggestion=suggestion)


def date_words(session: Session, tasks: Iterable[luigi.Task]) -> list[str]:
    """Return a line for each word, such as `yesterday`, that the configuration of some tasks has."""
    lines: dict[str, None] = {}
    for cls in dict.fromkeys(map(type, tasks)):
        for base in cls.__mro__:
            for name, override in session.overrides.get(base, {}).items():
                if override.word and not override.secret:
                    text = parameters(base)[name].serialize(override.value)
                    lines[f"{base.__name__}.{name} is {text} ({override.word}, {override.origin})"] = None
    return list(lines)
