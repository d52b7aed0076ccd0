"""Command `kart clean`: delete the files that the records of runs name, and nothing else."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Collection, Sequence

import luigi

from kart_runtime.cli.arguments import downstream_of, open_session, planning, tasks_from_args
from kart_runtime.cli.deletion import dry_run_summary, report_deletion, size_lines, workspaces
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import counted
from kart_runtime.errors import ConfigError
from kart_runtime.history.cleanup.files import RemovalResult
from kart_runtime.history.cleanup.recorded import recorded_classes, recorded_files
from kart_runtime.history.cleanup.running import delete_recorded
from kart_runtime.history.cleanup.scratch import abandoned_scratch, delete_abandoned
from kart_runtime.plan.graph import build_graph
from kart_runtime.project import Session
from kart_runtime.project.names import TaskNames
from kart_runtime.project.problems import raise_all


def execute(arguments: argparse.Namespace) -> int:
    """Print what is or would be deleted, by task, with its size."""
    session, names = open_session(arguments)
    with session:
        tasks, gone = _resolve(session, names, downstream=arguments.downstream)
        users = _users(session, tasks) if tasks else set()
        classes = {_identity(task) for task in (tasks | users if arguments.downstream else tasks)} | gone
        recorded = [recorded_files(workspace, session.project.root, classes) for workspace in workspaces(session)]
        scratch = abandoned_scratch(workspaces(session), session.project.root, classes={name for _, name in classes})
    by_task: dict[str, dict[str, int]] = defaultdict(dict)
    for workspace_files in recorded:
        for task, sizes in workspace_files.by_task.items():
            by_task[task] |= sizes
    for task, folders in scratch.items():
        by_task[task] |= {str(path): size for path, size in folders.items()}
    sizes = {place: size for group in by_task.values() for place, size in group.items()}
    for line in size_lines(by_task):
        print(line)
    if not sizes:
        print("Nothing to delete.")
    elif not arguments.yes:
        print(dry_run_summary(sizes.values()))
    else:
        result = RemovalResult()
        in_use = delete_recorded(recorded, result)
        delete_abandoned(scratch, result)
        if in_use:
            runs = ", ".join(sorted(set(in_use.values())))
            print(f"{counted(len(in_use), 'file')} stay, because a running run uses them: {runs}")
        if users and result.deleted and not arguments.downstream:
            print(
                f"What depends on {_names(tasks)} was not deleted: {_names(users)}. Where that is complete, the "
                "deleted results are not needed and not computed again. To delete it, too, pass --downstream."
            )
        return report_deletion(result.deleted.values(), result.failed)
    return ExitCode.OK


def _resolve(
    session: Session, names: Sequence[str], *, downstream: bool
) -> tuple[set[type[luigi.Task]], set[tuple[str, str]]]:
    """Return the tasks with these names, and module and name of those that only the records of runs still have."""
    tasks: set[type[luigi.Task]] = set()
    gone: set[tuple[str, str]] = set()
    errors: list[ConfigError] = []
    recorded: dict[str, tuple[str, str]] | None = None
    for name in names:
        known = session.names.find(name.removeprefix(f"{session.project.package}."))
        if known is not None:
            tasks.add(session.tasks[known])
            continue
        recorded = _recorded(session) if recorded is None else recorded
        try:
            full = TaskNames(dict.fromkeys([*session.tasks, *recorded], luigi.Task)).resolve(name, file="command line")
        except ConfigError as error:
            errors.append(error)
            continue
        if downstream:
            message = f"{name} is no longer in the code, so kart cannot tell what depends on it"
            errors.append(ConfigError(f"{message}. Leave out --downstream.", file="command line"))
        gone.add(recorded[full])
    raise_all(errors)
    return tasks, gone


def _recorded(session: Session) -> dict[str, tuple[str, str]]:
    """Return the classes that the records of runs name and the code no longer has, by full name."""
    current = {_identity(task) for task in session.tasks.values()}
    root = session.project.root
    classes = {cls for workspace in workspaces(session) for cls in recorded_classes(workspace, root)}
    return {f"{module}.{task}": (module, task) for module, task in sorted(classes - current)}


def _identity(task: type[luigi.Task]) -> tuple[str, str]:
    return task.__module__, task.__name__


def _users(session: Session, tasks: Collection[type[luigi.Task]]) -> set[type[luigi.Task]]:
    """Return the classes of what depends on some tasks in the plan of `run.task`."""
    if session.settings.run.task is None:
        return set()
    with planning(session):
        graph = build_graph(tasks_from_args(session, []))
    return {type(task) for task in downstream_of(tasks, graph)} - set(tasks)


def _names(tasks: Collection[type[luigi.Task]]) -> str:
    return ", ".join(sorted(task.__name__ for task in tasks))
