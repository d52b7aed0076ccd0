"""Search for good values: asks a sampler whenever a worker is free, and tells it what a trial has measured.

A trial is a variant like those of a sweep. The trials of earlier runs with the same label count if their task is still
the same one: its unique id says whether code in the id, other values or what is upstream have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import luigi

from kart_runtime.errors import ConfigError, KartError, closest_match, described
from kart_runtime.history.index import open_index
from kart_runtime.history.publication import PublishRefused
from kart_runtime.project.conf.dotlist import split_override
from kart_runtime.project.problems import raise_all
from kart_runtime.project.session import ComposedProject, Session
from kart_runtime.schedule.feed import BuildProgress, Ended
from kart_runtime.sweeps.keys import Key, Keys, values_of
from kart_runtime.sweeps.samplers import Sampler, Values
from kart_runtime.sweeps.space import Dimension, dimension_of, shown, size_of, texts_of
from kart_runtime.sweeps.trials import KnownTrial, known_trials, trial_line
from kart_runtime.sweeps.variants import Axis, Shared, Words, check_values, session_of, without_effect
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.naming import id_of
from kart_runtime.task.parameters import using_overrides

_MOST_REPEATS = 200
"""Proposals in a row that are known already, after which there is probably nothing left to try."""

_NO_RECORD = "it is complete, but no record has its metrics; delete its output to measure it again"


@dataclass(frozen=True)
class Goal:
    """What a search looks for: the metric of a task, as high or as low as possible."""

    metric: str
    maximize: bool

    def is_better(self, score: float, than: float) -> bool:
        """Return whether a score is better than another one."""
        return score > than if self.maximize else score < than


@dataclass
class Trial:
    """One set of values.

    Attributes
    ----------
    number
        Its number, from 1.
    values
        The values, in the order of the keys of the space, as text.
    task
        The task that is measured; None if it could not be made.
    state
        "open", "done" or "failed".
    score
        The metric; None if it failed.
    error
        What went wrong.
    is_known
        Whether it is of an earlier run.
    """

    number: int
    values: Values
    task: luigi.Task | None = None
    state: str = "open"
    score: float | None = None
    error: str = ""
    is_known: bool = False


@dataclass(frozen=True)
class Space:
    """Keys of a search and what each may take, beside the overrides that all trials share."""

    keys: tuple[Key, ...]
    dimensions: tuple[Dimension, ...]
    fixed: tuple[str, ...] = ()

    def overrides(self, values: Values) -> list[str]:
        """Return the overrides of one trial."""
        return [*self.fixed, *(f"{key.word}={text}" for key, text in zip(self.keys, values, strict=True))]

    def probes(self) -> list[Values]:
        """Return values that differ in every key."""
        texts = [texts_of(dimension) for dimension in self.dimensions]
        return [tuple(each[place] for each in texts) for place in (0, -1)]

    def check_effect(self, make: Callable[[Values], luigi.Task]) -> None:
        """Raise `ConfigError` for keys whose values change nothing of the task that is measured."""
        first, last = self.probes()
        task, errors = make(first), []
        for place, key in enumerate(self.keys):
            if make((*first[:place], last[place], *first[place + 1 :])) == task:
                errors.append(key.refused(without_effect(key, [[task]])))
        raise_all(errors)


@dataclass
class Search:
    """One search; the feed of its build.

    Attributes
    ----------
    composed
        The project.
    space, goal, sampler
        What is tried, what is looked for, and what proposes values.
    make
        Function that returns the task of a session, under its overrides.
    number
        Number of trials to reach.
    parallel
        Number of trials that may be open at once.
    on_end
        Called with each trial that has ended.
    shared
        What all trials share; to be active while the search goes on.
    """

    composed: ComposedProject
    space: Space
    goal: Goal
    sampler: Sampler
    make: Callable[[Session], luigi.Task]
    number: int
    parallel: int
    on_end: Callable[[Trial], None]
    shared: Shared = field(init=False)
    trials: list[Trial] = field(default_factory=list)
    left_out: int = 0
    """Trials of the label that are of another configuration."""
    is_exhausted: bool = False
    error: KartError | None = None
    """Why the search has ended early."""
    _open: list[Trial] = field(default_factory=list)
    _scores: dict[Values, float | None] = field(default_factory=dict)
    """Values to what came of them; None while the trial is open, or if it has failed."""

    def __post_init__(self) -> None:
        shared = Shared.of(list(map(self._session, self.space.probes())))
        several = {key.recorded: shown(each) for key, each in zip(self.space.keys, self.space.dimensions, strict=True)}
        self.shared = replace(shared, session=replace(shared.session, several=several))

    def check(self) -> None:
        """Raise `ConfigError` for keys without effect; the configuration that trials share has to be active."""
        self.space.check_effect(self._make)

    @property
    def best(self) -> Trial | None:
        """Return the best trial; None if none was measured."""
        best: Trial | None = None
        for trial in self.trials:
            if trial.score is not None and (best is None or self.goal.is_better(trial.score, best.score or 0.0)):
                best = trial
        return best

    # -- earlier runs ------------------------------------------------------------------------------------------------

    def resume(self, workspace: str, label: str) -> None:
        """Add the trials of earlier runs with a label that are still the same tasks."""
        with open_index(workspace) as index:
            known = known_trials(index, workspace, label)
        names = [key.full for key in self.space.keys]
        found: dict[Values, KnownTrial] = {}
        for trial in known:
            if sorted(trial.values) == sorted(names):
                found[tuple(trial.values[name] for name in names)] = trial  # of several, the newest
            else:
                self.left_out += 1
        for values, trial in found.items():
            self._add_known(values, trial)

    def _add_known(self, values: Values, trial: KnownTrial) -> None:
        score = _number(trial.metrics.get(self.goal.metric)) if trial.state == "done" else None
        try:
            for dimension, text in zip(self.space.dimensions, values, strict=True):
                dimension.value(text)
            task = self._make(values)
        except Exception:  # noqa: BLE001 - whatever a task raises: it is not the task of then
            task = None
        if task is None or id_of(task) != trial.task or (trial.state == "done" and score is None):
            self.left_out += 1
            return
        self.sampler.add(values, score)
        if score is not None:  # a failed one may succeed now: it is tried again if it is proposed
            self._scores[values] = score
        error = "" if trial.state == "done" else "failed in an earlier run"
        self.trials.append(Trial(len(self.trials) + 1, values, task, trial.state, score, error, is_known=True))

    # -- the feed ----------------------------------------------------------------------------------------------------

    def first(self) -> list[luigi.Task]:
        """Return the tasks to begin with."""
        return [task for _ in range(self.parallel) if (task := self._ask()) is not None]

    def more(self, build: BuildProgress) -> Sequence[luigi.Task]:
        """Tell what the trials that have ended have measured, and return the task of a further one."""
        for trial in list(self._open):
            ended = build.ended(trial.task) if trial.task is not None else None
            if ended is not None:
                self._end(trial, ended, build)
        if self.error is not None or len(self._open) >= self.parallel or build.free_workers < 1:
            return ()
        task = self._ask()
        return () if task is None else (task,)

    def refused(self, tasks: Sequence[luigi.Task], error: BaseException) -> None:
        """Tell that a trial could not be planned."""
        for trial in [trial for trial in self._open if trial.task in tasks]:
            self._fail(trial, error)
        if isinstance(error, PublishRefused):
            self.error = error

    def _ask(self) -> luigi.Task | None:
        """Return the task of the next trial; None if there is none to begin."""
        while self.error is None and not self.is_exhausted and len(self.trials) < self.number:
            values = self._proposal()
            if values is None:
                self.is_exhausted = True
                return None
            trial = Trial(len(self.trials) + 1, values)
            self.trials.append(trial)
            self._open.append(trial)
            self._scores[values] = None
            try:
                trial.task = self._make(values)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - only this trial cannot be made
                self._fail(trial, error)
            else:
                return trial.task
        return None

    def _proposal(self) -> Values | None:
        """Return values that were not tried; None if there are none."""
        size = size_of(self.space.dimensions)
        if size is not None and len(self._scores) >= size:
            return None
        for _ in range(_MOST_REPEATS):
            values = self.sampler.ask()
            if values not in self._scores:
                return values
            self.sampler.tell(values, self._scores[values])
        return None

    def _session(self, values: Values) -> Session:
        return session_of(self.composed, self.space.keys, self.space.overrides(values))

    def _make(self, values: Values) -> luigi.Task:
        session = self._session(values)
        with using_overrides(self.shared.variant(session)):
            return self.make(session)

    def _end(self, trial: Trial, ended: Ended, build: BuildProgress) -> None:
        """Tell what came of a trial, and record it."""
        metrics = ended.metrics if ended.metrics is not None or ended.error is not None else _recorded(trial.task)
        if ended.error is not None:
            self._fail(trial, ended.error)
        elif metrics is None:
            self._fail(trial, LookupError(_NO_RECORD))
        else:
            self._measure(trial, metrics)
        if self.error is None and isinstance(trial.task, TaskOnKart):
            values = dict(zip((key.full for key in self.space.keys), trial.values, strict=True))
            build.note(trial.task, trial_line(values, id_of(trial.task), trial.state, metrics or {}))

    def _measure(self, trial: Trial, metrics: Mapping[str, float | str]) -> None:
        metric = self.goal.metric
        if metric not in metrics:
            self.error = self.error or _unknown_metric(metric, metrics, trial)
            self._fail(trial, self.error)
            return
        score = _number(metrics[metric])
        if score is None:
            self._fail(trial, ValueError(f"{metric} is {metrics[metric]}"))
            return
        trial.state, trial.score = "done", score
        self._tell(trial)

    def _fail(self, trial: Trial, error: BaseException) -> None:
        trial.state, trial.error = "failed", described(error).partition("\n")[0]
        self._tell(trial)

    def _tell(self, trial: Trial) -> None:
        self._open.remove(trial)
        self._scores[trial.values] = trial.score
        self.sampler.tell(trial.values, trial.score)
        self.on_end(trial)


def _number(value: Any) -> float | None:
    """Return a metric as a finite number; None for "nan" and the like, which are texts, and without one."""
    return float(value) if isinstance(value, int | float) else None


def _recorded(task: luigi.Task | None) -> Mapping[str, float | str] | None:
    """Return what a task measured when it ran last; None without a record, as after Ctrl-C in a thread that went on."""
    if not isinstance(task, TaskOnKart):
        return {}
    with open_index(task.workspace_directory) as index:
        record = index.newest(task.make_unique_id(), type(task).__module__)
    return record.metrics if record is not None else None


def _unknown_metric(metric: str, metrics: Mapping[str, float | str], trial: Trial) -> ConfigError:
    name = type(trial.task).__name__
    known = ", ".join(metrics) or f"a task that measures something: {name} logs no metric, and dumps no metrics.json"
    return ConfigError(
        f"{name} has no metric {metric}", key="--metric", expected=known, suggestion=closest_match(metric, metrics)
    )


def space_of(composed: ComposedProject, overrides: Sequence[str]) -> Space:
    """Return what the overrides of a command line let a search try; raise `ConfigError` with all that are wrong."""
    keys, errors = Keys(composed), list[ConfigError]()
    found: dict[str, tuple[Key, Dimension | None, str]] = {}
    for override in overrides:
        try:
            word, text = split_override(override)
            key = keys.find(word)
            if key.full in found:
                raise key.refused("it is set twice", "one of them")
            dimension = dimension_of(key, text)
            found[key.full] = key, dimension, override if dimension is not None else f"{word}={values_of(key, text)[0]}"
        except ConfigError as error:
            errors.append(error)
    raise_all(errors)
    searched = [(key, dimension) for key, dimension, _ in found.values() if dimension is not None]
    if not searched:
        composed.session([text for _, _, text in found.values()])  # a key that is unknown comes first
        raise ConfigError(
            "no key has several values to try", expected="a range or a list, such as TrainModel.max_depth=2..12"
        )
    fixed = tuple(override for _, dimension, override in found.values() if dimension is None)
    axes = [Axis((key,), tuple((text,) for text in texts_of(dimension))) for key, dimension in searched]
    check_values(composed, Words(fixed, tuple(axes)))
    return Space(tuple(key for key, _ in searched), tuple(dimension for _, dimension in searched), fixed)
