"""Metaclass of tasks, which returns the existing task for equal parameters.

Parameters are resolved once for each call. luigi's own registry of task objects is used, so that clearing or disabling
it works as usual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import luigi
from luigi import task_register

from kart_runtime.errors import ReservedName, TaskError
from kart_runtime.task.parameters import ONE_TEXT, accepted, completed, declaration, forget_declarations, kinds_of
from kart_runtime.task.parameters.annotated import make_parameters
from kart_runtime.task.parameters.inheritance import ATTRIBUTE as SOURCES

if TYPE_CHECKING:
    from kart_runtime.task.parameters.resolution import Declaration, Defaults


_SEPARATING = frozenset("/\\\0")


class InvalidName(TaskError, ValueError):
    """The name of a task class, or of its module, cannot be a part of a path.

    Parameters
    ----------
    task
        Name of the class.
    name
        The name at fault.
    """

    def __init__(self, task: str, name: str) -> None:
        self.task, self.name = task, name
        super().__init__(
            f"{task!r}: {name!r} cannot be the name of a task class or of its module, since files are named by it and "
            "it would lead out of the workspace. Use letters, digits and underscores."
        )


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
                key = _key(declared, defaults, given)
                task = known.get(key) if known is not None else None
            except (TypeError, ValueError, AttributeError):  # a value without a hash, or without a text
                known = task = None
            if task is None:
                values = completed(declared, defaults, given)
                if declared.hidden:
                    declared.note_hidden(values)
                task = _instance(cls, args, kwargs, given, values)
                if known is not None:
                    task = known.setdefault(key, task)
            return task

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> None:  # noqa: N805
        super().__init__(name, bases, members)
        known = task_register.Register._reg
        try:
            _check_class_name(cls)
            make_parameters(cls, members)
            _check_names(cls, {key: value for base in cls.__mro__[::-1] for key, value in vars(base).items()})
        except TaskError:
            known.remove(cls)
            raise
        # A notebook cell that is run again defines its class again: the new one counts where a task is found by name.
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
        _check_names(cls, {name: value})
        super().__setattr__(name, value)
        # luigi.util.inherits adds parameters to finished classes.
        if isinstance(value, luigi.Parameter) or name in ("task_namespace", SOURCES):
            forget_declarations()


def register_again(cls: Any) -> None:
    """Let luigi find a class that has been loaded again, in place of the empty one that cloudpickle makes meanwhile."""
    known = task_register.Register._reg
    known[:] = [*(other for other in known if other is not cls and not _is_earlier(other, cls)), cls]


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


def _key(declared: Declaration, defaults: Defaults, given: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a task is known by: its class, and the values in which it differs from the class's defaults.

    Their kinds belong to it: 1, 1.0 and True are equal, but not one parameter value.
    """
    parts: list[Any] = [declared.cls, defaults.version]
    for name in given if len(given) < 2 else sorted(given):
        value, default = given[name], defaults.values[name]
        hash(value)  # what has no hash may answer == by something that is no bool, as arrays do
        if value is not default:
            kind: Any = type(value)
            differs = kind is not type(default) or value != default
            if kind not in ONE_TEXT:
                param = declared.params[name]
                kind = kinds_of(value, param)
                differs = differs or kind != kinds_of(default, param)
            if differs:
                parts += (name, value, kind)
    return tuple(parts)


def _instance(
    cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any], given: dict[str, Any], values: dict[str, Any]
) -> Any:
    task = cls.__new__(cls)
    if cls.__init__ is cls._plain_init:
        task._adopt(values)
        task._kart.arguments = (), given
    else:
        task.__init__(*args, **kwargs)
        task._kart.arguments = args, kwargs
    return task


def _check_names(cls: Any, params: dict[str, Any]) -> None:
    """Raise `ReservedName` if the engine uses the name of a parameter for something that is no parameter."""
    for name, param in params.items():
        if not isinstance(param, luigi.Parameter) or isinstance(param, _SETTINGS.get(name, ())) or name in _SHADOWED:
            continue
        if name in _OF_OBJECTS or any(_uses(base, name) for base in cls.__mro__):
            raise ReservedName(cls.__name__, name, f"{cls.__name__.lower()}_{name.strip('_')}")


def _check_class_name(cls: type) -> None:
    """Raise `InvalidName` for a name, as `type()` takes any, that the files named by it cannot have."""
    for name in (cls.__name__, cls.__module__):
        if not _SEPARATING.isdisjoint(name) or ".." in name:
            raise InvalidName(cls.__name__, name)


def _uses(base: type, name: str) -> bool:
    engine = base is object or base.__module__ == "luigi.task" or base.__module__.startswith("kart_runtime.")
    return engine and name in vars(base) and not isinstance(vars(base)[name], luigi.Parameter)


_SHADOWED: frozenset[str] = frozenset(
    {
        "folder",
        "load_previous",
        "load_range",
        "log_metric",
        "log_metrics",
        "memory_gb",
        "progress",
        "publish",
        "retries",
        "retry_delay",
        "scratch",
        "suffix",
        "timeout",
    }
)
"""Members of `TaskOnKart` that gokart has not: a parameter of this name takes their place in its class, as programs
written for gokart may have one. So the engine itself never calls them on a task, and ignores what is a parameter."""

_OF_OBJECTS = {"param_kwargs", "task_log", "_kart", "_kart_run", "_kart_reran"}
"""Attributes that each task object has, and its class has not."""

_SETTINGS: dict[str, Any] = {
    "executor": luigi.Parameter,
    "priority": (luigi.IntParameter, luigi.FloatParameter, luigi.NumericalParameter),
    "resources": luigi.DictParameter,
}
"""Attributes of luigi's tasks that are plain values, which a parameter of the right kind may give as well."""
