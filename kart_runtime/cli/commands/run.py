"""Command `kart run`: run tasks and their incomplete dependencies."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import luigi

from kart_runtime.builder import run_build
from kart_runtime.cli.arguments import as_plan_error, open_sweep, options_to_overrides, planning, roots_from_args
from kart_runtime.cli.display import make_display
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.logs import logging_as
from kart_runtime.cli.ranges import Part, date_words, ranges_from_args
from kart_runtime.cli.swept import swept_roots
from kart_runtime.history.run_header import RunInfo
from kart_runtime.plan.decisions import Plan
from kart_runtime.project import Session
from kart_runtime.schedule.events import Event, PlanMade
from kart_runtime.storage.folder_target import FolderTarget
from kart_runtime.storage.target import path_of
from kart_runtime.task.nested import iter_flat

_MAX_OUTPUTS = 20
"""Outputs to list; of more, which a range of dates has, only the first and the last."""


def execute(arguments: argparse.Namespace) -> int:
    """Run the tasks with a display of the progress, then print where the outputs are."""
    options_to_overrides(arguments)
    session, names, sweep = open_sweep(arguments)
    with session, logging_as(session.settings.logging):
        if sweep is not None:
            swept = swept_roots(sweep, names, arguments)
            info, check_all = RunInfo(sweep=sweep.header(swept.roots)), not swept.has_partitions
            quiet = arguments.quiet
            return run_tasks(session, swept.tasks, swept.rerun, [swept], quiet=quiet, check_all=check_all, info=info)
        with planning(session):
            ranges = ranges_from_args(session, names, arguments)
            partitions = [task for part in ranges for task in part.tasks]
            roots, rerun = roots_from_args(session, names, arguments, partitions)
        # All tasks are checked, because the summary counts the complete ones; those below partitions are too many.
        return run_tasks(session, roots, rerun, ranges, quiet=arguments.quiet, check_all=not ranges)


def run_tasks(
    session: Session,
    roots: Sequence[luigi.Task],
    rerun: Collection[luigi.Task],
    parts: Sequence[Part] = (),
    *,
    quiet: bool,
    check_all: bool = True,
    info: RunInfo | None = None,
) -> ExitCode:
    """Run tasks with a display of the progress, and print the result."""
    display = make_display(session.project.package_folder, quiet=quiet)
    plans: list[Plan] = []

    def on_event(event: Event) -> None:
        if isinstance(event, PlanMade):
            plans.append(event.plan)
            if not quiet:
                display.outputs(date_words(session, event.plan.tasks))
                display.outputs([part.planned(event.plan) for part in parts])
        display.show(event)

    try:
        with display:
            summary, _ = run_build(
                roots,
                session.settings.run,
                on_event=on_event,
                check_all=check_all,
                rerun=rerun,
                reports_warnings=True,
                info=info,
            )
    except KeyboardInterrupt:
        display.interrupted()
        return ExitCode.INTERRUPTED
    except BaseException as error:
        if not display.has_plan:
            raise as_plan_error(error, session) from error
        # Tasks that a running task yielded cannot be planned: no attempt failed, but the run did.
        display.broken(error)
        return ExitCode.FAILED
    display.finish(summary)
    for part in parts:
        display.outputs(part.finished(plans[0], summary))
    if not summary.ok:
        return ExitCode.FAILED
    if not quiet:
        display.outputs(_shortened(_outputs(roots)))
    return ExitCode.OK


def _outputs(roots: Sequence[luigi.Task]) -> list[str]:
    """Return a line for each output of the roots; of a root without one, for those of the tasks that it requires."""
    outputs = {owner: list(iter_flat(owner.output())) for root in roots for owner in _owners(root)}
    return [
        f"{type(owner).__name__} -> {_relative(place_of(target))}"
        for owner, targets in outputs.items()
        for target in targets
    ]


def _shortened(lines: list[str]) -> list[str]:
    """Return the first and the last of many lines."""
    return [lines[0], f"... and {len(lines) - 2} more", lines[-1]] if len(lines) > _MAX_OUTPUTS else lines


def _owners(root: luigi.Task) -> list[luigi.Task]:
    return [root] if any(True for _ in iter_flat(root.output())) else list(iter_flat(root.requires()))


def place_of(target: Any) -> str:
    """Return the path or url to print for a target: of a folder, that of its files."""
    return target.place() if isinstance(target, FolderTarget) else path_of(target)


def _relative(url: str) -> str:
    path = Path(url)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else url
