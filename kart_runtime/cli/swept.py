"""Roots of the variants of a sweep, and what is said of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import luigi

from kart_runtime.cli.arguments import planning, roots_from_args
from kart_runtime.cli.past_runs import width
from kart_runtime.cli.ranges import ranges_from_args
from kart_runtime.history.compare import variants_table
from kart_runtime.plan.decisions import Plan
from kart_runtime.schedule.events import Summary
from kart_runtime.schedule.results import Metrics, nearest_metrics
from kart_runtime.sweeps.variants import Sweep, planned_line
from kart_runtime.task.parameters import using_overrides

_MOST_FAILED = 10
"""Failed variants that are named."""

_MOST_ROWS, _MOST_METRICS = 20, 8
"""Rows and columns of the table of results."""


@dataclass(frozen=True)
class SweptRoots:
    """Tasks that the variants of a sweep run.

    Attributes
    ----------
    sweep
        The variants.
    roots
        The requested tasks of each variant.
    rerun
        Those that run although they are complete.
    has_partitions
        Whether they are the partitions of a range.
    """

    sweep: Sweep
    roots: Sequence[Sequence[luigi.Task]]
    rerun: Collection[luigi.Task]
    has_partitions: bool = False

    @property
    def tasks(self) -> list[luigi.Task]:
        """Return the requested tasks of all variants, each once."""
        return list(dict.fromkeys(task for tasks in self.roots for task in tasks))

    def planned(self, plan: Plan) -> str:
        """Return a line with the variants, and how many tasks they have."""
        return planned_line(self.sweep, plan, self.roots)

    def finished(self, plan: Plan, summary: Summary) -> list[str]:  # noqa: ARG002 - as of ranges
        """Return lines with the variants that did not come to their end; none if all did."""
        bad = {*summary.failed, *summary.not_started, *summary.missing, *summary.unpublished}
        failed = [
            self.sweep.named(variant)
            for variant, tasks in zip(self.sweep.variants, self.roots, strict=True)
            if not bad.isdisjoint(tasks)
        ]
        if not failed:
            return []
        total = len(self.sweep.variants)
        more = [f"  ... and {len(failed) - _MOST_FAILED} more"] if len(failed) > _MOST_FAILED else []
        more.append("The same command tries these again; what is complete does not run again.")
        heading = f"{total} variants: {total - len(failed)} done, {len(failed)} failed:"
        return [heading, *(f"  {name}" for name in failed[:_MOST_FAILED]), *more]

    def results(self, metrics_of: Callable[[luigi.Task], Metrics]) -> list[str]:
        """Return a table of the variants with what their roots, or what is upstream of these, have measured."""
        measured = [_named(nearest_metrics(tasks, metrics_of)) for tasks in self.roots]
        if not any(measured):
            return []
        values = [
            {key.word: key.shown(text) for key, text in zip(self.sweep.keys, variant.values, strict=True)}
            for variant in self.sweep.variants
        ]
        table = variants_table("", values, measured, _MOST_METRICS)
        lines = table.as_text(width(), _MOST_ROWS).splitlines()[:-1]
        rest = len(measured) - _MOST_ROWS
        notes = [f"{rest} more variants; kart compare shows all"] if rest > 0 else []
        notes += ["* best"] if table.best else []
        return [*lines, *(["; ".join(notes)] if notes else [])]


def _named(measured: Mapping[luigi.Task, Metrics]) -> dict[str, float | str]:
    """Return the metrics of one variant by name; with that of the class, if several tasks have measured."""
    several = len(measured) > 1
    return {
        f"{type(task).__name__}.{name}" if several else name: value
        for task, metrics in measured.items()
        for name, value in metrics.items()
    }


def swept_roots(sweep: Sweep, names: Sequence[str], arguments: argparse.Namespace) -> SweptRoots:
    """Return the tasks of each variant; raise `ConfigError` for a key whose values change none of them."""
    roots: list[list[luigi.Task]] = []
    rerun: set[luigi.Task] = set()
    for variant in sweep.variants:
        with planning(variant.session), using_overrides(variant.overrides):
            ranges = ranges_from_args(variant.session, names, arguments)
            partitions = [task for part in ranges for task in part.tasks]
            tasks, again = roots_from_args(variant.session, names, arguments, partitions)
        roots.append(tasks)
        rerun |= again
    sweep.check_effect(roots)
    return SweptRoots(sweep, roots, rerun, has_partitions=bool(arguments.range))
