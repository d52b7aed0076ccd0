"""The object store gives turns: in memory, where time can be made to pass, and in S3 over a connection."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import ConfigError, LockLost, LockTimeout
from kart_runtime.execution.locks import lease, object_store
from kart_runtime.execution.locks.lease import Instant, Lease
from kart_runtime.execution.locks.object_store import StoreLocks
from kart_runtime.storage.registry import STORES, register_store, store_for
from kart_runtime.storage.stores.memory import MemoryStore
from kart_runtime.storage.workspace import Workspace

WORKSPACE = "memory://shared"


@pytest.fixture(autouse=True)
def store():
    found = store_for(WORKSPACE)[0]
    yield found
    for one in list(found.list("")):
        found.delete(one.key)


def held(name="x"):
    return store_for(WORKSPACE)[0].read(f"shared/log/locks/{name}.lock")


def test_a_lock_is_an_object_that_says_who_holds_it_and_goes_with_it():
    with StoreLocks(WORKSPACE).hold("x", None, 0):
        told = json.loads(held().data)
        assert (told["host"], told["pid"]) == (socket.gethostname(), os.getpid())
        assert told["since"][:2] == "20"
    assert held() is None


def test_who_waits_in_vain_is_told_who_holds_it():
    since = r"since 20\d\d-\d\d-\d\dT\S+[+-]\d{4}\."
    holder = f"x, locked by host {socket.gethostname()}, process {os.getpid()}, {since}"
    with (
        StoreLocks(WORKSPACE).hold("x", None, 0),
        pytest.raises(LockTimeout, match=holder) as caught,
        StoreLocks(WORKSPACE).hold("x", None, 0.3),
    ):
        pytest.fail("the lock is held")
    assert caught.value.waited >= 0.3


def test_other_names_and_workspaces_are_free():
    locks = StoreLocks(WORKSPACE)
    with locks.hold("x", None, 0), locks.hold("y", None, 0), locks.hold("x", "memory://another/", 0):
        assert held("x")
        assert held("y")


def test_a_lock_is_let_go_when_the_block_raises():
    with pytest.raises(ValueError, match="inside"), StoreLocks(WORKSPACE).hold("x", None, 0):
        raise ValueError("inside")
    assert held() is None


def test_one_thread_at_a_time():
    inside, most = [], []

    def work():
        for _ in range(10):
            with StoreLocks(WORKSPACE).hold("x", None, 60) as lock:
                inside.append(1)
                time.sleep(0.001)
                most.append(len(inside))
                lock.check()
                inside.pop()

    before = random.getstate()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 40
    assert random.getstate() == before  # pauses are drawn elsewhere


def test_a_long_task_keeps_its_lock():
    with StoreLocks(WORKSPACE, 3.0).hold("x", None, 0) as lock:
        time.sleep(3.5)
        assert held().age < 3.0
        lock.check()
    assert held() is None


def test_a_lock_that_nobody_renews_is_taken_over_and_its_old_holder_writes_nothing(caplog):
    with StoreLocks(WORKSPACE, 0.3).hold("x", None, 0) as paused:
        object_store._renewals.remove(paused)
        with StoreLocks(WORKSPACE, 0.3).hold("x", None, 10) as lock:
            lock.check()
            with pytest.raises(LockLost, match="Lost the lock on x"):
                paused.check()
        assert "Taking over the lock shared/log/locks/x.lock: host" in caplog.text
        with StoreLocks(WORKSPACE).hold("x", None, 0):
            pass
    assert held() is None


def test_an_old_holder_does_not_remove_the_lock_of_the_next():
    claim = object_store._Claim(*store_for(f"{WORKSPACE}/log/locks/x.lock"))
    with StoreLocks(WORKSPACE, 0.1).hold("x", None, 0) as paused:
        object_store._renewals.remove(paused)
        time.sleep(0.2)
        assert claim.acquire(0.1) is None
    assert held().version == claim._version


def test_a_holder_whose_lock_nobody_took_still_has_it():
    with StoreLocks(WORKSPACE, 0.1).hold("x", None, 0) as paused:
        object_store._renewals.remove(paused)
        time.sleep(0.3)
        paused.check()


def test_a_short_task_costs_two_requests(monkeypatch):
    calls = []
    for name in ("create", "replace", "read", "delete_version", "stat", "open", "delete"):
        real = getattr(MemoryStore, name)
        monkeypatch.setattr(
            MemoryStore, name, lambda self, *args, name=name, real=real: calls.append(name) or real(self, *args)
        )
    with StoreLocks(WORKSPACE).hold("x", None, 0) as lock:
        lock.check()
    assert calls == ["create", "delete_version"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": "h"}'])
def test_what_no_holder_has_written_ends_like_a_lock(content, store):
    store.create("shared/log/locks/x.lock", content)
    with pytest.raises(LockTimeout, match="x, locked by"), StoreLocks(WORKSPACE).hold("x", None, 0):
        pytest.fail("the lock is held")
    claim = object_store._Claim(store, "shared/log/locks/x.lock")
    assert claim.acquire(-1.0) is None


class OnlyBytes:
    """A store without conditions."""


def test_a_store_without_conditions_is_refused():
    register_store("only", f"{__name__}:OnlyBytes")
    try:
        with (
            pytest.raises(
                ConfigError, match=r"run\.locks: the store of only://w.* has no conditional writes.*redis://"
            ),
            StoreLocks("only://w").hold("x", None, 0),
        ):
            pytest.fail("nothing is silently unlocked")
    finally:
        del STORES["only"]


@pytest.mark.parametrize("workspace", ["memory://w", "memory://w/"])
def test_the_slash_at_the_end_of_a_workspace_does_not_matter(workspace):
    assert Workspace(workspace).lock("x") == "memory://w/log/locks/x.lock"


# -- over a connection ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["s3", "gs"])
def remote(request, tmp_path):
    """Return a server, and a workspace on it."""
    proxy = request.getfixturevalue({"s3": "s3", "gs": "gcs"}[request.param])
    return proxy, f"{request.param}://bucket/{tmp_path.name}"


def test_a_short_task_costs_few_requests(remote):
    proxy, workspace = remote
    with StoreLocks(workspace).hold("x", None, 0) as lock:
        lock.check()
    assert proxy.count() == {"put": 1, "delete": 1}


def test_who_waits_at_a_service_is_told_who_holds_it(remote):
    _, workspace = remote
    holder = f"x, locked by host {socket.gethostname()}, process {os.getpid()}, since 20"
    with (
        StoreLocks(workspace).hold("x", None, 0),
        pytest.raises(LockTimeout, match=holder),
        StoreLocks(workspace).hold("x", None, 0.3),
    ):
        pytest.fail("the lock is held")


def test_a_holder_that_was_paused_loses_its_lock_at_a_service(remote):
    _, workspace = remote
    with StoreLocks(workspace, 0.6).hold("x", None, 0) as paused:
        time.sleep(1.7)  # longer than the lock lasts without being renewed
        paused.check()
        object_store._renewals.remove(paused)
        with StoreLocks(workspace, 0.6).hold("x", None, 20) as lock:
            lock.check()
            # The service tells whole seconds, so a lock of less may be taken over while its holder trusts its clock.
            time.sleep(0.3)
            with pytest.raises(LockLost):
                paused.check()


def test_answers_that_get_lost_lose_no_lock(remote):
    proxy, workspace = remote
    proxy.fail("lost", "put")
    with StoreLocks(workspace, 60.0).hold("x", None, 0) as lock:
        proxy.fail("lost", "put")
        lock._confirmed = Instant(0.0, 0.0)
        lock.check()
        assert lock._confirmed.elapsed() < 30
        with pytest.raises(LockTimeout), StoreLocks(workspace).hold("x", None, 0):
            pytest.fail("the lock is held")
    with StoreLocks(workspace).hold("x", None, 0):
        pass


class Ignorant(MemoryStore):
    """A service that does not know the condition of a request, and stores."""

    stored = 0

    def create(self, key, data):
        Ignorant.stored += 1
        return super()._store(key, data)


def test_a_store_that_creates_a_key_twice_is_refused_before_anything_runs():
    register_store("ignorant", f"{__name__}:Ignorant")
    ran = []

    class Never(TaskOnKart[int]):
        def run(self):
            ran.append(1)

    try:
        with pytest.raises(ConfigError, match=r"run\.locks: the server of ignorant://w.*ignores conditional writes"):
            build(Never(workspace_directory="ignorant://w"), locks="workspace")
        assert Ignorant.stored == 2
        assert not [each for each in store_for("ignorant://w")[0].list("") if "/locks/" in each.key]
    finally:
        del STORES["ignorant"]
    assert not ran


def test_the_proof_of_conditions_leaves_nothing_at_a_service(remote):
    proxy, workspace = remote
    StoreLocks(workspace).check()
    assert proxy.count()["put"] >= 2
    store, prefix = store_for(workspace)
    assert list(store.list(prefix)) == []


def test_a_service_that_ignores_conditions_is_refused(s3, tmp_path, monkeypatch):
    dropped = []
    real = s3.passed_on

    def without(asked):
        left = {name: value for name, value in asked.headers.items() if not name.lower().startswith("if-")}
        dropped.extend(asked.headers.keys() - left.keys())
        return real(asked._replace(headers=left))

    monkeypatch.setattr(s3, "passed_on", without)
    with pytest.raises(ConfigError, match="ignores conditional writes"):
        StoreLocks(f"s3://bucket/{tmp_path.name}").check()
    assert "If-None-Match" in dropped


ENDED = """
import sys
from kart_runtime.storage.processes import this_process
print(this_process())
"""


def test_the_lock_of_an_ended_process_of_this_machine_is_taken_over_at_once(store, caplog):
    ended = subprocess.run([sys.executable, "-c", ENDED], capture_output=True, text=True, check=True).stdout.strip()
    content = {"token": "other", "host": "h", "pid": 1, "since": "s", "process": ended}
    store.create("shared/log/locks/x.lock", json.dumps(content).encode())
    with StoreLocks(WORKSPACE).hold("x", None, 0) as lock:
        lock.check()
    assert "Taking over the lock shared/log/locks/x.lock: host h, process 1, since s has ended" in caplog.text


# -- any order of events ---------------------------------------------------------------------------------------------

TIMEOUT = 60.0


class Clock:
    now = 0.0


class Service(MemoryStore):
    """A store whose time is made to pass, that tells versions by content as S3 does, and whose answers get lost."""

    def __init__(self):
        super().__init__()
        self.written, self.rounding, self.loses = 0.0, 0.0, False

    def _store(self, key, data):
        super()._store(key, data)
        version = hashlib.md5(data).hexdigest()
        self._objects[key] = self._objects[key]._replace(version=version)
        self.written = Clock.now
        return version

    def _answered(self, answer):
        if self.loses and answer is not None:
            self.loses = False
            raise OSError("the answer was lost")
        return answer

    def replace(self, key, data, version):
        return self._answered(super().replace(key, data, version))

    def read(self, key):
        found = super().read(key)
        return found and found._replace(age=Clock.now - self.written + self.rounding)


class Holder:
    def __init__(self, service):
        self.claim = object_store._Claim(service, "k")
        began = Instant.now()
        try:
            self.has_it = self.claim.acquire(TIMEOUT) is None
        except OSError:  # it took over without knowing; nobody works on that
            self.has_it = False
        self.lease = Lease("k", TIMEOUT, self.claim.renew, began, trusted=TIMEOUT / 2)

    def owns(self, service):
        found = service.read("k")
        return found is not None and json.loads(found.data)["token"] == self.claim._content["token"]


def test_whoever_has_read_a_lock_before_it_was_renewed_cannot_take_it_over():
    service = Service()
    claim = object_store._Claim(service, "k")
    assert claim.acquire(TIMEOUT) is None
    found = service.read("k")
    assert claim.renew()
    assert service.replace("k", b"another one's", found.version) is None


HOLDERS = st.integers(0, 2)


class AnyOrder(RuleBasedStateMachine):
    """Three processes, each of which may be paused at any time for any time."""

    def __init__(self):
        super().__init__()
        self.service = Service()
        self.holders = {}
        self.restore = Instant.__dict__["now"], lease._PAUSE
        Clock.now = 1000.0
        Instant.now = classmethod(lambda cls: cls(Clock.now, Clock.now))
        lease._PAUSE = 0.0

    def teardown(self):
        Instant.now, lease._PAUSE = self.restore

    @rule(number=HOLDERS)
    def take(self, number):
        if number not in self.holders:
            holder = Holder(self.service)
            if holder.has_it:
                self.holders[number] = holder

    @rule(number=HOLDERS)
    def renew(self, number):
        if number in self.holders:
            self.holders[number].lease.renew()

    @rule(seconds=st.floats(0.0, 1.5 * TIMEOUT), rounding=st.floats(-0.99, 0.99))
    def time_passes(self, seconds, rounding):
        Clock.now += seconds
        self.service.rounding = rounding

    @precondition(lambda self: self.holders)
    @rule()
    def an_answer_gets_lost(self):
        self.service.loses = True

    @rule(number=HOLDERS)
    def commit(self, number):
        holder = self.holders.get(number)
        if holder is None:
            return
        try:
            holder.lease.check()
        except LockLost:
            del self.holders[number]
        else:
            assert holder.owns(self.service)

    @rule(number=HOLDERS)
    def end(self, number):
        holder = self.holders.pop(number, None)
        if holder is None:
            return
        before, owned = self.service.read("k"), holder.owns(self.service)
        is_certain = holder.lease.end()
        assert owned or not is_certain
        try:
            if is_certain or holder.claim.renew():
                holder.claim.release()
        except OSError:
            return
        assert self.service.read("k") == (None if owned else before)


AnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestAnyOrder = AnyOrder.TestCase
