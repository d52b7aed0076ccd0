"""Command `kart run`: run tasks and their incomplete dependencies."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import luigi

from kart_runtime.builder import run_build
from kart_runtime.cli.arguments import as_plan_error, open_sweep, options_to_overrides, planning, roots_from_args
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.live import make_display
from kart_runtime.cli.live.plain import Display
from kart_runtime.cli.logs import logging_as
from kart_runtime.cli.ranges import Part, date_words, ranges_from_args
from kart_runtime.cli.recorded_metrics import RecordedMetrics
from kart_runtime.cli.stop_signals import StopSignals
from kart_runtime.exporters.sending import Exports
from kart_runtime.plan.causes import explained
from kart_runtime.plan.decisions import Plan
from kart_runtime.project import Session
from kart_runtime.schedule.events import BuildStopping, Event, PlanMade
from kart_runtime.schedule.results import result_lines

if TYPE_CHECKING:
    from kart_runtime.sweeps.variants import Sweep


def execute(arguments: argparse.Namespace) -> int:
    """Run the tasks with a display of the progress, then print what came out."""
    options_to_overrides(arguments)
    if arguments.report:
        from kart_runtime.cli.commands.report import check_default

        check_default()
    with make_display(quiet=arguments.quiet, verbose=arguments.verbose) as opened:
        session, names, sweep = open_sweep(arguments)
        display = opened
        if not session.settings.run.progress:
            opened.close()
            display = Display(quiet=arguments.quiet, verbose=arguments.verbose)
        with (
            StopSignals(display) as signals,
            session,
            logging_as(session.settings.logging),
            _exports(session) as exports,
        ):
            display.say("planning ...")
            options: dict[str, Any] = {"quiet": arguments.quiet, "label": arguments.label or ""}
            options |= {"display": display, "signals": signals}
            run = partial(run_tasks, session, **options, exports=exports)  # waited for when the result is printed
            code = _run_roots(session, names, sweep, arguments, run)
            if arguments.report:
                from kart_runtime.cli.commands.report import report_of_this_process

                report_of_this_process(session, quiet=arguments.quiet)
    return code


def _exports(session: Session) -> Exports:
    return Exports(session.settings.run.export, "run.export", session.origins.get("run.export"))


def _run_roots(
    session: Session,
    names: Sequence[str],
    sweep: Sweep | None,
    arguments: argparse.Namespace,
    run: Callable[..., ExitCode],
) -> ExitCode:
    """Run the tasks that a command line names, for all variants if it has any."""
    if sweep is not None:
        from kart_runtime.cli.swept import swept_roots

        swept = swept_roots(sweep, names, arguments)
        header, check_all = sweep.header(swept.roots), not swept.has_partitions
        return run(swept.tasks, swept.rerun, [swept], check_all=check_all, sweep=header)
    with planning(session):
        ranges = ranges_from_args(session, names, arguments)
        partitions = [task for part in ranges for task in part.tasks]
        roots, rerun = roots_from_args(session, names, arguments, partitions)
    # All tasks are checked, because the summary counts the complete ones; those below partitions are too many.
    return run(roots, rerun, ranges, check_all=not ranges)


def run_tasks(
    session: Session,
    roots: Sequence[luigi.Task],
    rerun: Collection[luigi.Task],
    parts: Sequence[Part] = (),
    *,
    quiet: bool,
    label: str = "",
    display: Display | None = None,
    check_all: bool = True,
    sweep: Mapping[str, Any] | None = None,
    exports: Exports | None = None,
    signals: StopSignals | None = None,
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
                display.outputs([part.planned(event.plan) for part in parts])
        elif isinstance(event, BuildStopping) and signals is not None:
            signals.notice()
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
                info=replace(session.info(label), sweep=sweep),
                explain=explained,
                exports=exports,
            )
    except KeyboardInterrupt:
        display.interrupted()
        return ExitCode.INTERRUPTED if signals is None else signals.code
    except BaseException as error:
        if not display.has_plan:
            raise as_plan_error(error, session) from error
        # Tasks that a running task yielded cannot be planned: no attempt failed, but the run did.
        display.broken(error)
        return ExitCode.FAILED
    display.finish(summary)
    for part in parts:
        display.outputs(part.finished(plans[0], summary))
    with RecordedMetrics(plans[0], summary) as metrics_of:
        results = [line for part in parts for line in part.results(metrics_of)]
        if summary.ok and not results:
            results = result_lines(roots, metrics_of, plans[0].labels)
        display.outputs(results)
    return ExitCode.OK if summary.ok else ExitCode.FAILED
