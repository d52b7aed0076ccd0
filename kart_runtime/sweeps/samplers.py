"""Samplers: what proposes the next values of a search. `random` needs no library, the others are those of optuna."""

from __future__ import annotations

import importlib.util
import random
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

from kart_runtime.errors import ConfigError, closest_match, require_extra
from kart_runtime.sweeps.space import Choices, Dimension

Values = tuple[str, ...]

SAMPLERS = ("random", "tpe", "cmaes", "gp", "qmc")
"""Names of the samplers."""


class Sampler(Protocol):
    """What proposes values, and hears what came of them; a score of None is that of a failed trial."""

    def ask(self) -> Values:
        """Return the values of a further trial."""
        ...

    def tell(self, values: Values, score: float | None) -> None:
        """Hear what came of values that `ask` returned."""
        ...

    def add(self, values: Values, score: float | None) -> None:
        """Hear of a trial of an earlier run."""
        ...


def default_sampler() -> str:
    """Return the sampler to use if none is named: tpe if optuna is installed."""
    return "tpe" if importlib.util.find_spec("optuna") is not None else "random"


def make_sampler(name: str, dimensions: Sequence[Dimension], *, maximize: bool, seed: int | None) -> Sampler:
    """Return the sampler of a name; raise `ConfigError` if there is none, or a library is missing."""
    if name not in SAMPLERS:
        raise ConfigError(
            f"unknown sampler '{name}'",
            key="--sampler",
            expected=", ".join(SAMPLERS),
            suggestion=closest_match(name, SAMPLERS),
        )
    return _Random(dimensions, seed) if name == "random" else _Optuna(name, dimensions, maximize=maximize, seed=seed)


class _Random:
    """Values drawn without regard to what came of others; each trial has a stream of its own, so a search resumes."""

    def __init__(self, dimensions: Sequence[Dimension], seed: int | None) -> None:
        self._dimensions = dimensions
        self._seed = random.SystemRandom().getrandbits(64) if seed is None else seed
        self._number = 0

    def ask(self) -> Values:
        rng = random.Random(f"{self._seed}:{self._number}")
        self._number += 1
        return tuple(dimension.draw(rng) for dimension in self._dimensions)

    def tell(self, values: Values, score: float | None) -> None:
        """Do nothing."""

    def add(self, values: Values, score: float | None) -> None:  # noqa: ARG002 - for those that learn
        self._number += 1


class _Optuna:
    """Values that a sampler of optuna proposes."""

    def __init__(self, name: str, dimensions: Sequence[Dimension], *, maximize: bool, seed: int | None) -> None:
        with require_extra(f"kart search with the sampler {name} needs optuna (--sampler random does not)", "search"):
            import optuna

        self._optuna: Any = optuna
        self._name, self._seed = name, seed
        self._dimensions = dimensions
        self._distributions = {str(place): self._distribution(each) for place, each in enumerate(dimensions)}
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study: Any = optuna.create_study(direction="maximize" if maximize else "minimize")
        self._open: dict[Values, list[Any]] = {}
        self._known = 0
        self._is_ready = False

    def _distribution(self, dimension: Dimension) -> Any:
        kinds = self._optuna.distributions
        if isinstance(dimension, Choices):
            return kinds.CategoricalDistribution(dimension.texts)
        if dimension.is_int:
            step = int(dimension.step or 1)
            return kinds.IntDistribution(int(dimension.first), int(dimension.last), log=dimension.is_log, step=step)
        step_of_float = None if dimension.step is None else float(dimension.step)
        return kinds.FloatDistribution(
            float(dimension.first), float(dimension.last), log=dimension.is_log, step=step_of_float
        )

    def ask(self) -> Values:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is new in optuna
            if not self._is_ready:
                self._study.sampler, self._is_ready = self._sampler(), True
            trial = self._study.ask(self._distributions)
        values = tuple(each.text(trial.params[str(place)]) for place, each in enumerate(self._dimensions))
        self._open.setdefault(values, []).append(trial)
        return values

    def _sampler(self) -> Any:
        samplers = self._optuna.samplers
        # Another stream of random numbers than before, where earlier trials are known.
        seed = None if self._seed is None else (self._seed + self._known) % 2**32
        with require_extra(f"the sampler {self._name} of optuna lacks a library (--sampler tpe needs none)", "search"):
            if self._name == "tpe":
                return samplers.TPESampler(seed=seed, constant_liar=True, multivariate=len(self._dimensions) > 1)
            kind = {"cmaes": samplers.CmaEsSampler, "gp": samplers.GPSampler, "qmc": samplers.QMCSampler}[self._name]
            return kind(seed=seed)

    def tell(self, values: Values, score: float | None) -> None:
        trial = self._open[values].pop()
        state = self._optuna.trial.TrialState.FAIL if score is None else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study.tell(trial, score, state=state)

    def add(self, values: Values, score: float | None) -> None:
        trials = self._optuna.trial
        state = trials.TrialState.FAIL if score is None else trials.TrialState.COMPLETE
        params = {
            str(place): dimension.value(text)
            for place, (dimension, text) in enumerate(zip(self._dimensions, values, strict=True))
        }
        self._study.add_trial(
            trials.create_trial(params=params, distributions=self._distributions, value=score, state=state)
        )
        self._known += 1
