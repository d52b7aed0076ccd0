"""Metaclass of tasks, which returns the existing task for equal parameters.

Parameters are resolved once for each call. luigi's own registry of task objects is used, so that clearing or disabling
it works as usual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import luigi
from luigi import task_register
from luigi.freezing import FrozenOrderedDict

from kart_runtime.task.parameters import accepted, completed, declaration, forget_declarations
from kart_runtime.task.parameters.inheritance import ATTRIBUTE as SOURCES


class TaskMeta(task_register.Register):
    """Metaclass that returns the existing task for equal parameters.

    A class whose constructor is the engine's own (`_plain_init`) is given the values that were resolved; a constructor
    of the user's own is called as Python would, since it may change the arguments.
    """

    if not TYPE_CHECKING:  # else type checkers would take its word, and not the fields of the class, for the arguments

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - a metaclass
            """Return the task with these parameters."""
            known: dict[Any, Any] | None = task_register.Register._Register__instance_cache  # type: ignore[attr-defined]
            declared = declaration(cls)
            defaults = declared.defaults()
            given = accepted(declared, args, kwargs)
            try:
                key = _key(cls, defaults.version, defaults.values, given)
                task = known.get(key) if known is not None else None
            except TypeError:  # a value that cannot be hashed
                known = task = None
            if task is None:
                task = _instance(cls, args, kwargs, completed(declared, defaults, given))
                if known is not None:
                    task = known.setdefault(key, task)
            return task

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> None:  # noqa: N805
        super().__init__(name, bases, members)
        # A notebook cell that is run again defines its class again: the new one counts where a task is found by name.
        known = task_register.Register._reg
        known[:] = [other for other in known if other is cls or not _is_earlier(other, cls)]

    @classmethod
    def clear_instance_cache(metacls) -> None:  # noqa: N804
        """Forget the task objects, of all classes, as luigi does."""
        task_register.Register.clear_instance_cache()  # luigi's own would clear a dict of this metaclass

    @classmethod
    def disable_instance_cache(metacls) -> None:  # noqa: N804
        """Make a new task object for each call from now on, for all classes, as luigi does."""
        task_register.Register.disable_instance_cache()

    def __setattr__(cls, name: str, value: Any) -> None:  # noqa: N805
        super().__setattr__(name, value)
        # luigi.util.inherits adds parameters to finished classes.
        if isinstance(value, luigi.Parameter) or name in ("task_namespace", SOURCES):
            forget_declarations()


def _is_earlier(other: Any, cls: Any) -> bool:
    return (
        other.__name__ == cls.__name__
        and other.__module__ == cls.__module__
        and other.__qualname__ == cls.__qualname__
        and other.get_task_family() == cls.get_task_family()
        and other not in cls.__mro__
    )


def forget_classes() -> None:
    """Let luigi forget every task class that a user's module defines, and the task objects; the classes still work."""
    keep = ("luigi", "kart_runtime")
    known = task_register.Register._reg
    known[:] = [cls for cls in known if cls.__module__.partition(".")[0] in keep or issubclass(cls, luigi.Config)]


def _key(cls: type, version: int, defaults: dict[str, Any], given: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a task is known by: its class, and the values in which it differs from the class's defaults.

    The types belong to it: 1, 1.0 and True are equal, but not one parameter value.
    """
    parts: list[Any] = [cls, version]
    for name in given if len(given) < 2 else sorted(given):
        value, default = given[name], defaults[name]
        hash(value)  # what has no hash may answer == by something that is no bool, as arrays do
        if value is not default:
            kind = _kind(value)
            if type(value) is not type(default) or value != default or kind != _kind(default):
                parts += (name, value, kind)
    return tuple(parts)


def _kind(value: Any) -> Any:
    """Return the types in a value, nested like the value; zeros as text, since 0.0 and -0.0 are equal, too."""
    kind = type(value)
    if kind is tuple:
        return tuple(map(_kind, value))
    if kind is FrozenOrderedDict:
        return tuple(map(_kind, value.values()))
    return str(value) if kind is float and not value else kind


def _instance(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any], values: dict[str, Any]) -> Any:
    task = cls.__new__(cls)
    if cls.__init__ is cls._plain_init:
        task._adopt(values)
    else:
        task.__init__(*args, **kwargs)
    return task
