"""Errors that go from a worker process to the program: as they are if they survive that, else as text."""

from __future__ import annotations

import os
import pickle
import threading

from kart_runtime.errors import add_note, described


def portable(error: BaseException, trace: str) -> BaseException:
    """Return an error, with its traceback as a note, if it survives pickling, else a RuntimeError with its text."""
    if not _survives(error):
        return RuntimeError(f"{described(error)}\n{trace}")
    add_note(error, f"In process {os.getpid()}:\n{trace}")
    return error


_PICKLE_SECONDS = 5.0
"""How long an error may take to be pickled and loaded."""

_PICKLE_BYTES = 10_000_000
"""Size of the pickle of an error from which on only its text is sent."""


def _survives(error: BaseException) -> bool:
    """Return whether an error can be pickled and loaded, whatever its class does meanwhile, also if that never ends."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(_is_portable(error)), daemon=True)
    thread.start()
    thread.join(_PICKLE_SECONDS)
    return answers == [True]


def _is_portable(error: BaseException) -> bool:
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except BaseException:  # noqa: BLE001
        import cloudpickle  # for an error that a script or notebook defines

        try:
            data = cloudpickle.dumps(error)
            pickle.loads(data)
        except BaseException:  # noqa: BLE001
            return False
    return len(data) <= _PICKLE_BYTES
