"""Command `kart run`: run tasks and their incomplete dependencies."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import luigi

from kart_runtime.builder import run_build
from kart_runtime.cli.arguments import as_plan_error, open_session, planning, roots_from_args
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.live import make_display
from kart_runtime.cli.live.plain import Display
from kart_runtime.cli.logs import logging_as
from kart_runtime.cli.ranges import TaskRange, date_words, ranges_from_args
from kart_runtime.plan.causes import explained
from kart_runtime.plan.decisions import Action, Plan
from kart_runtime.project import Session
from kart_runtime.schedule.events import Event, PlanMade, Summary
from kart_runtime.schedule.results import Metrics, result_lines
from kart_runtime.task.base import kart_task

if TYPE_CHECKING:
    from kart_runtime.history.index import Index


def execute(arguments: argparse.Namespace) -> int:
    """Run the tasks with a display of the progress, then print what came out."""
    _options_to_overrides(arguments)
    if arguments.report:
        from kart_runtime.cli.commands.report import check_default, report_of_this_process

        check_default()
    with make_display(quiet=arguments.quiet, verbose=arguments.verbose) as opened:
        session, names = open_session(arguments)
        display = opened
        if not session.settings.run.progress:
            opened.close()
            display = Display(quiet=arguments.quiet, verbose=arguments.verbose)
        with session, logging_as(session.settings.logging):
            display.say("planning ...")
            with planning(session):
                ranges = ranges_from_args(session, names, arguments)
                partitions = [task for part in ranges for task in part.tasks]
                roots, rerun = roots_from_args(session, names, arguments, partitions)
            label = arguments.label or ""
            code = run_tasks(session, roots, rerun, ranges, quiet=arguments.quiet, label=label, display=display)
            if arguments.report:
                report_of_this_process(session, quiet=arguments.quiet)
    return code


def run_tasks(
    session: Session,
    roots: Sequence[luigi.Task],
    rerun: Collection[luigi.Task],
    ranges: Sequence[TaskRange] = (),
    *,
    quiet: bool,
    label: str = "",
    display: Display | None = None,
) -> ExitCode:
    """Run tasks with a display of the progress, and print the result."""
    display = display or make_display(quiet=quiet)
    display.source, display.workers = session.project.package_folder, session.settings.run.workers
    plans: list[Plan] = []

    def on_event(event: Event) -> None:
        if isinstance(event, PlanMade):
            plans.append(event.plan)
            if not quiet:
                display.outputs(date_words(session, event.plan.tasks))
                display.outputs([part.planned(event.plan) for part in ranges])
        display.show(event)

    try:
        with display:
            # All tasks are checked, because the summary counts the complete ones; those below partitions are too many.
            summary, _ = run_build(
                roots,
                session.settings.run,
                on_event=on_event,
                check_all=not ranges,
                rerun=rerun,
                reports_warnings=True,
                info=session.info(label),
                explain=explained,
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
    for part in ranges:
        display.outputs(part.finished(plans[0], summary))
    if not summary.ok:
        return ExitCode.FAILED
    with ExitStack() as opened:
        display.outputs(result_lines(roots, _metrics_of(plans[0], summary, opened), plans[0].labels))
    return ExitCode.OK


def _options_to_overrides(arguments: argparse.Namespace) -> None:
    """Turn options into overrides, so that both are checked and reported alike."""
    for option in ("executor", "workers", "address"):
        value: Any = getattr(arguments, option)
        if value is not None:
            arguments.words.append(f"run.{option}={value}")


def _metrics_of(plan: Plan, summary: Summary, opened: ExitStack) -> Callable[[luigi.Task], Metrics]:
    """Return a function that returns what a task has measured: in this run, or when it last ran."""
    indexes: dict[str, Index] = {}

    def metrics_of(task: luigi.Task) -> Metrics:
        kart = kart_task(task)
        decision = plan.decision_by_task.get(task)
        if task in summary.metrics or kart is None or decision is None or decision.action is Action.RUN:
            return summary.metrics.get(task, {})
        from kart_runtime.history.index import open_index  # with sqlite, which other runs do not need

        with suppress(OSError):  # all has gone well, and this only tells
            workspace = kart.workspace_directory
            if workspace not in indexes:
                indexes[workspace] = opened.enter_context(open_index(workspace))
            record = indexes[workspace].newest(kart.make_unique_id(), type(kart).__module__)
            return {} if record is None else record.metrics
        return {}

    return metrics_of
