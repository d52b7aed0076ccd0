"""What is known of one task? A `TaskInfo`, with those of everything upstream below it.

Made for `tree` and `table`. The graph is walked without recursion, each task is asked once, and the objects of one
graph are shared where tasks are.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import luigi

from kart_runtime.plan.graph import build_graph
from kart_runtime.storage.target import path_of
from kart_runtime.task import identity
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.naming import id_of, name_of
from kart_runtime.task.nested import iter_flat


class RequiredTask(NamedTuple):
    """A task in `TaskInfo.requires`.

    Attributes
    ----------
    name
        The class name; of a plain luigi task the family.
    unique_id
        The unique id; of a plain luigi task the task id.
    """

    name: str
    unique_id: str


@dataclass(eq=False)
class TaskInfo:
    """What is known of one task. Pickles, copies and compares at any depth.

    Attributes
    ----------
    name, unique_id
        As of `RequiredTask`.
    output_paths
        Where the outputs lie.
    params
        The significant parameters as text.
    processing_time
        For example "0.25s"; "unknown" when it was not stored.
    is_complete
        "COMPLETE" or "PENDING".
    task_log
        What `run()` has logged.
    requires
        A `RequiredTask` for each task, in the form of `requires()`; tuples and generators as lists.
    children_task_infos
        The same of each required task that is not ignored, in order; one object where the task is the same.
    """

    name: str
    unique_id: str
    output_paths: list[str]
    params: dict[str, Any]
    processing_time: str
    is_complete: str
    task_log: dict[str, Any]
    requires: Any
    children_task_infos: list[TaskInfo] = field(repr=False)

    def get_task_id(self) -> str:
        """Return the name and the id, by which tree and table know a task again."""
        return f"{self.name}_{self.unique_id}"

    def get_task_title(self) -> str:
        """Return what a line of the tree shows."""
        return f"({self.is_complete}) {self.name}[{self.unique_id}]"

    def get_task_detail(self) -> str:
        """Return what a line of the tree shows more when details are wanted."""
        return (
            f"(parameter={self.params}, output={self.output_paths}, time={self.processing_time}, "
            f"task_log={self.task_log})"
        )

    def task_info_dict(self) -> dict[str, Any]:
        """Return a row of the table: everything but the children."""
        return {name: value for name, value in vars(self).items() if name != "children_task_infos"}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskInfo):
            return NotImplemented
        waiting: list[tuple[TaskInfo, TaskInfo]] = [(self, other)]
        seen = {(id(self), id(other))}
        while waiting:
            one, another = waiting.pop()
            children = list(zip(one.children_task_infos, another.children_task_infos, strict=False))
            if len(one.children_task_infos) != len(another.children_task_infos):
                return False
            if one.task_info_dict() != another.task_info_dict():
                return False
            new = [pair for pair in children if (id(pair[0]), id(pair[1])) not in seen]
            seen.update((id(left), id(right)) for left, right in new)
            waiting.extend(new)
        return True

    __hash__ = None  # type: ignore[assignment]  # it can be changed, as gokart's can

    def __reduce__(self) -> tuple[Any, ...]:
        """Give a flat list: pickle and copy would otherwise recurse once for each task of a chain."""
        infos = _upstream_first(self)
        places = {id(info): place for place, info in enumerate(infos)}
        rows = [(info.task_info_dict(), [places[id(child)] for child in info.children_task_infos]) for info in infos]
        return _rebuilt, (rows,)


def _upstream_first(root: TaskInfo) -> list[TaskInfo]:
    found: dict[int, TaskInfo] = {}
    waiting = [(root, False)]
    while waiting:
        info, children_are_found = waiting.pop()
        if id(info) in found:
            continue
        if children_are_found:
            found[id(info)] = info
            continue
        waiting.append((info, True))
        waiting.extend((child, False) for child in reversed(info.children_task_infos))
    return list(found.values())


def _rebuilt(rows: Sequence[tuple[Mapping[str, Any], Sequence[int]]]) -> TaskInfo:
    infos: list[TaskInfo] = []
    for values, children in rows:
        infos.append(TaskInfo(**values, children_task_infos=[infos[place] for place in children]))
    return infos[-1]


def make_task_info_tree(
    task: luigi.Task, ignore_task_names: Collection[str] | None = None, cache: dict[str, TaskInfo] | None = None
) -> TaskInfo:
    """Return what is known of a task, with what is known of everything upstream below it.

    Parameters
    ----------
    task
        The root. It and its requirements may be plain luigi tasks.
    ignore_task_names
        Class names (or families) of tasks that are left out, with what only they require; never the root.
    cache
        Objects that earlier calls made, by name, id and state; it is used and extended.

    Raises
    ------
    CyclicDependency
        When tasks require one another in a circle.
    NotATask
        When something else is given or required.
    """
    identity.check_task(task, "make_task_info_tree()")
    infos: dict[luigi.Task, TaskInfo] = {}
    wanted = _without_ignored(task, frozenset(ignore_task_names or ()))
    with warnings.catch_warnings():
        # Luigi says it of every plain task that only groups others.
        warnings.filterwarnings("ignore", message="Task .* without outputs has no custom complete")
        for one, upstream in wanted.items():
            info = _info(one, [infos[child] for child in upstream])
            known_as = f"{info.get_task_id()}_{info.is_complete == 'COMPLETE'}"
            infos[one] = info if cache is None else cache.setdefault(known_as, info)
    return infos[task]


def _without_ignored(root: luigi.Task, ignored: frozenset[str]) -> dict[luigi.Task, list[luigi.Task]]:
    """Return each task that is shown with those shown below it, upstream before downstream."""
    graph = build_graph([root]).by_task()
    wanted, shown = {root}, {}
    for task in reversed(graph):
        if task in wanted:
            # With the repetitions that requires() has, which the walk drops and the tree shows.
            own = identity.dependencies(task)
            named = frozenset(own)
            upstream = [*own, *(one for one in graph[task] if one not in named)]
            shown[task] = [one for one in upstream if not {type(one).__name__, name_of(one)} & ignored]
            wanted.update(shown[task])
    return {task: shown[task] for task in reversed(shown)}


def _info(task: luigi.Task, children: list[TaskInfo]) -> TaskInfo:
    is_complete = "COMPLETE" if task.complete() else "PENDING"
    paths = [path_of(target) for target in iter_flat(task.output())]
    if isinstance(task, TaskOnKart):
        seconds = task.get_processing_time()
        time = seconds if isinstance(seconds, str) else f"{seconds}s"
        params, log = task.get_info(only_significant=True), dict(task.get_task_log())
    else:
        time, log = "unknown", {}
        params = task.to_str_params(only_significant=True, only_public=True)
    required = make_requires_info(identity.requirements(task))
    return TaskInfo(name_of(task), id_of(task), paths, params, time, is_complete, log, required, children)


def make_requires_info(requires: Any) -> Any:
    """Return what `requires()` gave with a `RequiredTask` for each task; dicts stay, other collections become lists.

    Parameters
    ----------
    requires
        A task, nested collections of tasks, or None, which gives an empty list.

    Raises
    ------
    NotATask
        When it holds something else.
    """
    if isinstance(requires, luigi.Task):
        return RequiredTask(name_of(requires), id_of(requires))
    if isinstance(requires, Mapping):
        return {key: make_requires_info(item) for key, item in requires.items()}
    if requires is None:
        return []
    if isinstance(requires, Iterable) and not isinstance(requires, str | bytes | type):
        return [make_requires_info(item) for item in requires]
    identity.check_task(requires, "requires()")
    return requires
