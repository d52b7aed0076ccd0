"""What becomes of one submitted call? It waits, is sent, and its future gets what the worker answers.

Made and kept by `processes`.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass
from typing import Any

from kart_runtime.execution.executors.pickling import loads
from kart_runtime.execution.executors.processes.worker import ERROR, Answer


@dataclass(eq=False)
class Work:
    """A submitted call.

    Attributes
    ----------
    future
        What its submitter waits for.
    pickled
        The function and its arguments.
    name
        The function's, for messages.
    began
        Whether it has been given to a worker, so that its future cannot be cancelled any more.
    lost
        How many workers died before they read it.
    """

    future: Future[Any]
    pickled: bytes
    name: str
    began: bool = False
    lost: int = 0

    def begin(self) -> bool:
        """Return whether a worker may have it: nobody has cancelled it."""
        self.began = self.began or self.future.set_running_or_notify_cancel()
        return self.began

    def drop(self) -> None:
        """Tell the future that nobody will run it."""
        if self.future.cancel():
            self.future.set_running_or_notify_cancel()
        else:  # a worker had it, and left before it read it
            self.future.set_exception(BrokenExecutor("the executor was closed"))

    def settle(self, answer: Answer) -> None:
        """Give the future what a worker has answered.

        Parameters
        ----------
        answer
            As described in `worker`.
        """
        tag, pickled, text = answer
        try:
            value = loads(pickled) if pickled else RuntimeError(text)
        except Exception as error:  # noqa: BLE001 - whatever a class does when it is unpickled
            if tag == ERROR:
                value = RuntimeError(text)
            else:
                tag, value = ERROR, error
                value.add_note(f"This is the result of {self.name}, which came back from a worker process.")
        if tag == ERROR:
            self.future.set_exception(value)
        else:
            self.future.set_result(value)
