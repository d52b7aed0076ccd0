"""The serial executor runs at once, in the thread that submits."""

from __future__ import annotations

import threading

import pytest

from kart_runtime.execution.executors import SerialExecutor


def test_what_is_submitted_runs_in_this_thread():
    with SerialExecutor() as executor:
        assert executor.submit(threading.get_ident).result() == threading.get_ident()


def test_an_error_belongs_to_the_future():
    assert isinstance(SerialExecutor().submit(int, "x").exception(), ValueError)


def test_ctrl_c_goes_to_the_caller():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SerialExecutor().submit(interrupt)
