"""Line that shows how far a build is: on a terminal, or below a cell of a notebook, and nowhere else.

It appears when a build takes longer than a moment, and becomes the summary when the build has ended.
"""

from __future__ import annotations

import contextvars
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from kart_runtime.errors import warn
from kart_runtime.schedule.estimate import Estimating, numbers
from kart_runtime.schedule.events import BuildFinished, BuildStopping, Event, Listener, PlanMade, stopping_text
from kart_runtime.schedule.progress_counts import Counts
from kart_runtime.schedule.screen import Screen, size_of
from kart_runtime.storage.staging import active_run

logger = logging.getLogger(__name__)

_DELAY, _INTERVAL = 0.5, 0.25
"""Seconds before the line appears, and between two drawings."""


@contextmanager
def progress_line(workers: int | None) -> Iterator[Listener | None]:
    """Return the listener of a build that shows its progress; None where nobody would see it."""
    place = _place()
    if place is None:
        yield None
        return
    line = _Line(place, workers)
    try:
        yield line.listen
    finally:
        line.stop()


class _Place(Protocol):
    def show(self, text: str) -> None:
        """Show a text in place of the one before."""

    def end(self, text: str) -> None:
        """Leave a text there."""


def _place() -> _Place | None:
    """Return where a line would be seen; none in tests, and inside the `run()` of a task."""
    if active_run.get() is not None or "PYTEST_CURRENT_TEST" in os.environ:
        return None
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is not None and hasattr(shell, "kernel"):
        return _Notebook()
    return _Terminal() if not os.environ.get("CI") and size_of(sys.stderr) is not None else None


class _Terminal:
    """The last row of a terminal."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._screen: Screen | None = None

    def show(self, text: str) -> None:
        if self._screen is None:
            self._screen = Screen(self._stream)
            self._screen.reserve(1)
        size = self._screen.size
        if size is not None:
            self._screen.draw([text[: size[0] - 1]])

    def end(self, text: str) -> None:
        if self._screen is not None:
            self._screen.close()
            if text:
                self._stream.write(f"{text}\n")
                self._stream.flush()


class _Notebook:
    """A line below the cell of a notebook."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._context = contextvars.copy_context()  # which has the cell that the output belongs to
        self._text = ""

    def show(self, text: str) -> None:
        if text != self._text:
            self._text = text
            self._context.copy().run(self._display, text)

    def _display(self, text: str) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": text}, raw=True)

    def end(self, text: str) -> None:
        if text and self._handle is not None:
            self.show(text)


class _Line:
    """Counts the events of a build, and draws the numbers in a thread of its own."""

    def __init__(self, place: _Place, workers: int | None) -> None:
        self._place, self._workers = place, workers
        self._counts = Counts()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._last = ""

    def listen(self, event: Event) -> None:
        """Count an event; the thread begins with the first plan that has something to run."""
        self._counts.count(event)
        if isinstance(event, BuildStopping) and event.waiting:
            warn(logger, "Stopping: %s.", stopping_text(event))
        if isinstance(event, BuildFinished):
            self._last = event.summary.text()
        elif isinstance(event, PlanMade) and event.plan.to_run and self._thread is None:
            estimate = Estimating(event.plan, self._workers)
            self._thread = threading.Thread(target=self._draw, args=(estimate,), name="kart-progress", daemon=True)
            self._thread.start()

    def _draw(self, estimate: Estimating) -> None:
        wait = _DELAY
        with suppress(Exception):  # the terminal is gone; the build goes on
            while not self._stopped.wait(wait):
                wait = _INTERVAL
                self._counts.news.clear()
                self._place.show(numbers(self._counts, estimate))

    def stop(self) -> None:
        """End the thread, and leave the summary."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            with suppress(Exception):
                self._place.end(self._last)
