"""Display of a run on a terminal: a block of fixed height at the bottom, above which everything else scrolls.

The build only counts. A thread draws four times a second, and at once when a task has failed.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from types import TracebackType

import luigi
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from kart_runtime.cli.live.plain import Display
from kart_runtime.cli.terminal import visible
from kart_runtime.errors.secrets import masked
from kart_runtime.execution.attempt import AttemptState
from kart_runtime.plan.decisions import Plan
from kart_runtime.plan.task_labels import TaskLabels
from kart_runtime.schedule.estimate import Estimating, clock
from kart_runtime.schedule.events import (
    BuildFinished,
    BuildStopping,
    Event,
    PlanMade,
    TaskLocked,
    stopping_text,
    waiting_text,
)
from kart_runtime.schedule.progress_counts import ClassCount, Counts, Running, states
from kart_runtime.schedule.screen import Screen

_INTERVAL = 0.25
"""Seconds between two drawings."""

_MOST_ROWS = 12
_OTHER_ROWS = 3
"""Rows of the terminal that are left to what scrolls."""

_MOST_LISTED = 10
"""Tasks up to which each has a row."""

_MOST_PRINTED = 30
"""Tasks up to which each is printed when it has ended."""

_MOST_LABELED = 1000
"""Tasks to look at for what tells tasks apart."""

_MOST_CLASSES = 5
_NARROW = 60
"""Columns below which there are two rows."""

_COLORS = {"done": "32", "failed": "31", "running": "36", "dim": "2"}


class LiveDisplay(Display):
    """Block of rows: what is done, runs and has failed, by class of tasks. Ended tasks are printed above it."""

    def __init__(self, *, verbose: bool = False) -> None:
        super().__init__(verbose=verbose)
        self._screen = Screen(sys.stdout)
        self._painter = Painter(TaskLabels(()))
        self._text = "reading the project ..."
        self._counts: Counts | None = None
        self._height = 0
        self._wake = threading.Event()
        self._is_over = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Display:
        if self._thread is None and not self._is_over:
            self._screen.reserve(1)
            self._draw()
            self._thread = threading.Thread(target=self._draw_until_over, name="kart-display", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Print the results that are left, and take the block away."""
        thread, self._thread = self._thread, None
        self._is_over = True
        if thread is not None:
            self._wake.set()
            thread.join()
            self._print_results()
            self._screen.close()

    def _stopping(self, event: BuildStopping) -> None:
        text = masked(stopping_text(event, self._labels))
        if event.waiting and not self._screen.print(text):
            self._error(text)

    def handles_sigterm(self) -> bool:
        """Return whether the block's handler of SIGTERM is in force."""
        return self._screen.handles_sigterm

    def abandon(self) -> None:
        """Take the block away, without waiting for the thread that draws it."""
        self._is_over = True
        self._screen.close()

    def say(self, text: str) -> None:
        """Show what goes on before anything runs."""
        self._text = text
        self._wake.set()

    def show(self, event: Event) -> None:
        """Count an event of the build."""
        if self._counts is not None and not isinstance(event, PlanMade | BuildFinished | BuildStopping):
            self._counts.count(event)
            if self._counts.news:
                self._wake.set()
        if isinstance(event, BuildStopping):
            self._stopping(event)
        elif isinstance(event, PlanMade | BuildFinished):
            super().show(event)
            if isinstance(event, PlanMade) and event.plan.to_run:
                self._begin(event)
        if isinstance(event, BuildFinished):
            self._summary = event.summary

    def _begin(self, event: PlanMade) -> None:
        n_tasks = len(event.plan.to_run)
        counts = Counts(keeps_results=self._verbose or n_tasks <= _MOST_PRINTED)
        counts.count(event)
        self._painter = Painter(_labels(event.plan), event.plan, Estimating(event.plan, self.workers))
        self._counts = counts
        self._wake.set()

    def finish(self, summary: object) -> None:
        """Print the summary, without the block."""
        self.close()
        super().finish(summary)  # type: ignore[arg-type]

    def _draw_until_over(self) -> None:
        with suppress(Exception):  # the terminal is gone; the run goes on
            while not self._is_over:
                self._wake.wait(_INTERVAL)
                self._wake.clear()
                self._print_results()
                self._draw()

    def _draw(self) -> None:
        size = self._screen.size
        if size is None:
            return
        if self._counts is None:
            self._screen.draw([set_cell_size(self._text, size[0] - 1).rstrip()])
            return
        if not self._height:
            self._height = self._painter.height(self._counts, *size)
            self._screen.reserve(self._height)
        self._screen.draw(self._painter.rows(self._counts, size[0], self._height))

    def _print_results(self) -> None:
        counts = self._counts
        while counts is not None and counts.news:
            event = counts.news.popleft()
            if isinstance(event, TaskLocked):
                line, failed = waiting_text(event, self._name(event.task)), False
            else:
                line = self._result(event)
                failed = event.outcome.state is AttemptState.FAILED and not event.is_retried
            line = visible(masked(line))
            line = self._painter.colored(line, "failed") if failed else line
            if not self._screen.print(line):
                self._line(line)

    def _name(self, task: luigi.Task) -> str:
        return self._painter.label(task)


def _labels(plan: Plan) -> TaskLabels:
    """Return the labels of a plan; of a large one, those that tell some of its tasks apart, to cost less than a run."""
    step = -(-len(plan.tasks) // _MOST_LABELED)
    return plan.labels if step <= 2 else TaskLabels(plan.tasks[::step])


class Painter:
    """Makes the rows of the block from the counts."""

    def __init__(self, labels: TaskLabels, plan: Plan | None = None, estimate: Estimating | None = None) -> None:
        self._task_label, self._plan, self._estimate = labels, plan, estimate
        self._names: dict[int, str] = {}
        console = Console(file=sys.stdout)
        self._has_colors = console.color_system is not None and not console.no_color
        try:
            "━╸█░·…".encode(sys.stdout.encoding or "utf-8")
            self._full, self._half, self._rest, self._block, self._shade = "━", "╸", "─", "█", "░"
            self._dot, self._more = "·", "…"
        except (UnicodeError, LookupError):
            self._full, self._half, self._rest, self._block, self._shade = "=", ">", "-", "#", "."
            self._dot, self._more = "-", "..."

    def colored(self, text: str, color: str) -> str:
        """Return a text in a color, if the terminal has colors."""
        return f"\x1b[{_COLORS[color]}m{text}\x1b[0m" if self._has_colors and text else text

    def height(self, counts: Counts, columns: int, rows: int) -> int:
        """Return the number of rows, which stays the same while the build goes on."""
        most = max(min(_MOST_ROWS, rows - _OTHER_ROWS), 1)
        if columns < _NARROW:
            return min(2, most)
        if counts.total <= _MOST_LISTED and counts.total + 1 <= most:
            return max(counts.total + 1, 2)
        return min(2 + min(len(counts.classes), _MOST_CLASSES), most)

    def rows(self, counts: Counts, columns: int, height: int) -> list[str]:
        """Return the rows of the block."""
        width = columns - 1
        now = time.time()
        if columns < _NARROW:
            return [self._short(counts, width), self._now(counts, now, width, indent="")]
        head = self._head(counts, width)
        plan = self._plan
        if plan is not None and counts.total == len(plan.to_run) <= _MOST_LISTED and counts.total < height:
            return [head, *(self._task_row(task, counts, now, width) for task in plan.to_run)]
        if height <= 1:
            return [head]
        n_classes = min(_MOST_CLASSES, height - 2)
        return [head, *self._class_rows(counts, n_classes, width), self._now(counts, now, width)]

    def _head(self, counts: Counts, width: int) -> str:
        numbers = f"{counts.done:,}/{counts.total:,}"
        words = f"   {f' {self._dot} '.join(states(counts))}".rstrip()
        times = f"   {self._estimate.words(counts)}" if self._estimate is not None else ""
        fixed = cell_len(f"running   {numbers}{words}{times}")
        length = min(max(width - fixed, 0), 30)
        if length < 8:  # then without the bar, and as much as fits
            return self._fit(f"running  {numbers}{words}{times}", width)
        bar = self._bar(counts, length)
        if counts.failed:
            words = words.replace(f"{counts.failed:,} failed", self.colored(f"{counts.failed:,} failed", "failed"), 1)
        return f"running {bar}  {numbers}{words}{times}"

    def _bar(self, counts: Counts, length: int) -> str:
        total = max(counts.total, 1)
        halves = round(2 * length * counts.done / total)
        failed = -(-length * counts.failed // total) if counts.failed else 0
        full, half = divmod(min(halves, 2 * (length - failed)), 2)
        done = self._full * full + self._half * half
        rest = self._rest * (length - full - half - failed)
        return self.colored(done, "done") + self.colored(self._full * failed, "failed") + self.colored(rest, "dim")

    def _short(self, counts: Counts, width: int) -> str:
        times = self._estimate.words(counts) if self._estimate is not None else ""
        words = f" {self._dot} ".join(states(counts)[:2])
        return self._fit(f"{counts.done:,}/{counts.total:,} {words} {times}", width)

    def _class_rows(self, counts: Counts, most: int, width: int) -> list[str]:
        every = list(counts.classes.values())
        ranked = sorted(every, key=lambda count: (not count.running, not count.left, not count.failed))
        chosen = ranked[:most]
        shown = [count for count in every if count in chosen]
        longest = min(max((cell_len(count.name) for count in shown), default=0), 30)
        digits = max((len(f"{count.total:,}") for count in shown), default=1)
        hidden = len(every) - len(shown)
        rows = []
        for count in shown:
            more = f"+ {hidden} more class{'es' if hidden > 1 else ''}" if hidden and count is shown[-1] else ""
            rows.append(self._class_row(count, longest, digits, more, width))
        return rows

    def _class_row(self, count: ClassCount, longest: int, digits: int, more: str, width: int) -> str:
        name = self._fit(count.name, longest, pad=True)
        length = 14
        done = length * count.done // max(count.total, 1)  # not rounded: what is left is seen to the end
        failed = min(-(-length * count.failed // max(count.total, 1)), length) if count.failed else 0
        done = min(done, length - failed)
        bar = (
            self.colored(self._block * done, "done")
            + self.colored(self._block * failed, "failed")
            + self._shade * (length - done - failed)
        )
        numbers = f"{count.done:>{digits},}/{count.total:<{digits},}"
        running = f"{count.running:,} running" if count.running else ""
        each = count.mean()
        parts = [f"{running:<11}", f"{count.failed:,} failed" if count.failed else "", _each(each), more]
        words = "  ".join(part for place, part in enumerate(parts) if part or not place).rstrip()
        rest = self._fit(f"  {numbers}  {words}", max(width - longest - length - 4, 0)).rstrip()
        if count.failed:
            rest = rest.replace(f"{count.failed:,} failed", self.colored(f"{count.failed:,} failed", "failed"), 1)
        return f"  {name}  {bar}{rest}"

    def _now(self, counts: Counts, now: float, width: int, indent: str = "  ") -> str:
        """Return a row with those that have run longest, as many as fit."""
        running = counts.longest_running()
        if not running:
            return ""
        row, shown = f"{indent}now:", 0
        for each in running:
            part = f" {self._dot if shown else ''} {self._running(each, now)}".replace("  ", " ")
            n_rest = len(running) - shown - 1
            room = width - (cell_len(f" {self._dot} {self._more} {n_rest} more") if n_rest else 0)
            if cell_len(row) + cell_len(part) > room:
                break
            row, shown = row + part, shown + 1
        if not shown:
            return self._fit(f"{row} {self._running(running[0], now)}", width)
        rest = len(running) - shown
        return f"{row} {self._dot} {self._more} {rest} more" if rest else row

    def _running(self, each: Running, now: float) -> str:
        limit = f" of {clock(each.limit)}" if each.limit is not None else ""
        parts = [self.label(each.task), clock(now - each.since) + limit]
        if each.done is not None:
            parts.append(f"{each.done:.0%}".replace("%", " %"))
        if each.text:
            parts.append(_one_line(masked(each.text))[:40])
        return " ".join(parts)

    def _task_row(self, task: luigi.Task, counts: Counts, now: float, width: int) -> str:
        label, color, words = self.label(task), "", "waiting"
        number = id(task)
        running = counts.running.get(number)
        event = counts.ended.get(number)
        if running is not None:
            color, words = "running", f"running {self._running(running, now).removeprefix(label).strip()}"
        elif event is not None and event.outcome.state is AttemptState.FAILED:
            color, words = "failed", f"failed  {event.outcome.seconds:.1f} s"
        elif event is not None:
            color, words = "done", f"done    {event.outcome.seconds:.1f} s"
        elif number in counts.ended:
            words = "unchanged"
        elif number in counts.locked:
            held = counts.locked[number]
            words = f"waiting for {held.holder}, {clock(held.seconds + now - held.at)}"
        elif counts.is_blocked(task):
            words = "blocked"
        longest = min(max(cell_len(self.label(other)) for other in self._plan.to_run), width // 2) if self._plan else 0
        name = self._fit(label, longest, pad=True)
        rest = self._fit(words, max(width - longest - 4, 0)).rstrip()
        state, _, more = rest.partition(" ")
        return f"  {name}  {self.colored(state, color) if color else state} {more}".rstrip()

    def label(self, task: luigi.Task) -> str:
        """Return the label of a task, in one line."""
        name = self._names.get(id(task))
        if name is None:
            name = self._names[id(task)] = _one_line(self._task_label(task))
        return name

    def _fit(self, text: str, width: int, *, pad: bool = False) -> str:
        if cell_len(text) <= width:
            return text + " " * (width - cell_len(text)) if pad else text
        return f"{set_cell_size(text, max(width - len(self._more), 0))}{self._more}"[: max(width, 0)]


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _each(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 0.05:
        return "< 0.1 s each"
    return f"{seconds:.1f} s each" if seconds < 90 else f"{clock(seconds)} each"
