"""Publication of a task's output under a fixed name: by the command, or after a build by the attribute `publish`."""

from __future__ import annotations

import logging
import math
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import luigi

from kart_runtime.errors import warn
from kart_runtime.history.publication import SHORT, Publication, PublishRefused, check_path, is_folder_name, suffix_of
from kart_runtime.history.published import PublishedFile
from kart_runtime.history.records import records_of
from kart_runtime.storage.target import OutputRecord, Target
from kart_runtime.storage.workspace import Workspace
from kart_runtime.task import identity
from kart_runtime.task.base import TaskOnKart, is_complete, kart_task
from kart_runtime.task.naming import display_name
from kart_runtime.task.nested import iter_flat
from kart_runtime.task.placeholders import filled_name, own_parameters
from kart_runtime.task.run_metadata import visible_params

logger = logging.getLogger(__name__)

_MOST_TASKS = 500
"""Tasks upstream of a published one that are asked for metrics, nearest first."""

_MOST_BYTES, _MOST_NUMBERS = 1 << 16, 100
"""Size of a JSON file, and numbers in it, that may be metrics; more of them are data."""

_PARALLEL_REQUESTS = 16


# -- one publication -------------------------------------------------------------------------------------------------


def publish(task: TaskOnKart[Any], path: str, key: str | None = None) -> Publication:
    """Publish an output of a complete task; `key` names one of several. Raises `PublishRefused`."""
    target = checked_output(task, path, key)
    if Path(target.url).is_dir():
        name = type(task).__name__
        raise PublishRefused(
            path,
            f"the output of {name} is a folder that {name} has made itself. Declare it as {name}(TaskOnKart[Path]), "
            "fill the path of self.folder(), and publish it under a name without a suffix.",
        )
    record, output = _recorded(task, target)
    publication = Publication(
        path,
        id="",
        size=0,
        published="",  # when it is
        task=type(task).__name__,
        module=type(task).__module__,
        unique_id=task.make_unique_id(),
        params=visible_params(task),
        output=target.url.removeprefix(Workspace(task.workspace_directory).base),
        run_id=record.run_id if record is not None else "",
        computed=record.started if record is not None else "",
        commit=_commit_of(type(task)),
        metrics=metrics_of(task),
    )
    return PublishedFile(task.workspace_directory, path).publish(target.url, output, publication)


def checked_output(task: TaskOnKart[Any], path: str, key: str | None = None) -> Target:
    """Return the target of the output to publish; raise `PublishRefused` if the name does not fit it."""
    workspace = task.workspace_directory
    check_path(path, workspace)
    target = _output(task, path, key)
    _check_suffix(task, path, target)
    url = PublishedFile(workspace, path).url
    records = records_of(workspace)
    records.load()
    writer = records.writer(url)
    if writer is not None or url in {getattr(each, "url", None) for each in iter_flat(task.output())}:
        name = writer.task if writer is not None else type(task).__name__
        raise PublishRefused(path, f"it is the path of the output of {name}. Choose another name.")
    return target


def _check_suffix(task: TaskOnKart[Any], path: str, target: Target) -> None:
    """Raise `PublishRefused` unless a name ends like the output; that of a folder has no suffix."""
    name, stored = type(task).__name__, suffix_of(target.url)
    if target.is_folder:
        if not is_folder_name(path):
            example = f"{path[: -len(suffix_of(path))]}'"
            raise PublishRefused(
                path,
                f"{name} stores a folder, whose name has no suffix, and no dot in its last part. Write '{example}.",
            )
    elif not stored:
        raise PublishRefused(
            path, f"{name} stores a file without a suffix, which says how a file is read. Give the output one."
        )
    elif stored != suffix_of(path):
        raise PublishRefused(
            path,
            f"{name} stores {stored}, and the suffix says how the file is read. Choose a name that ends in {stored}.",
        )


def _output(task: TaskOnKart[Any], path: str, key: str | None) -> Target:
    """Return the one output of a task, or that of a key."""
    name, output = type(task).__name__, task.output()
    if key is not None or isinstance(output, dict):
        keys = [str(each) for each in output] if isinstance(output, dict) else []
        if key not in keys:
            known = f"its outputs are {', '.join(keys)}" if keys else "it has one output, without a name"
            advice = f"Name one of them: --key {keys[0]}, or publish = {{'{keys[0]}': '{path}'}} in the class."
            raise PublishRefused(
                path,
                f"{name} has no output '{key}'; {known}."
                if key is not None
                else f"{name} has several: {known}. {advice}",
            )
        output = output[key]
    targets = list(iter_flat(output))
    if len(targets) != 1:
        raise PublishRefused(
            path, f"{name} has {len(targets)} outputs. Return a dict in output(), to name one of them."
        )
    target = targets[0]
    # Other targets, such as those in memory or of luigi, have no bytes under one key.
    if not isinstance(target, Target):
        raise PublishRefused(path, f"the output of {name} is a {type(target).__name__}, and not a file of a workspace.")
    return target


def _recorded(task: TaskOnKart[Any], target: Target) -> tuple[Any, OutputRecord | None]:
    """Return the record of a task, and that of one of its outputs; None for what is not recorded."""
    records = records_of(task.workspace_directory)
    record = records.find(task.make_unique_id(), type(task).__module__)
    if record is None:
        return None, None
    return record, next((one for one in record.outputs if records.absolute(one.url) == target.url), None)


def _commit_of(cls: type) -> str:
    """Return the git commit of the folder of a class's module, "" if there is none."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    program = shutil.which("git")
    if program is None:
        return ""
    command = [program, "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    folder = Path(file).parent if file else Path.cwd()
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=20)  # noqa: S603
        return done.stdout.strip() if not done.returncode else ""
    return ""


# -- metrics ---------------------------------------------------------------------------------------------------------


def metrics_of(task: TaskOnKart[Any]) -> dict[str, dict[str, Any]]:
    """Return what a task and those upstream of it have logged or dumped as numbers: class name to name to value."""
    tasks = list(islice(_nearest_first(task), _MOST_TASKS))
    with ThreadPoolExecutor(min(_PARALLEL_REQUESTS, len(tasks)), "kart-metrics") as threads:
        found = list(threads.map(_metrics, tasks))
    metrics: dict[str, dict[str, Any]] = {}
    for each, values in zip(tasks, found, strict=True):
        if values:
            name = type(each).__name__
            metrics[name if name not in metrics else display_name(each)] = values
    return metrics


def _nearest_first(root: TaskOnKart[Any]) -> Iterator[TaskOnKart[Any]]:
    waiting: list[luigi.Task] = [root]
    seen = {id(root)}
    for task in waiting:  # it grows
        kart = kart_task(task)
        if kart is None or kart.run is None:
            continue
        yield kart
        for dependency in identity.dependencies(task):
            if id(dependency) not in seen:
                seen.add(id(dependency))
                waiting.append(dependency)


def _metrics(task: TaskOnKart[Any]) -> dict[str, Any]:
    """Return what one task has put into its task log, and the numbers in its JSON outputs."""
    values: dict[str, Any] = {}
    with suppress(Exception):  # they explain the publication, and are no reason to fail
        values |= {
            name: _plain(value) for name, value in task.get_task_log().items() if name != "file_path"
        }  # kart's own
    with suppress(Exception):
        for target in iter_flat(task.output()):
            stat = target.stat() if getattr(target, "url", "").endswith(".json") else None
            if stat is not None and stat.size <= _MOST_BYTES:
                values |= _numbers(target.load())
    return values


def _numbers(value: Any) -> dict[str, Any]:
    """Return a dict that holds nothing but numbers, and dicts of them; else an empty one."""
    if not isinstance(value, dict) or not value:
        return {}
    leaves = list(_leaves(value))
    is_metrics = len(leaves) <= _MOST_NUMBERS and all(isinstance(leaf, int | float) for leaf in leaves)
    return _plain(value) if is_metrics else {}


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    else:
        yield value


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; what it has not becomes text, and numbers that are none become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()  # a scalar of numpy
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


# -- after a build ---------------------------------------------------------------------------------------------------


class Publications(NamedTuple):
    """What a build has published: a line for each, and the errors of those that could not be published."""

    published: tuple[str, ...] = ()
    failed: Mapping[luigi.Task, BaseException] = {}


def publishing(tasks: Iterable[luigi.Task]) -> list[TaskOnKart[Any]]:
    """Return the tasks whose classes say that they are published."""
    tasks = list(tasks)
    classes = {cls for cls in set(map(type, tasks)) if _is_set(getattr(cls, "publish", None))}
    return [task for task in tasks if type(task) in classes and isinstance(task, TaskOnKart)] if classes else []


def _is_set(publish: Any) -> bool:
    # A parameter or method of this name is one of the user's own.
    return publish is not None and not isinstance(publish, luigi.Parameter | property) and not callable(publish)


def names_of(task: TaskOnKart[Any]) -> dict[str, str | None]:
    """Return the names under which a task is published by its attribute, and the key of the output for each."""
    publish: Any = type(task).publish
    keys: dict[Any, Any] = {None: publish} if isinstance(publish, str) else {}
    if isinstance(publish, Mapping):
        keys = dict(publish)
    if not keys or not all(isinstance(path, str) for path in keys.values()):
        raise PublishRefused(
            str(publish),
            f"the attribute 'publish' of {type(task).__name__} is a {type(publish).__name__}. Set it to a path, or to "
            "a dict from keys of output() to paths.",
        )
    return {filled_name(task, path): key for key, path in keys.items()}


def check_publications(tasks: Iterable[luigi.Task]) -> None:
    """Raise `PublishRefused`, before anything runs, if a name does not fit or two tasks would be published as it."""
    by_name: dict[tuple[str, str], TaskOnKart[Any]] = {}
    for task in publishing(tasks):
        for path, key in names_of(task).items():
            checked_output(task, path, key)
            other = by_name.setdefault((Workspace(task.workspace_directory).normalized, path), task)
            if other is not task:
                raise PublishRefused(
                    path,
                    f"{display_name(other)} and {display_name(task)} would both be published as it. "
                    f"{_advice(task)}, or leave 'publish' out of the class, and choose one of them by: kart publish",
                )


def _advice(task: TaskOnKart[Any]) -> str:
    """Return how the tasks of a class get names of their own: by a parameter in braces."""
    names = own_parameters(type(task))
    return f"Add a parameter to the name, such as {{{names[0]}}}" if names else "Give each class a name of its own"


def publish_finished(tasks: Iterable[luigi.Task], unfinished: Collection[luigi.Task]) -> Publications:
    """Publish the complete tasks of a build whose classes say so and that are not what is published already."""
    lines: list[str] = []
    failed: dict[luigi.Task, BaseException] = {}
    for task in publishing(tasks):
        if task in unfinished:
            continue
        try:
            lines += _publish_one(task)
        except Exception as error:  # noqa: BLE001 - the output stays, and the others go on
            failed[task] = error
    return Publications(tuple(lines), failed)


def _publish_one(task: TaskOnKart[Any]) -> Iterator[str]:
    if not is_complete(task):
        return
    for path, key in names_of(task).items():
        target = checked_output(task, path, key)
        if _is_new(task, path, target):
            publication = publish(task, path, key)
            yield f"{publication.source} published as {path} ({publication.id[:SHORT]})"


def _is_new(task: TaskOnKart[Any], path: str, target: Target) -> bool:
    """Return whether an output is neither published nor one that somebody has gone back from."""
    file = PublishedFile(task.workspace_directory, path)
    _, output = _recorded(task, target)
    current = file.find(file.current())
    checksum = None if output is None else output.checksum
    if current is not None and current.unique_id == task.make_unique_id() and checksum in (None, current.checksum):
        return False
    entry = file.find(checksum.partition(":")[2]) if checksum else None
    if entry is None or not entry.withdrawn:
        return True
    warn(
        logger,
        "%s is not published as %s, because you went back from it. To publish it again: kart publish %s",
        display_name(task),
        path,
        type(task).__name__,
    )
    return False
