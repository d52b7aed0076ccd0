"""Resources that running tasks share, by name, for example ``{"gpu": 1, "memory_gb": 8}``.

A task declares what it needs, as in luigi (`resources`, or `process_resources()`); a build says how much there is. The
scheduler starts a task only if what it needs is free.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import luigi

from kart_runtime.errors import ConfigError
from kart_runtime.task.parameters import luigi_section

Needs = tuple[tuple[str, float], ...]
"""Name and amount, sorted by name."""


_DUST = 1e-9
"""Rounding error that adding and subtracting amounts may leave."""


class Limits:
    """Limit of each resource, and how much of it is taken.

    A resource without a limit defaults to 1, as in luigi; a task that needs more of it runs while no other task uses
    it.
    """

    def __init__(self, stated: Mapping[str, float]) -> None:
        self._stated = {**_configured(), **stated}
        self._taken: dict[str, float] = {}

    def needs_of(self, task: luigi.Task) -> Needs:
        """Return what a task needs; raises `ConfigError` if that exceeds a limit."""
        declared = task.process_resources()
        if not declared:
            return ()
        for name, amount in declared.items():
            self._check(task, name, amount)
        return tuple(sorted(declared.items()))

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
            if taken + amount > (1 if limit is None else limit) + _DUST and (taken or limit is not None):
                return False
        return True

    def take(self, needs: Needs) -> None:
        """Take what a task needs."""
        for name, amount in needs:
            self._taken[name] = self._taken.get(name, 0) + amount

    def give_back(self, needs: Needs) -> None:
        """Release what a task needed."""
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
