"""One holder at a time, also among processes; an error names who holds it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from kart_runtime.errors import ConfigError, LockTimeout
from kart_runtime.locks import FileLocks, NoLocks, make_locks

HOLDER = """
import sys
from kart_runtime.locks import FileLocks
with FileLocks(sys.argv[1]).hold("x", 5):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds "x" until its standard input is closed."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "locks")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_held_lock_is_waited_for_and_its_holder_named(tmp_path, holder):
    locks = FileLocks(str(tmp_path / "locks"))
    with pytest.raises(LockTimeout, match=f"process {holder.pid} since") as caught, locks.hold("x", 0.2):
        pytest.fail("the lock is held by another process")
    assert caught.value.waited >= 0.2
    with locks.hold("y", 0.0):  # another name is free
        pass
    holder.stdin.close()
    with locks.hold("x", 30):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    holder.kill()
    with FileLocks(str(tmp_path / "locks")).hold("x", 30):
        pass


def test_a_lock_is_let_go_when_the_block_raises(tmp_path):
    locks = FileLocks(str(tmp_path))
    with pytest.raises(ValueError, match="inside"), locks.hold("x", 0):
        raise ValueError("inside")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        with locks.hold("x", 0):
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_locks_never_wait():
    started = time.monotonic()
    with NoLocks().hold("x", 5), NoLocks().hold("x", 5):
        pass
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(("kind", "cls"), [("none", NoLocks), ("file", FileLocks)])
def test_kinds(kind, cls, tmp_path):
    assert isinstance(make_locks(kind, str(tmp_path)), cls)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'file'"):
        make_locks("files", ".")
