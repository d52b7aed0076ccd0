"""Tokens of processes: no two processes have the same one, and a dead process is known by its token."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kart_runtime.storage.processes import is_alive, parsed, this_process

_PROGRAM = """
import random, time
random.seed(1)
from kart_runtime.storage.processes import this_process
print(this_process(), flush=True)
time.sleep(60)
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process began")


@contextmanager
def _other_process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen([sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_process_keeps_its_token_and_another_has_another() -> None:
    random.seed(1)
    own = this_process()
    assert own == this_process()
    assert is_alive(own) is True
    with _other_process() as (process, token):
        assert token != own
        assert is_alive(token) is True
        process.kill()
        if sys.platform == "linux":
            _wait_until_zombie(process.pid)
            assert is_alive(token) is False, "a zombie is dead"
        process.wait()
        assert is_alive(token) is False


def _wait_until_zombie(pid: int) -> None:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_has_a_token_of_its_own() -> None:
    own = this_process()
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, this_process().encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        token = file.read()
    os.waitpid(pid, 0)
    mine, theirs = parsed(own), parsed(token)
    assert mine
    assert theirs
    assert theirs.pid == pid
    assert theirs.machine == mine.machine
    assert token.rpartition("-")[2] != own.rpartition("-")[2]
    assert is_alive(token) is False


@linux
def test_another_process_with_the_same_id_does_not_count() -> None:
    """The first process of a container has the id 1 after each restart, and maybe the same namespace."""
    own = parsed(this_process())
    assert own is not None
    before = f"{own.host}-{own.machine}-{own.pid}-{own.start - 1}-0123456789abcdef"
    assert is_alive(before) is False


def test_nothing_is_known_of_other_machines_and_texts() -> None:
    host, _, pid, start, end = this_process().rsplit("-", 4)
    assert is_alive(f"{host}-00000000-{pid}-{start}-{end}") is None
    assert is_alive("host-1-2") is None
    assert is_alive("") is None


def test_a_token_fits_into_a_file_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "\u00e4/" * 100)
    monkeypatch.setattr("kart_runtime.storage.processes._own", {})
    token = this_process()
    assert len(token.encode()) <= 110
    assert "/" not in token
    assert parsed(token) is not None


def test_asking_costs_nothing() -> None:
    this_process()
    began = time.perf_counter()
    for _ in range(10_000):
        this_process()
    assert time.perf_counter() - began < 1
