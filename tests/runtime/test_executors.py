"""The serial executor runs at once, and says what it cannot do."""

from __future__ import annotations

import threading

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.executors import make_executor


def test_what_is_submitted_runs_in_this_thread():
    with make_executor("serial") as executor:
        assert executor.submit(threading.get_ident).result() == threading.get_ident()


def test_an_error_belongs_to_the_future():
    future = make_executor("serial").submit(int, "x")
    assert isinstance(future.exception(), ValueError)


def test_ctrl_c_goes_to_the_caller():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_executor("serial").submit(interrupt)


@pytest.mark.parametrize(
    ("kind", "workers", "message"),
    [
        ("serail", 1, "Did you mean 'serial'"),
        ("serial", 2, "the serial executor cannot have 2 workers"),
        ("threads", 0, "at least 1"),
    ],
)
def test_what_cannot_be_had_is_refused(kind, workers, message):
    with pytest.raises(ConfigError, match=message):
        make_executor(kind, workers)
