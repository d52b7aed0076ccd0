"""State of a task and of everything upstream, as objects, and the tree and table rows made from them.

The graph is walked without recursion, each task is queried once, and equal tasks share one object.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import luigi

from kart_runtime.errors.secrets import masked_copy
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
    """State of one task. Pickles, copies and compares at any depth.

    Attributes
    ----------
    name, unique_id
        As in `RequiredTask`.
    output_paths
        Paths of the outputs.
    params
        The significant parameters as text.
    processing_time
        For example "0.25s"; "unknown" when it was not recorded.
    is_complete
        "COMPLETE" or "PENDING".
    task_log
        What `run()` has logged.
    requires
        A `RequiredTask` for each task, in the structure of `requires()`; tuples and generators become lists.
    children_task_infos
        The same for each required task that is not ignored, in order; equal tasks share one object.
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
        """Return the name and the id, which identify a task in a tree or table."""
        return f"{self.name}_{self.unique_id}"

    def get_task_title(self) -> str:
        """Return the text of a line of the tree."""
        return f"({self.is_complete}) {self.name}[{self.unique_id}]"

    def get_task_detail(self) -> str:
        """Return the text that follows the title when details are shown."""
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
        stack: list[tuple[TaskInfo, TaskInfo]] = [(self, other)]
        seen = {(id(self), id(other))}
        while stack:
            left, right = stack.pop()
            if len(left.children_task_infos) != len(right.children_task_infos):
                return False
            if left.task_info_dict() != right.task_info_dict():
                return False
            for pair in zip(left.children_task_infos, right.children_task_infos, strict=True):
                if (id(pair[0]), id(pair[1])) not in seen:
                    seen.add((id(pair[0]), id(pair[1])))
                    stack.append(pair)
        return True

    __hash__ = None  # type: ignore[assignment]  # it is mutable, as in gokart

    def __reduce__(self) -> tuple[Any, ...]:
        """Give a flat list: pickle and copy would otherwise recurse once for each task of a chain."""
        return _rebuilt, (_flat(self),)


def _flat(root: TaskInfo) -> list[tuple[dict[str, Any], list[int]]]:
    """Return each object's row and the positions of its children, upstream first."""
    positions: dict[int, int] = {}
    rows: list[tuple[dict[str, Any], list[int]]] = []
    stack = [(root, False)]
    while stack:
        info, children_done = stack.pop()
        if id(info) in positions:
            continue
        if children_done:
            positions[id(info)] = len(rows)
            rows.append((info.task_info_dict(), [positions[id(child)] for child in info.children_task_infos]))
            continue
        stack.append((info, True))
        stack.extend((child, False) for child in reversed(info.children_task_infos))
    return rows


def _rebuilt(rows: Sequence[tuple[Mapping[str, Any], Sequence[int]]]) -> TaskInfo:
    infos: list[TaskInfo] = []
    for values, children in rows:
        infos.append(TaskInfo(**values, children_task_infos=[infos[position] for position in children]))
    return infos[-1]


def make_task_info_tree(
    task: luigi.Task, ignore_task_names: Collection[str] | None = None, cache: dict[str, TaskInfo] | None = None
) -> TaskInfo:
    """Return the state of a task, with the state of everything upstream below it.

    Parameters
    ----------
    task
        The root. It and its requirements may be plain luigi tasks.
    ignore_task_names
        Class names (or families) of tasks to leave out, with what only they require; never the root.
    cache
        Objects that earlier calls made, by name, id and state; this call uses and extends it.

    Returns
    -------
    TaskInfo
        The root.

    Raises
    ------
    CyclicDependency
        Tasks depend on one another in a cycle.
    NotATask
        The root or a requirement is not a task.
    """
    identity.check_task(task, "make_task_info_tree()")
    infos: dict[luigi.Task, TaskInfo] = {}
    with warnings.catch_warnings():
        # luigi warns about every plain task that only groups others.
        warnings.filterwarnings("ignore", message="Task .* without outputs has no custom complete")
        for shown, upstream in _without_ignored(task, frozenset(ignore_task_names or ())).items():
            info = _info(shown, [infos[child] for child in upstream])
            key = f"{info.get_task_id()}_{info.is_complete == 'COMPLETE'}"
            infos[shown] = info if cache is None else cache.setdefault(key, info)
    return infos[task]


def _without_ignored(root: luigi.Task, ignored: frozenset[str]) -> dict[luigi.Task, list[luigi.Task]]:
    """Return each task to show with the tasks below it, upstream before downstream."""
    graph = build_graph([root]).by_task()
    reached, shown = {root}, {}
    for task in reversed(graph):
        if task in reached:
            # With the repetitions in requires(), which the graph drops and the tree shows.
            required = identity.dependencies(task)
            others = set(graph[task]).difference(required)
            upstream = [*required, *(dependency for dependency in graph[task] if dependency in others)]
            shown[task] = [item for item in upstream if not {type(item).__name__, name_of(item)} & ignored]
            reached.update(shown[task])
    return {task: shown[task] for task in reversed(shown)}


def _info(task: luigi.Task, children: list[TaskInfo]) -> TaskInfo:
    is_complete = "COMPLETE" if task.complete() else "PENDING"
    paths = [path_of(target) for target in iter_flat(task.output())]
    if isinstance(task, TaskOnKart):
        seconds = task.get_processing_time()
        time = seconds if isinstance(seconds, str) else f"{seconds}s"
        params, log = task.get_info(only_significant=True), masked_copy(dict(task.get_task_log()))
    else:
        time, log = "unknown", {}
        params = task.to_str_params(only_significant=True, only_public=True)
    required = make_requires_info(identity.requirements(task))
    return TaskInfo(name_of(task), id_of(task), paths, params, time, is_complete, log, required, children)


def make_requires_info(requires: Any) -> Any:
    """Return the structure of `requires()` with a `RequiredTask` for each task.

    Parameters
    ----------
    requires
        A task, nested collections of tasks, or None, which gives an empty list.

    Returns
    -------
    RequiredTask, dict or list
        Dicts stay dicts, other collections become lists.

    Raises
    ------
    NotATask
        It holds something else.
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


_make_requires_info = make_requires_info  # gokart's name


def tree_lines(  # noqa: PLR0917 - gokart's signature
    task_info: TaskInfo,
    indent: str = "",
    last: bool = True,
    details: bool = False,
    abbr: bool = True,
    visited_tasks: set[str] | None = None,
) -> Iterator[str]:
    """Yield the lines of a tree, each made on demand.

    A line is indented by its depth, so the text of a chain grows with the square of its length: 600 MB for 20,000
    tasks, which a caller may want to write without holding it in memory.

    Parameters
    ----------
    task_info
        The root.
    indent
        Text before the root.
    last
        Whether the root is drawn as the last of its siblings.
    details
        Whether to show parameters, outputs, time and log.
    abbr
        Whether a task that was already shown is abbreviated.
    visited_tasks
        Ids of the tasks that count as already shown; this call extends it.
    """
    visited = set() if visited_tasks is None else visited_tasks
    stack = [(task_info, indent, last)]
    while stack:
        info, indent, last = stack.pop()
        line = f"{indent}{'└─-' if last else '|--'}{info.get_task_title()}"
        indent += "   " if last else "|  "
        if abbr and info.get_task_id() in visited:
            yield line
            yield f"{indent}└─- ..."
            continue
        visited.add(info.get_task_id())
        yield line + info.get_task_detail() if details else line
        for position, child in enumerate(reversed(info.children_task_infos)):
            stack.append((child, indent, position == 0))


def make_tree_info(  # noqa: PLR0917 - gokart's signature
    task_info: TaskInfo,
    indent: str = "",
    last: bool = True,
    details: bool = False,
    abbr: bool = True,
    visited_tasks: set[str] | None = None,
) -> str:
    """Return a tree as text; it begins with a line break.

    Parameters
    ----------
    task_info, indent, last, details, abbr, visited_tasks
        As for `tree_lines`.
    """
    return "\n".join(("", *tree_lines(task_info, indent, last, details, abbr, visited_tasks)))


def make_tree_info_table_list(task_info: TaskInfo, visited_tasks: set[str] | None = None) -> list[dict[str, Any]]:
    """Return a dict for each task of a tree, in the tree's order, each task once.

    Parameters
    ----------
    task_info
        The root.
    visited_tasks
        Ids of the tasks to leave out; this call extends it.
    """
    visited = set() if visited_tasks is None else visited_tasks
    rows, stack = [], [task_info]
    while stack:
        info = stack.pop()
        if info.get_task_id() not in visited:
            visited.add(info.get_task_id())
            rows.append(info.task_info_dict())
            stack.extend(reversed(info.children_task_infos))
    return rows
