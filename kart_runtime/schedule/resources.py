"""Resources that running tasks share, by name, for example ``{"gpu": 1, "memory_gb": 8}``.

A task declares what it needs, as in luigi (`resources`, or `process_resources()`); a build says how much there is. The
scheduler starts a task only if what it needs is free.

Two resources are real things. `memory_gb` is what the attribute of that name says where a task states no other need of
it, and there is as much of it as the machine has. For `gpu`, tasks are given GPUs by their names (`gpus`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import luigi

from kart_runtime.errors import ConfigError, warn
from kart_runtime.execution.memory import GB, machine_bytes
from kart_runtime.schedule.gpus import Gpus, visible_gpus
from kart_runtime.task.limits import memory_gb_of
from kart_runtime.task.parameters import luigi_section

logger = logging.getLogger(__name__)

GPU, MEMORY = "gpu", "memory_gb"

Needs = tuple[tuple[str, float], ...]
"""Name and amount, sorted by name."""


_DUST = 1e-9
"""Rounding error that adding and subtracting amounts may leave."""


class Limits:
    """Limit of each resource, and how much of it is taken.

    A resource without a limit defaults to 1, as in luigi, but for memory; a task that needs more of it runs while no
    other task uses it. On a cluster (`elsewhere`), memory and GPUs of this machine have no meaning.
    """

    def __init__(self, stated: Mapping[str, float], elsewhere: bool = False) -> None:
        self._stated = {**_configured(), **stated}
        self._taken: dict[str, float] = {}
        self._elsewhere = elsewhere
        self._defaults: dict[str, float] = {}
        self._gpus: Gpus | None = None

    def needs_of(self, task: luigi.Task) -> Needs:
        """Return what a task needs; raises `ConfigError` if that exceeds a limit."""
        declared = task.process_resources()
        memory_gb = memory_gb_of(task)
        if memory_gb is not None:
            declared = {MEMORY: memory_gb, **declared}
        if not declared:
            return ()
        for name, amount in declared.items():
            self._look_up(name)
            self._check(task, name, amount)
        return tuple(sorted(declared.items()))

    def _look_up(self, name: str) -> None:
        """Find out how much memory there is, or which GPUs, when the first task needs it."""
        if name == MEMORY and name not in self._defaults:
            size = None if self._elsewhere else machine_bytes()
            self._defaults[name] = float("inf") if size is None else size / GB
        elif name == GPU and self._gpus is None:
            stated = self._stated.get(GPU)
            self._gpus = Gpus(() if self._elsewhere else visible_gpus(stated))
            if 0 < len(self._gpus) < (stated or 0):
                text = "run.resources.gpu is %g, but this program sees %d (CUDA_VISIBLE_DEVICES): using %d."
                warn(logger, text, stated, len(self._gpus), len(self._gpus))
            if len(self._gpus) and (stated is None or stated > len(self._gpus)):
                self._stated[GPU] = len(self._gpus)

    def _check(self, task: luigi.Task, name: str, amount: Any) -> None:
        key = f"{task.get_task_family()}.resources"
        if isinstance(amount, bool) or not isinstance(amount, int | float) or amount < 0:
            raise ConfigError(
                f"'{name}' is {amount!r}, which is not an amount", key=key, expected="a number of at least 0"
            )
        limit = self._stated.get(name)
        if limit is not None and amount > limit:
            raise ConfigError(
                f"{task.get_task_family()} needs {amount:g} of '{name}', but run.resources.{name} is {limit:g}, so it "
                "can never run. Raise the limit, or lower the task's `resources`.",
                key=key,
                expected=f"at most {limit:g}",
            )

    def fits(self, needs: Needs) -> bool:
        """Return whether everything that a task needs is free."""
        for name, amount in needs:
            taken, limit = self._taken.get(name, 0), self._stated.get(name)
            most = self._defaults.get(name, 1) if limit is None else limit
            if taken + amount > most + _DUST and (taken or limit is not None):
                return False
            if name == GPU and self._gpus and not self._gpus.fits(amount):
                return False
        return True

    def take(self, needs: Needs) -> tuple[str, ...]:
        """Take what a task needs; return the names of its GPUs."""
        gpus: tuple[str, ...] = ()
        for name, amount in needs:
            self._taken[name] = self._taken.get(name, 0) + amount
            if name == GPU and self._gpus:
                gpus = self._gpus.take(amount)
        return gpus

    def give_back(self, needs: Needs, gpus: Sequence[str] = ()) -> None:
        """Release what a task needed."""
        if gpus and self._gpus is not None:
            self._gpus.give_back(gpus, dict(needs)[GPU])
        for name, amount in needs:
            left = self._taken[name] - amount
            self._taken[name] = left if left > _DUST else 0


def _configured() -> dict[str, float]:
    """Return the limits in luigi's configuration; luigi itself accepts whole numbers only."""
    config: Any = luigi.configuration.get_config()
    limits: dict[str, float] = {}
    for name, text in luigi_section("resources").items():
        if name in config.defaults():  # of the section [DEFAULT], which stands in for every other
            continue
        try:
            limits[name] = float(text)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"luigi's configuration says '{name}' is {text!r}, which is not an amount",
                key=f"resources.{name}",
                expected="a number",
            ) from error
    return limits
