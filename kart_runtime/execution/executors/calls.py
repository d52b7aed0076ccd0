"""Calls that run in another process, and the answers that come back."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from kart_runtime.errors import add_note, trace_of
from kart_runtime.execution.executors.base import CallLimits, Report
from kart_runtime.execution.executors.pickling import DefinitionTable, loads

RESULT, ERROR, LEAVING, PROGRESS, STARTED = "result", "error", "leaving", "progress", "started"
Answer = tuple[str, bytes, str]
"""Tag, pickle, and the text of a traceback. LEAVING: the worker ends, and has not read the call; PROGRESS: a report of
the call, which still runs; STARTED: its time begins, in the thread that the pickle names."""


@dataclass(eq=False)
class WorkItem:
    """A submitted call: its future, the pickle of function and arguments, the function's name for messages, limits.

    `report` receives what the call reports while it runs, and `task` is the task of an attempt, for messages.
    """

    future: Future[Any]
    pickled: bytes
    name: str
    limits: CallLimits | None = None
    report: Report | None = None
    task: object = None
    _ends: dict[str, object] = field(default_factory=dict)

    def begin_end(self) -> bool:
        """Return whether its answer decides what becomes of the call; False if it was canceled, or has expired."""
        return self._ends.setdefault("end", self) is self and self.future.set_running_or_notify_cancel()

    def expire(self, error: BaseException) -> bool:
        """Fail the call, whose answer nobody waits for any more; return False if it has come, or has expired before."""
        if self._ends.setdefault("end", error) is not error or not self.future.set_running_or_notify_cancel():
            return False
        self.future.set_exception(error)
        return True

    def drop(self) -> None:
        """Cancel the future of a call that will not run."""
        if self.future.cancel():
            self.future.set_running_or_notify_cancel()

    def settle(self, answer: Answer) -> None:
        """Set the future to what a worker has answered."""
        tag, pickled, text = answer
        try:
            value = loads(pickled) if pickled else RuntimeError(text)
        except BaseException as error:  # noqa: BLE001 - whatever a class does when it is unpickled
            if tag == ERROR:
                value = RuntimeError(text)
            else:
                tag, value = ERROR, error
                add_note(value, f"This is the result of {self.name}, which came back from a worker process.")
        if tag == ERROR:
            self.future.set_exception(value)
        else:
            self.future.set_result(value)


def error_answer(error: BaseException, where: str, table: DefinitionTable) -> Answer:
    """Return the answer for an error, with its traceback as a note; without a pickle where its class forbids one."""
    text = trace_of(error)
    add_note(error, f"{where}:\n{text}")
    try:
        return ERROR, table.dumps(error, "the error"), text
    except BaseException:  # noqa: BLE001 - whatever its class does when it is pickled
        return ERROR, b"", text
