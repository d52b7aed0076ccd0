"""Sending while a run goes on: a thread and a bounded queue for each exporter, which the run never waits for.

An exporter may hang, fail or be slow: the run goes on, with one warning, and at its end waits at most 10 seconds.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from kart_runtime.errors import ConfigError, ExtraMissing, described, warn
from kart_runtime.errors.secrets import masked
from kart_runtime.exporters.base import ATTEMPTS, Exporter, ExporterNotReady, make_exporter, own_class, placed
from kart_runtime.exporters.libraries import silent_libraries
from kart_runtime.exporters.record_values import without_secrets
from kart_runtime.settings import exporter_names

logger = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Records that may wait to be sent; further ones are dropped, so that they do not fill the memory."""

LAST_SECONDS = 10.0
"""Seconds that the end of a run waits for its exporters, and that a receiver may be silent."""

_INTERRUPTED_SECONDS = 2.0
"""The same of a run that Ctrl-C has ended."""

_MOST_FAILURES = 3
"""Records in a row that may fail; then only the end of the run is tried."""


class Exports:
    """Exporters of one run, by name. A context manager: at its end it waits for them, but not for long.

    `key` and `file` say where the names come from, for the error of one that does not exist.
    """

    def __init__(self, names: Sequence[str], key: str = "export", file: str | None = None) -> None:
        made = [_queue_of(name, key, file) for name in exporter_names(names)]
        self.queues = [each for each in made if each is not None]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        begun = [each for each in self.queues if each.has_begun]
        if not begun:
            return
        stopped = kind is not None and not issubclass(kind, Exception)
        for each in begun:
            each.finish("interrupted" if stopped else "failed")
        seconds = _INTERRUPTED_SECONDS if stopped or any(each.is_interrupted for each in begun) else LAST_SECONDS
        _wait(begun, seconds)
        for each in begun:
            each.report()


def _queue_of(name: str, key: str, file: str | None) -> ExportQueue | None:
    """Return the queue of an exporter; None, with a warning, if it lacks something."""
    try:
        own = own_class(name)
        return ExportQueue(name, own or partial(_given, make_exporter(name)))
    except (ExporterNotReady, ExtraMissing) as error:
        text = "The run is not exported: %s. Send it afterwards with: kart export RUN --to %s"
        warn(logger, text, str(error).rstrip("."), name)
    except ConfigError as error:
        raise placed(error, key, file) from error
    return None


def _given(exporter: Exporter) -> Exporter:
    return exporter


def _wait(queues: Sequence[ExportQueue], seconds: float) -> None:
    """Wait until all is sent, or for some seconds; Ctrl-C ends it at once, and has no other effect."""
    begin, is_told = time.monotonic(), False
    try:
        while True:
            waiting = [each for each in queues if each.is_worth_waiting_for()]
            passed = time.monotonic() - begin
            if not waiting or passed >= seconds:
                return
            if passed > 1 and not is_told:
                is_told = True
                names = " and ".join(each.name for each in waiting)
                logger.info("Waiting at most %.0f more seconds for %s.", seconds - passed, names)
            waiting[0].thread.join(0.02)
    except KeyboardInterrupt:  # the run has ended before
        return


class ExportQueue:
    """Listener of a run's records that sends them to an exporter from a thread of its own.

    Attributes
    ----------
    name
        Name of the exporter, as the settings have it.
    has_begun
        Whether the run has begun, so that there is something to send.
    is_interrupted
        Whether Ctrl-C has ended the run.
    thread
        The thread that sends.
    """

    def __init__(self, name: str, make: Callable[[], Exporter]) -> None:
        self.name = name
        self.has_begun = self.is_interrupted = False
        # A daemon, so that a receiver that never answers does not keep the program from ending.
        self.thread = threading.Thread(target=self._send_all, name=f"kart-export-{name}", daemon=True)
        self._make = make
        self._exporter: Exporter | None = None  # made in the thread: a class of the user's may connect
        self._items: queue.SimpleQueue[tuple[str, Mapping[str, Any]]] = queue.SimpleQueue()
        self._header: Mapping[str, Any] = {}
        self._end: Mapping[str, Any] | None = None
        self._busy_since = 0.0
        self._in_a_row = self._lost = 0
        self._is_silent = self._is_given_up = self._is_done = False

    def begin(self, header: Mapping[str, Any]) -> None:
        """Receive the header of the run, and start to send."""
        self.has_begun, self._header = True, header
        self._busy_since = time.monotonic()
        self._items.put(("begin", header))
        self.thread.start()

    def task(self, record: Mapping[str, Any]) -> None:
        """Receive the record of an attempt."""
        if record.get("state") not in ATTEMPTS:
            return
        if self._items.qsize() >= MOST_WAITING:
            self._lost += 1
        else:
            self._items.put(("task", record))

    def end(self, end: Mapping[str, Any]) -> None:
        """Receive how the run has ended; sent by `finish`, when all files of the run are stored."""
        self._end = end
        self.is_interrupted = end.get("state") == "interrupted"

    def finish(self, state: str) -> None:
        """Send how the run has ended, by a state if nobody has said it."""
        self._items.put(("end", self._end or {"state": state}))

    def is_worth_waiting_for(self) -> bool:
        """Return whether something is left to send, and the receiver was not silent for a long time."""
        return self.thread.is_alive() and time.monotonic() - self._busy_since < LAST_SECONDS

    def report(self) -> None:
        """Say how to send what was not sent."""
        self._is_given_up = True
        if not self._is_done or self._lost:
            text = "Not all of this run was sent to %s. Send it with: kart export %s --to %s"
            warn(logger, text, self.name, self._header["run"], self.name)

    def _send_all(self) -> None:
        while not self._is_given_up:
            what, values = self._items.get()
            if what == "task" and self._in_a_row >= _MOST_FAILURES:
                self._lost += 1
                continue
            self._busy_since = time.monotonic()
            with silent_libraries():
                self._send(what, values)
            if what == "end":
                return

    def _send(self, what: str, values: Mapping[str, Any]) -> None:
        try:
            if self._exporter is None:
                exporter = self._make()
                exporter.begin(without_secrets(self._header))
                self._exporter = exporter
            if what != "begin":
                getattr(self._exporter, what)(without_secrets(values))
        except BaseException as error:  # noqa: BLE001 - also SystemExit: the run has nothing to do with it
            self._in_a_row += 1
            self._lost += 1
            self._warn(error)
        else:
            self._in_a_row = 0
            self._is_done = what == "end"

    def _warn(self, error: BaseException) -> None:
        if not self._is_silent and not self._is_given_up:
            self._is_silent = True
            text = "Could not send to %s: %s. The run goes on, and further errors are not reported."
            warn(logger, text, self.name, masked(described(error)).partition("\n")[0].rstrip("."))
