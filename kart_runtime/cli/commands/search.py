"""Command `kart search`: try values of parameters one after another, and look for the best metric."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from typing import Any

import luigi

from kart_runtime.builder import run_build
from kart_runtime.cli.arguments import as_plan_error, compose_from_args, options_to_overrides, planning, tasks_from_args
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import columns, counted
from kart_runtime.cli.live import make_display
from kart_runtime.cli.live.plain import Display
from kart_runtime.cli.logs import logging_as
from kart_runtime.cli.messages import paragraph
from kart_runtime.cli.stop_signals import StopSignals
from kart_runtime.cli.terminal import visible
from kart_runtime.errors import ConfigError
from kart_runtime.errors.secrets import masked
from kart_runtime.history.run_header import RunInfo
from kart_runtime.project import Session
from kart_runtime.project.conf.tree import COMMAND_LINE
from kart_runtime.schedule.events import BuildStopping, Event, Summary
from kart_runtime.sweeps.keys import Key, Kind
from kart_runtime.sweeps.samplers import default_sampler, make_sampler
from kart_runtime.sweeps.search import Goal, Search, Trial, space_of
from kart_runtime.sweeps.space import shown
from kart_runtime.sweeps.words import quoted
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.naming import id_of

_MOST_ROWS = 20
"""Trials in the table at the end."""

_PARALLEL = 8
"""Trials at once where the number of workers is not limited."""


def execute(arguments: argparse.Namespace) -> int:
    """Run trials until there are enough, and print the best one with the command that repeats it."""
    options_to_overrides(arguments)
    search, printer = _prepare(arguments)
    session = search.shared.session
    label = arguments.label or f"search-{printer.task}"
    with session, logging_as(session.settings.logging):
        with planning(session):
            search.check()
            search.resume(session.settings.run.workspace, label)
            printer.begin(label)
            first = search.first()
        code = _run(search, first, session.info(label), printer) if first else ExitCode.OK
    if isinstance(search.error, ConfigError):
        print(paragraph(search.error), file=sys.stderr)
        return ExitCode.REFUSED
    printer.end()
    return code


def _prepare(arguments: argparse.Namespace) -> tuple[Search, _Printer]:
    if arguments.trials < 1:
        raise ConfigError("expected a number of at least 1", file=COMMAND_LINE, key="--trials")
    composed, overrides, names = compose_from_args(arguments)
    if len(names) > 1:
        raise ConfigError("a search measures one task", file=COMMAND_LINE, expected=f"one of {', '.join(names)}")
    space = space_of(composed, overrides)
    goal = Goal(arguments.metric, maximize=arguments.max)
    sampler = arguments.sampler or default_sampler()
    printer = _Printer(arguments, sampler)

    def make(session: Session) -> luigi.Task:
        (task,) = _one_task(tasks_from_args(session, names), names)
        return task

    search = Search(
        composed,
        space,
        goal,
        make_sampler(sampler, space.dimensions, maximize=goal.maximize, seed=arguments.seed),
        make,
        arguments.trials,
        1,
        printer.trial,
    )
    run = search.shared.session.settings.run
    search.parallel = run.workers or (_PARALLEL if run.executor == "dask" or run.address else 1)
    printer.search, printer.task = search, search.shared.session.task(names[0] if names else None).__name__
    printer.names = names
    return search, printer


def _one_task(tasks: list[luigi.Task], names: list[str]) -> list[luigi.Task]:
    if len(tasks) != 1:
        raise ConfigError(
            f"{' '.join(names)} stands for {counted(len(tasks), 'task')}, and a search measures one",
            file=COMMAND_LINE,
            expected="a task that needs no further parameters",
        )
    return tasks


def _run(search: Search, first: list[luigi.Task], info: RunInfo, printer: _Printer) -> ExitCode:
    """Run the trials; what failed is said at the end."""
    session = search.shared.session
    display = make_display(quiet=True)
    display.source = session.project.package_folder
    printer.display = display

    def on_event(event: Event) -> None:
        display.has_plan = True
        if not printer.is_json:
            display.show(event)
        if isinstance(event, BuildStopping):
            signals.notice()

    signals = StopSignals(display)
    try:
        with signals, display:
            summary, _ = run_build(
                first, session.settings.run, on_event=on_event, reports_warnings=True, info=info, feed=search
            )
    except KeyboardInterrupt:
        if not printer.is_json:
            display.interrupted()
        return signals.code
    except BaseException as error:
        if not display.has_plan:
            raise as_plan_error(error, session) from error
        display.broken(error)
        return ExitCode.FAILED
    if search.error is None and not printer.is_json:
        _print_failures(display, summary)
    return ExitCode.OK if search.best is not None else ExitCode.FAILED


def _print_failures(display: Display, summary: Summary) -> None:
    if not summary.ok:
        display.finish(summary)


class _Printer:
    """What a search prints: the trials as they end, and the best ones at the end."""

    def __init__(self, arguments: argparse.Namespace, sampler: str) -> None:
        self._arguments, self._sampler = arguments, sampler
        self.is_json: bool = arguments.json
        self.search: Search
        self.task = ""
        self.names: list[str] = []
        self.display: Display | None = None
        self._label = ""

    def begin(self, label: str) -> None:
        """Print what is searched, and what is known already."""
        search, goal = self.search, self.search.goal
        self._label = label
        space = " × ".join(f"{key.word} {shown(each)}" for key, each in zip(*_pairs(search), strict=True))
        direction = "highest" if goal.maximize else "lowest"
        self._print(
            f"search: {direction} {goal.metric} of {self.task}; {space}; sampler {self._sampler}; label {label}"
        )
        known = f"{counted(len(search.trials), 'trial')} of this label known" if search.trials else ""
        other = (
            f"{search.left_out} left out: of another configuration, or without the metric" if search.left_out else ""
        )
        if known or other:
            self._print("; ".join(text for text in (known, other) if text))

    def trial(self, trial: Trial) -> None:
        """Print a trial that has ended."""
        if self.search.error is not None:
            return
        best = self.search.best
        result = f"failed: {trial.error}"
        if trial.score is not None:
            rest = "best so far" if best is trial else f"best {_score(best)} by trial {best.number}" if best else ""
            result = f"{self.search.goal.metric} {trial.score:.6g}  ({rest})"
        self._print(f"trial {trial.number}/{self.search.number}  {self._values(trial)}  {result}")

    def end(self) -> None:
        """Print the best trials, and how to repeat the best one."""
        if self.is_json:
            print(json.dumps(self._as_json(), indent=2))
            return
        search, best = self.search, self.search.best
        done, failed = ([trial for trial in search.trials if trial.state == state] for state in ("done", "failed"))
        counts = f"{counted(len(done) + len(failed), 'trial')}: {len(done)} done"
        self._print(counts + (f", {len(failed)} failed" if failed else "") + (self._why_ended()))
        if best is None:
            return
        ranked = sorted(done, key=lambda trial: trial.score or 0.0, reverse=search.goal.maximize)
        rows = [("trial", *(key.word for key in search.space.keys), search.goal.metric)]
        rows += [
            (str(trial.number), *trial.values, f"{_score(trial)}{' *' if trial is best else ''}")
            for trial in ranked[:_MOST_ROWS]
        ]
        for line in columns(rows):
            self._print(line)
        if len(ranked) > _MOST_ROWS:
            self._print(f"... and {len(ranked) - _MOST_ROWS} more")
        self._print(f"best: {shlex.join(self._command(best))}")

    def _why_ended(self) -> str:
        return "; all values were tried" if self.search.is_exhausted else ""

    def _values(self, trial: Trial) -> str:
        return " ".join(f"{key.word}={text}" for key, text in zip(self.search.space.keys, trial.values, strict=True))

    def _command(self, trial: Trial) -> list[str]:
        """Return the command that runs the task of a trial."""
        values = [
            f"{key.word}={_typed(key, text)}" for key, text in zip(self.search.space.keys, trial.values, strict=True)
        ]
        env = getattr(self._arguments, "env", None)
        settings = [
            word
            for word in self.search.space.fixed
            if not word.startswith(("run.executor=", "run.workers=", "run.address="))
        ]
        return ["kart", "run", *self.names, *settings, *values, *(["--env", env] if env else [])]

    def _as_json(self) -> dict[str, Any]:
        search, best = self.search, self.search.best
        keys = [key.full for key in search.space.keys]
        return {
            "format": 1,
            "task": self.task,
            "metric": search.goal.metric,
            "direction": "max" if search.goal.maximize else "min",
            "label": self._label,
            "sampler": self._sampler,
            "trials": [
                {
                    "number": trial.number,
                    "values": dict(zip(keys, trial.values, strict=True)),
                    "state": trial.state,
                    "score": trial.score,
                    "id": id_of(trial.task) if isinstance(trial.task, TaskOnKart) else "",
                    "error": trial.error,
                }
                for trial in search.trials
            ],
            "best": best and {"number": best.number, "score": best.score, "command": self._command(best)},
        }

    def _print(self, line: str) -> None:
        if self.is_json:
            return
        if self.display is not None:
            self.display.outputs([line])
        else:
            print(visible(masked(line)), flush=True)


def _pairs(search: Search) -> tuple[Any, Any]:
    return search.space.keys, search.space.dimensions


def _score(trial: Trial) -> str:
    return f"{trial.score:.6g}"


def _typed(key: Key, text: str) -> str:
    """Return a value as it is typed: a text with a comma in quotes."""
    return quoted(text) if "," in text and key.kind in {Kind.TEXT, Kind.OPTION} else text
