"""What do running tasks share that there is only so much of? Resources by name: ``{"gpu": 1, "memory_gb": 8}``.

A task says what it needs, as luigi's tasks do (`resources`, or `process_resources()`); a build says how much there is.
Called by `schedule`, which starts a task only while what it needs is free.
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
"""What adding and subtracting amounts may leave of nothing."""


class Limits:
    """How much of each resource there is, and how much of it is taken.

    Of a resource that nobody states a limit for there is 1, as in luigi; a task that needs more of it runs while no
    other task uses it.

    Parameters
    ----------
    stated
        Name to amount. What luigi's configuration says in its section ``[resources]`` counts for the others.
    """

    def __init__(self, stated: Mapping[str, float]) -> None:
        self._stated = {**_configured(), **stated}
        self._taken: dict[str, float] = {}

    def needs_of(self, task: luigi.Task) -> Needs:
        """Return what a task needs.

        Parameters
        ----------
        task
            Any luigi task.

        Raises
        ------
        ConfigError
            When it is more than there will ever be, or no amount.
        """
        declared = task.process_resources()
        if not declared:
            return ()
        for name, amount in declared.items():
            self._check(task, name, amount)
        return tuple(sorted(declared.items()))

    def _check(self, task: luigi.Task, name: str, amount: Any) -> None:
        key = f"{task.get_task_family()}.resources"
        if isinstance(amount, bool) or not isinstance(amount, int | float) or amount < 0:
            raise ConfigError(f"'{name}' is {amount!r}, which is no amount", key=key, expected="a number of at least 0")
        limit = self._stated.get(name)
        if limit is not None and amount > limit:
            raise ConfigError(
                f"{task.get_task_family()} needs {amount:g} of '{name}', and run.resources.{name} is {limit:g}: "
                "it could never run",
                key=key,
                expected=f"at most {limit:g}",
            )

    def fits(self, needs: Needs) -> bool:
        """Return whether everything that is needed is free."""
        for name, amount in needs:
            taken, limit = self._taken.get(name, 0), self._stated.get(name)
            if taken + amount > (1 if limit is None else limit) + _DUST and (taken or limit is not None):
                return False
        return True

    def take(self, needs: Needs) -> None:
        """Count what a task that starts needs as taken."""
        for name, amount in needs:
            self._taken[name] = self._taken.get(name, 0) + amount

    def give_back(self, needs: Needs) -> None:
        """Count what a task that has ended needed as free."""
        for name, amount in needs:
            left = self._taken[name] - amount
            self._taken[name] = left if left > _DUST else 0


def _configured() -> dict[str, float]:
    """Return what luigi's configuration says; luigi itself takes whole numbers only."""
    config: Any = luigi.configuration.get_config()
    found: dict[str, float] = {}
    for name, text in luigi_section("resources").items():
        if name in config.defaults():  # of the section [DEFAULT], which stands in for every other
            continue
        try:
            found[name] = float(text)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"luigi's configuration says '{name}' is {text!r}, which is no amount",
                key=f"resources.{name}",
                expected="a number",
            ) from error
    return found
