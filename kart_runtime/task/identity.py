"""Unique ids of tasks, the same as gokart 1.12 gives, so that its workspaces stay valid.

The id is the MD5 of the text of a list: the ids of the required tasks in order, the significant parameters as a dict of
text, and the class name. It is worked out for a whole graph at once, upstream before downstream and without recursion,
and stored with each task object. Everything that could change an id is in this module and in `parameters.kinds`.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, cast

import luigi

from kart_runtime.errors import (
    CyclicDependency,
    EndlessRequirements,
    NotATask,
    PlanError,
    UnstableValue,
    described,
    shortened,
)
from kart_runtime.task.nested import flatten, iter_flat, map_structure
from kart_runtime.task.parameters import (
    ActiveOverrides,
    WrongOverride,
    active_overrides,
    under_active_overrides,
    using_overrides,
)
from kart_runtime.task.state import Identity, identity_of, own_overrides

MAX_DEPTH = 100_000
"""Tasks on one path from which on `requires()` is taken to be endless."""

_MAX_ITEMS = 200_000
"""Tasks of one iterator from which on it is taken to be endless."""

_SINGLE = (luigi.Task, str, bytes, type)
"""What is one item of a structure, even if it can be iterated over."""
revalidations: list[Callable[[Iterable[luigi.Task]], None]] = []
"""Called with the requested tasks before a build plans: ids that depend on more than parameters may have changed."""


def _settled(structure: Any) -> Any:
    """Return a structure of lists, tuples and dicts, which can be gone through again and have an order.

    Sets become sorted tuples, other iterables tuples, other mappings dicts, and None an empty list.
    """
    kind = type(structure)
    if kind is list or kind is tuple:
        if not any(map(_can_be_iterated, structure)):
            return structure
        return kind(map(_settled_item, structure))
    if structure is None:
        return []
    return _settled_item(structure) if _can_be_iterated(structure) else structure


def _settled_item(structure: Any) -> Any:
    if not _can_be_iterated(structure):
        return structure
    if isinstance(structure, Mapping):
        return {key: _settled_item(item) for key, item in structure.items()}
    if isinstance(structure, set | frozenset):
        return tuple(sorted(structure, key=_sorting_key))
    may_be_endless = isinstance(structure, Iterator)
    items = [_settled_item(item) for item in (islice(structure, _MAX_ITEMS + 1) if may_be_endless else structure)]
    if may_be_endless and len(items) > _MAX_ITEMS:
        raise EndlessRequirements("?", f"an iterator in it has more than {_MAX_ITEMS:,} items")
    return items if isinstance(structure, list) else tuple(items)


def _can_be_iterated(item: Any) -> bool:
    return hasattr(type(item), "__iter__") and not isinstance(item, _SINGLE)


def endless_chain(path: Sequence[luigi.Task]) -> EndlessRequirements:
    """Return the error for a path that is too deep, of which `path` are the last tasks."""
    names = " requires ".join(f"{task.get_task_family()}({_values(task)})" for task in path)
    return EndlessRequirements(path[-1].get_task_family(), f"more than {MAX_DEPTH:,} tasks require each other: {names}")


def _values(task: luigi.Task) -> str:
    return shortened(
        ", ".join(f"{name}={text}" for name, text in task.to_str_params(only_significant=True).items()), 200
    )


def _sorting_key(task: Any) -> str:
    return str(task.make_unique_id() if hasattr(task, "make_unique_id") else getattr(task, "task_id", repr(task)))


def requirements(task: luigi.Task) -> Any:
    """Return what a task requires, in the structure that `requires()` gave it; asked once and kept with the task."""
    identity = identity_of(task)
    if identity is None or (identity.dependencies is None and not _is_cached(task)):
        return _configured(task, _asked(task))
    if identity.dependencies is None:
        _resolve(task, identity)
    return identity.required


def _asked(task: luigi.Task) -> Any:
    """Call `requires()`, under the overrides under which the task was made."""
    overrides = own_overrides(task)
    try:
        if overrides is None:
            return _settled(task.requires())
        with using_overrides(overrides):
            return _settled(task.requires())
    except EndlessRequirements as error:
        raise EndlessRequirements(task.get_task_family(), error.why) from None
    except WrongOverride as error:
        raise error.required_by(task.get_task_family()) from None
    except RecursionError as error:
        why = f"it calls itself, or what it returns holds itself ({described(error)})"
        raise EndlessRequirements(task.get_task_family(), why) from error


def _configured(task: luigi.Task, required: Any) -> Any:
    with using_overrides(own_overrides(task) or active_overrides()):
        return configured(required)


def configured(structure: Any) -> Any:
    """Return what `requires()` or `run()` gave, settled, and with each task as `under_active_overrides` has it."""
    if isinstance(structure, luigi.DynamicRequirements):
        structure.requirements = configured(structure.requirements)
        return structure
    structure = _settled(structure)
    if not active_overrides().by_class or all(under_active_overrides(task) is task for task in iter_flat(structure)):
        return structure
    return map_structure(structure, under_active_overrides)


def _resolve(task: luigi.Task, identity: Identity) -> tuple[luigi.Task, ...]:
    required = _asked(task)
    dependencies = tuple(flatten(required))
    if not _check(task, dependencies, identity.overrides if identity.overrides.by_class else active_overrides()):
        required = _configured(task, required)
        dependencies = tuple(flatten(required))
    identity.required, identity.dependencies = required, dependencies
    return dependencies


def _is_cached(task: luigi.Task) -> bool:
    return bool(task.cache_unique_id)  # type: ignore[attr-defined]  # asked of kart's tasks only


def _check(task: luigi.Task, dependencies: tuple[Any, ...], overrides: ActiveOverrides | None = None) -> bool:
    """Return whether all dependencies were made under these overrides; raises `NotATask`."""
    alike = True
    for dependency in dependencies:
        # isinstance() is slow here, since luigi's classes are abstract ones
        state: Identity | None = getattr(dependency, "_kart", None)
        if state is None:
            check_task(dependency, f"{task.get_task_family()}.requires()")
        elif state.overrides is not overrides:
            alike = False
    return alike


def check_task(value: Any, where: str) -> None:
    """Raise `NotATask` when something is no task."""
    if isinstance(value, luigi.Task):
        return
    if isinstance(value, type):
        raise NotATask(where, f"the class {value.__name__} (call it)")
    raise NotATask(where, f"{type(value).__name__} {value!r}")


def dependencies(task: luigi.Task) -> tuple[luigi.Task, ...]:
    """Return the tasks that a task requires, flat, in order; raises `NotATask` if `requires()` holds something else."""
    identity: Identity | None = getattr(task, "_kart", None)
    if identity is not None and identity.dependencies is not None:
        return identity.dependencies
    if identity is not None and _is_cached(task):
        return _resolve(task, identity)
    required = tuple(iter_flat(requirements(task)))
    _check(task, required)
    return required


def unique_id(task: luigi.Task) -> str:
    """Return the unique id of a kart task, working out those of its upstream tasks first; raises `CyclicDependency`."""
    identity = identity_of(task)
    if identity is not None and identity.unique_id is not None:
        return identity.unique_id
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
            identity: Identity | None = getattr(upstream, "_kart", None)
            if identity is None or identity.unique_id is not None or id(upstream) in known:
                continue
            if id(upstream) in on_path:
                raise CyclicDependency(_cycle(list(on_path.values()), upstream))
            on_path[id(upstream)] = upstream
            if len(waiting) > MAX_DEPTH:
                raise endless_chain([task for task, _ in waiting[-3:]])
            waiting.append((upstream, iter(dependencies(upstream))))
            break
        else:
            waiting.pop()
            del on_path[id(task)]
            known[id(task)] = _hashed(task, known)
            identity = getattr(task, "_kart", None)
            if identity is not None and _is_cached(task):
                identity.unique_id = known[id(task)]


def _cycle(path: list[luigi.Task], again: luigi.Task) -> list[str]:
    first = next(place for place, task in enumerate(path) if task is again)
    return [task.get_task_family() for task in path[first:]]


def _hashed(task: luigi.Task, known: Mapping[int, str]) -> str:
    parts: list[Any] = []
    for upstream in dependencies(task):
        identity: Identity | None = getattr(upstream, "_kart", None)
        if identity is None:
            parts.append(upstream.to_str_params(only_significant=True))
        elif upstream.significant:  # type: ignore[attr-defined]  # kart's own, since something is kept with it
            parts.append(identity.unique_id or known[id(upstream)])
    parts.append(task.to_str_params(only_significant=True))
    parts.append(type(task).__name__)
    if getattr(task, "serialized_task_definition_check", False):
        parts.append(cast("Any", task).get_own_code())
    return hashlib.md5(str(parts).encode(), usedforsecurity=False).hexdigest()


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")
_PLAIN = frozenset({str, int, float, bool, type(None)})


def stable_text(family: str, name: str, param: luigi.Parameter[Any], value: Any) -> str:
    """Return the text of a parameter's value in the unique id, which must be the same in every process."""
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
    """Return the source of the methods that a class has and its base has not, sorted and joined, as gokart does."""
    try:
        return "".join(sorted(sources(cls) - sources(base)))
    except OSError as error:
        raise PlanError(
            f"{cls.__name__}: serialized_task_definition_check needs the source of its methods, and there is none "
            f"({error}). Define the task in a file or a notebook cell, or switch the check off."
        ) from error


def sources(cls: type) -> set[str]:
    """Return the sources of the methods of a class."""
    methods = inspect.getmembers(cls, lambda found: inspect.isfunction(found) or inspect.ismethod(found))
    return {inspect.getsource(method) for _, method in methods}
