"""Methods of `TaskOnKart` under the names that gokart gave them, which programs written for it call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import reduce
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, cast

import luigi

from kart_runtime.task import identity
from kart_runtime.task.state import Identity


class GokartMethods:
    """Base class of `TaskOnKart` with small methods of gokart's."""

    if TYPE_CHECKING:
        _kart: Identity
        _generic_base: ClassVar[Any]

    @property
    def task_unique_id(self) -> str | None:
        """Return the unique id if it has been worked out, and is cached; else None."""
        return self._kart.unique_id

    @task_unique_id.setter
    def task_unique_id(self, unique_id: str | None) -> None:
        """Set the unique id, as code written for gokart does."""
        self._kart.unique_id = unique_id

    @staticmethod
    def get_code(target_class: Any) -> set[str]:
        """Return the sources of the methods of a class.

        Parameters
        ----------
        target_class
            A class, or an object of it.
        """
        return identity.sources(target_class if isinstance(target_class, type) else type(target_class))

    @staticmethod
    def try_set_seed(methods: Sequence[str], random_seed: int) -> list[str]:
        """Call functions with a seed; return the names of those that exist.

        Parameters
        ----------
        methods
            Their dotted paths, as in `fix_random_seed_methods`.
        random_seed
            The seed.
        """
        done = []
        for name in methods:
            module, *rest = name.split(".")
            with suppress(ModuleNotFoundError, AttributeError):
                reduce(getattr, rest, cast("Any", import_module(module)))(random_seed)
                done.append(name)
        return done

    def get_own_code(self) -> str:
        """Return the sorted source of the methods that the class and its bases add to the engine's.

        Raises
        ------
        PlanError
            The source cannot be found.
        """
        return identity.own_code(cast("Any", type(self)), self._generic_base)

    @staticmethod
    def is_task_on_kart(value: Any) -> bool:
        """Return whether a value is a task, or a tuple of tasks, which a task requires by default.

        Parameters
        ----------
        value
            An attribute of a task.
        """
        return _is_tasks(value)

    def make_task_instance_dictionary(self) -> dict[str, Any]:
        """Return the tasks held as parameters, by name."""
        return {name: value for name, value in vars(self).items() if type(value) not in _PLAIN and _is_tasks(value)}


_PLAIN = frozenset({str, int, float, bool, type(None), dict})
"""Types of most attributes of a task, which are asked before luigi's abstract class, whose isinstance() is slow."""


def _is_tasks(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(isinstance(item, luigi.Task) for item in value)
    return isinstance(value, luigi.Task)
