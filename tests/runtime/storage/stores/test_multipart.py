"""A large object goes in parts: not through the memory, in order where that is wanted, and wholly or not at all."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from kart_runtime.errors import RequestFailed
from kart_runtime.storage.stores import multipart
from kart_runtime.storage.stores.multipart import PART, Writing


class Recording:
    """A store that keeps what it is given."""

    def __init__(self, at_once=4, failing=0):
        self.at_once, self._failing = at_once, failing
        self.calls, self.parts, self.most = [], {}, 0
        self._now, self._lock = 0, threading.Lock()

    def put(self, key, data, labels=None):
        self.calls.append(("put", bytes(data), labels))

    def begin(self, key, labels=None):
        self.calls.append(("begin", labels))
        return self

    def send(self, number, data, last):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.01 if number % 2 else 0.002)
        if number == self._failing:
            raise RequestFailed("s3://b/x", "write", "no")
        with self._lock:
            self._now -= 1
            self.parts[number] = (bytes(data), last)

    def finish(self):
        self.calls.append("finish")

    def abort(self):
        self.calls.append("abort")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch, request):
    if "memory" not in request.node.name:
        monkeypatch.setattr(multipart, "PART", 1000)


def test_what_fits_into_one_part_is_one_request():
    store = Recording()
    with Writing(store, "b/x", {"a": "1"}) as file:
        file.write(b"x" * 999)
        file.write(b"y")
    assert store.calls == [("put", b"x" * 999 + b"y", {"a": "1"})]


@pytest.mark.parametrize("at_once", [1, 4])
def test_parts_are_full_and_make_the_object(at_once):
    store, data = Recording(at_once), bytes(range(250)) * 50
    with Writing(store, "b/x", {"a": "1"}) as file:
        for start in range(0, len(data), 700):
            file.write(data[start : start + 700])
    assert store.calls == [("begin", {"a": "1"}), "finish"]
    assert b"".join(store.parts[number][0] for number in sorted(store.parts)) == data
    *before, last = [store.parts[number] for number in sorted(store.parts)]
    assert {(len(part), is_last) for part, is_last in before} == {(1000, False)}
    assert (len(last[0]), last[1]) == (500, True)
    assert store.most <= at_once
    if at_once == 1:
        assert list(store.parts) == sorted(store.parts)


def test_parts_grow_so_that_there_are_never_too_many(monkeypatch):
    monkeypatch.setattr(multipart, "_DOUBLING", 3)
    store = Recording()
    with Writing(store, "b/x") as file:
        file.write(bytes(20_000))
    assert [len(store.parts[number][0]) for number in sorted(store.parts)] == [1000] * 3 + [2000] * 3 + [4000] * 2 + [
        3000
    ]


def test_a_part_that_fails_ends_the_upload():
    store = Recording(failing=2)
    with pytest.raises(RequestFailed), Writing(store, "b/x") as file:
        for _ in range(100):
            file.write(bytes(1000))
    assert store.calls == [("begin", None), "abort"]
    assert len(store.parts) < 20


@pytest.mark.parametrize("number", [1, 5, 6])
def test_a_part_that_fails_at_the_end_ends_the_upload(number):
    store = Recording(failing=number)
    with pytest.raises(RequestFailed), Writing(store, "b/x") as file:
        file.write(bytes(5_500))
    assert store.calls == [("begin", None), "abort"]


def test_an_upload_that_does_not_begin_is_an_error():
    store = Recording()
    store.begin = lambda key, labels: (_ for _ in ()).throw(RequestFailed("s3://b/x", "write", "no"))
    with pytest.raises(RequestFailed), Writing(store, "b/x") as file:
        file.write(bytes(5_500))
    assert store.calls == []


def test_what_has_not_been_sent_can_be_looked_at():
    with Writing(Recording(), "b/x") as file:
        file.write(b"ab")
        assert file.content() == b"ab"
        file.write(bytes(1000))
        assert file.content() is None


@pytest.mark.parametrize("shape", [(3, 4), (0, 3), (0,)])
def test_arrays_are_written(shape):
    store, array = Recording(), np.ones(shape)
    with Writing(store, "b/x") as file:
        assert file.write(memoryview(array)) == array.nbytes
    assert store.calls[0][1] == array.tobytes()


MEMORY = """
import re, sys
from pathlib import Path
from kart_runtime.storage.registry import store_for
store, key = store_for(sys.argv[1])
megabytes = int(sys.argv[2])

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

with store.write(key + ".warm") as file:
    file.write(bytes(9 << 20))
store.open(key + ".warm").close()
before = peak()
block = b"0123456789abcdef" * 65536
with store.write(key) as file:
    for _ in range(megabytes):
        file.write(block)
written = peak()
with store.open(key) as file:
    assert all(file.read(1 << 20) == block for _ in range(megabytes))
    assert file.read() == b""
print(written - before, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("service", "megabytes"), [("s3", 150), ("gcs", 120)])
def test_a_large_object_does_not_go_through_the_memory(service, megabytes, request):
    bucket = request.getfixturevalue(f"{service}_bucket")
    command = [sys.executable, "-c", MEMORY, f"{bucket.url}/x", str(megabytes)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    written, read = map(float, found.stdout.split())
    assert written < 10 * PART / (1 << 20)
    assert read < 20 * PART / (1 << 20)
