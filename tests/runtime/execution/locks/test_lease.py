"""A lease is lost when it was not renewed in time, and its holder is told so before it writes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from kart_runtime.errors import LockLost
from kart_runtime.execution.locks import lease
from kart_runtime.execution.locks.lease import Instant, Lease, LeaseRenewer


class Server:
    """What a lease asks: it says yes, no, or nothing."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    def __call__(self):
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer


def moments_ago(seconds):
    now = Instant.now()
    return Instant(now.running - seconds, now.wall - seconds)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(lease, "_PAUSE", 0.01)


def test_what_is_certain_by_the_clock_costs_no_question():
    server = Server()
    lease = Lease("x", 60, server, Instant.now(), trusted=30)
    lease.check()
    assert lease.end()
    assert server.asked == 0


def test_what_is_not_certain_is_asked_and_then_certain_again():
    server = Server()
    lease = Lease("x", 60, server, moments_ago(31), trusted=30)
    lease.check()
    lease.check()
    assert server.asked == 1


def test_without_trust_every_check_is_a_question():
    server = Server()
    lease = Lease("x", 60, server, Instant.now())
    lease.check()
    lease.check()
    assert server.asked == 2


def test_a_clock_that_was_set_forward_is_believed():
    server = Server()
    now = Instant.now()
    Lease("x", 60, server, Instant(now.running, now.wall - 31), trusted=30).check()
    assert server.asked == 1


def test_what_somebody_else_has_is_lost_for_ever():
    server = Server(False)
    lease = Lease("Train_1", 60, server, moments_ago(90))
    for _ in range(2):
        with pytest.raises(LockLost, match=r"Lost the lock on Train_1: it was not renewed for 90 s"):
            lease.check()
    assert server.asked == 1
    assert lease.renew() is None
    assert not lease.end()


def test_a_server_that_does_not_answer_is_asked_until_time_is_up():
    server = Server(OSError("away"), OSError("away"))
    Lease("x", 60, server, moments_ago(31), trusted=30).check()
    assert server.asked == 3
    silent = Server(*[OSError("away")] * 1000)
    with pytest.raises(LockLost, match=r"could not be renewed for .*OSError: away"):
        Lease("x", 0.2, silent, Instant.now()).check()
    assert silent.asked > 2


def eventually(is_true):
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_thread_renews_all_and_sooner_what_got_no_answer():
    renewals = LeaseRenewer("renews-two")
    server, restless = Server(), Server(OSError("away"), True)
    long, short = Lease("long", 300, server, Instant.now()), Lease("short", 0.3, restless, Instant.now())
    renewals.add(long)
    renewals.add(short)  # due before the thread would look again
    eventually(lambda: restless.asked >= 4)
    assert server.asked == 0
    renewals.remove(short)
    asked = restless.asked
    time.sleep(0.3)
    assert restless.asked <= asked + 1
    assert [thread.name for thread in threading.enumerate()].count("renews-two") == 1


def test_what_ends_or_is_lost_is_not_renewed():
    renewals = LeaseRenewer("test")
    lost, ended, last = Server(False), Server(), Server()
    leases = [Lease("x", 0.1, server, Instant.now()) for server in (lost, ended, last)]
    leases[1].end()
    for each in leases:
        renewals.add(each)
    eventually(lambda: last.asked >= 3)
    renewals.remove(leases[2])
    assert (lost.asked, ended.asked) == (1, 0)


FORKS = """
import os, threading, time
from kart_runtime.execution.locks.lease import Lease, Instant, LeaseRenewer

asked = {"old": 0, "new": 0}

def renew(name):
    asked[name] += 1
    return True

def lease(name):
    return Lease(name, 0.1, lambda: renew(name), Instant.now())

renewals = LeaseRenewer("test")
renewals.add(lease("old"))
child = os.fork()
if not child:
    before = asked["old"]
    renewals.add(lease("new"))  # by a thread of its own
    while asked["new"] < 3:
        time.sleep(0.01)
    os._exit(asked["old"] - before)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_renews_nothing_of_its_parent():
    command = [sys.executable, "-W", "ignore", "-c", FORKS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0\n"
