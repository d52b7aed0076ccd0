"""What is a task called? Its unique id, the one that gokart 1.12 gives, so that old workspaces stay valid.

The id is the MD5 of the text of a list: the ids of the required tasks in order, the significant parameters as a dict of
text, and the class name. It is worked out for a whole graph at once, upstream before downstream and without recursion,
and kept with each instance. Everything that could change an id stands in this module and in `parameters.kinds`.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import luigi

from kart_runtime.errors import CyclicDependency, NotATask, PlanError, UnstableValue
from kart_runtime.task.nested import flatten, iter_flat

if TYPE_CHECKING:
    from collections.abc import Callable

    from kart_runtime.storage.target import OutputRecord


@dataclass(slots=True)
class EngineState:
    """What the engine keeps with one task instance; held as `task._kart`.

    Attributes
    ----------
    str_params
        The significant parameters as text.
    hash
        The hash of the instance.
    unique_id
        The id, once it is known.
    required
        What `requires()` returned: a task or nested lists, tuples and dicts of tasks.
    dependencies
        The tasks in `required`, flat.
    serialized, abbreviated
        The text of the task as somebody's parameter, and whether it holds the id instead of the parameters.
    stored
        What the current attempt has dumped.
    reran
        Whether a task with `rerun` has been run again, a bool or a `rerun.OutputsRewritten`. None: unknown.
    by_attempt
        Whether an attempt of ours runs the task, and not luigi's worker.
    output
        What `output()` returned to the plan, or else to the current attempt; forgotten when the attempt ends.
    rng
        The task's random generator, once it was asked for.
    may_commit
        Raises when the lock of the current attempt may be lost; None where nothing is locked.
    """

    str_params: dict[str, str] | None = None
    hash: int | None = None
    unique_id: str | None = None
    required: Any = None
    dependencies: tuple[luigi.Task, ...] | None = None
    serialized: str | None = None
    abbreviated: bool = False
    stored: tuple[OutputRecord, ...] = ()
    reran: Any = None
    by_attempt: bool = False
    output: Any = None
    rng: Any = None
    may_commit: Callable[[], None] | None = None


def engine_state_of(task: luigi.Task) -> EngineState | None:
    """Return what the engine keeps with a task; None for a luigi task that is not kart's.

    Parameters
    ----------
    task
        Any luigi task.
    """
    found: EngineState | None = task.__dict__.get("_kart")
    return found


def _settled(structure: Any) -> Any:
    """Return a structure that can be gone through again and has an order: generators as tuples, sets as sorted ones."""
    if isinstance(structure, set | frozenset):
        return tuple(sorted(structure, key=_sorting_key))
    if isinstance(structure, Iterator):
        return tuple(structure)
    return structure


def _sorting_key(task: Any) -> str:
    return str(task.make_unique_id() if hasattr(task, "make_unique_id") else getattr(task, "task_id", repr(task)))


def requirements(task: luigi.Task) -> Any:
    """Return what a task requires, in the form that `requires()` gave it; asked once and kept with the instance.

    Parameters
    ----------
    task
        Any luigi task.
    """
    kept = engine_state_of(task)
    if kept is None or (kept.dependencies is None and not _keeps(task)):
        return _settled(task.requires())
    if kept.dependencies is None:
        _ask(task, kept)
    return kept.required


def _ask(task: luigi.Task, kept: EngineState) -> tuple[luigi.Task, ...]:
    required = _settled(task.requires())
    dependencies = tuple(flatten(required))
    _check(task, dependencies)
    kept.required, kept.dependencies = required, dependencies
    return dependencies


def _keeps(task: luigi.Task) -> bool:
    return bool(task.cache_unique_id)  # type: ignore[attr-defined]  # asked of kart's tasks only


def _check(task: luigi.Task, dependencies: tuple[Any, ...]) -> None:
    for found in dependencies:
        if not hasattr(found, "_kart"):  # isinstance() is slow here, since luigi's classes are abstract ones
            check_task(found, f"{task.get_task_family()}.requires()")


def check_task(found: Any, where: str) -> None:
    """Raise `NotATask` when something is no task.

    Parameters
    ----------
    found
        What stands where a task is wanted.
    where
        Where that is, for the message.
    """
    if isinstance(found, luigi.Task):
        return
    if isinstance(found, type):
        raise NotATask(where, f"the class {found.__name__}, which has to be called,")
    raise NotATask(where, f"{type(found).__name__} {found!r}")


def dependencies(task: luigi.Task) -> tuple[luigi.Task, ...]:
    """Return the tasks that a task requires, flat, in order.

    Parameters
    ----------
    task
        Any luigi task.

    Raises
    ------
    NotATask
        When `requires()` holds something else.
    """
    kept: EngineState | None = getattr(task, "_kart", None)
    if kept is not None and kept.dependencies is not None:
        return kept.dependencies
    if kept is not None and _keeps(task):
        return _ask(task, kept)
    found = tuple(iter_flat(requirements(task)))
    _check(task, found)
    return found


def unique_id(task: luigi.Task) -> str:
    """Return the unique id of a task, working out those of all its upstream tasks first where they are not known.

    Parameters
    ----------
    task
        A kart task.

    Raises
    ------
    CyclicDependency
        When the tasks require one another in a circle.
    """
    kept = engine_state_of(task)
    if kept is not None and kept.unique_id is not None:
        return kept.unique_id
    known: dict[int, str] = {}
    _assign(task, known)
    return known[id(task)]


def _assign(root: luigi.Task, known: dict[int, str]) -> None:
    """Work out ids in post-order; `known` maps the identity of an instance to its id."""
    waiting = [(root, iter(dependencies(root)))]
    on_path = {id(root): root}
    while waiting:
        task, rest = waiting[-1]
        for upstream in rest:
            kept: EngineState | None = getattr(upstream, "_kart", None)
            if kept is None or kept.unique_id is not None or id(upstream) in known:
                continue
            if id(upstream) in on_path:
                raise CyclicDependency(_circle(list(on_path.values()), upstream))
            on_path[id(upstream)] = upstream
            waiting.append((upstream, iter(dependencies(upstream))))
            break
        else:
            waiting.pop()
            del on_path[id(task)]
            known[id(task)] = _hashed(task, known)
            kept = getattr(task, "_kart", None)
            if kept is not None and _keeps(task):
                kept.unique_id = known[id(task)]


def _circle(path: list[luigi.Task], again: luigi.Task) -> list[str]:
    first = next(place for place, task in enumerate(path) if task is again)
    return [task.get_task_family() for task in path[first:]]


def _hashed(task: luigi.Task, known: Mapping[int, str]) -> str:
    parts: list[Any] = []
    for upstream in dependencies(task):
        kept: EngineState | None = getattr(upstream, "_kart", None)
        if kept is None:
            parts.append(upstream.to_str_params(only_significant=True))
        elif upstream.significant:  # type: ignore[attr-defined]  # kart's own, since something is kept with it
            parts.append(kept.unique_id or known[id(upstream)])
    parts.append(task.to_str_params(only_significant=True))
    parts.append(type(task).__name__)
    if getattr(task, "serialized_task_definition_check", False):
        parts.append(cast("Any", task).get_own_code())
    return hashlib.md5(str(parts).encode(), usedforsecurity=False).hexdigest()


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")
_PLAIN = frozenset({str, int, float, bool, type(None)})


def stable_text(family: str, name: str, param: luigi.Parameter[Any], value: Any) -> str:
    """Return the text of a parameter's value in the unique id, which must be the same in every process.

    Parameters
    ----------
    family
        The task's family, for the message.
    name, param, value
        The parameter and its value.

    Raises
    ------
    UnstableValue
        When the text holds an address in memory, or the order of a set.
    """
    text = param.serialize(value)
    if type(value) not in _PLAIN and (_ADDRESS.search(text) or _holds_set(value)):
        raise UnstableValue(family, name, text)
    return cast("str", text)


def _holds_set(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_set, value.values()))
    if isinstance(value, tuple | list):
        return any(map(_holds_set, value))
    return isinstance(value, set | frozenset)


@cache
def own_code(cls: type, base: type) -> str:
    """Return the source of the methods that a class has and its base has not, sorted and joined, as gokart does.

    Parameters
    ----------
    cls
        A task class.
    base
        The class of the engine whose methods do not count.

    Raises
    ------
    PlanError
        When the source cannot be found: code typed at a prompt, or run by `exec`.
    """
    try:
        return "".join(sorted(_sources(cls) - _sources(base)))
    except OSError as error:
        raise PlanError(
            f"{cls.__name__}: serialized_task_definition_check needs the source of its methods, and there is none "
            f"({error}). Define the task in a file or a notebook cell, or switch the check off."
        ) from error


def _sources(cls: type) -> set[str]:
    methods = inspect.getmembers(cls, lambda found: inspect.isfunction(found) or inspect.ismethod(found))
    return {inspect.getsource(method) for _, method in methods}
