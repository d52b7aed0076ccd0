"""A large object does not go through the memory, and is uploaded wholly or not at all."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest

from kart_runtime.errors import RequestFailed
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import upload
from kart_runtime.storage.stores.upload import PART, ObjectWriter


class Recording:
    """A store that keeps what it is given."""

    def __init__(self, failing=False):
        self.calls, self._failing = [], failing

    def put(self, key, data, labels=None):
        self.calls.append(("put", key, data, labels))

    def upload(self, key, file, labels=None):
        self.calls.append(("upload", key, file.read(), labels))
        if self._failing:
            raise RequestFailed("s3://b/x", "write", "no")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch, request):
    if "memory" not in request.node.name:
        monkeypatch.setattr(upload, "PART", 1000)


def test_what_fits_into_one_part_is_one_request():
    store = Recording()
    with ObjectWriter(store, "b/x", {"a": "1"}) as file:
        file.write(b"x" * 999)
        file.write(b"y")
        assert store.calls == []
    assert store.calls == [("put", "b/x", b"x" * 999 + b"y", {"a": "1"})]


@pytest.mark.parametrize("step", [1, 700, 999, 1000, 1001, 5000])
def test_what_does_not_fit_is_uploaded_from_a_file(step):
    store, data = Recording(), bytes(range(250)) * 50
    with ObjectWriter(store, "b/x", {"a": "1"}) as file:
        for start in range(0, len(data), step):
            assert file.write(data[start : start + step]) == len(data[start : start + step])
        assert store.calls == []
    assert store.calls == [("upload", "b/x", data, {"a": "1"})]


@pytest.mark.parametrize("size", [10, 5000])
def test_a_block_that_raises_sends_nothing_and_closes_the_file(size):
    store = Recording()
    with pytest.raises(KeyError), ObjectWriter(store, "b/x") as file:
        file.write(bytes(size))
        raise KeyError
    assert store.calls == []
    assert file.closed
    assert file._file.closed


def test_an_upload_that_fails_is_an_error_and_closes_the_file():
    with pytest.raises(RequestFailed), ObjectWriter(Recording(failing=True), "b/x") as file:
        file.write(bytes(5500))
    assert file._file.closed


def test_what_fits_into_one_part_can_be_looked_at():
    with ObjectWriter(Recording(), "b/x") as file:
        file.write(b"ab")
        assert file.content() == b"ab"
        file.write(bytes(1000))
        assert file.content() is None


def test_nothing_is_written_past_the_object():
    with ObjectWriter(Recording(), "b/x") as file, pytest.raises(io.UnsupportedOperation):
        file.fileno()


@pytest.mark.parametrize("shape", [(3, 4), (0, 3), (0,), (50, 60)])
def test_arrays_are_written(shape):
    store, array = Recording(), np.ones(shape)
    with ObjectWriter(store, "b/x") as file:
        assert file.write(memoryview(array)) == array.nbytes
    assert store.calls[0][2] == array.tobytes()


@pytest.mark.parametrize("service", ["s3", "gcs"])
def test_parts_are_sent_in_as_many_requests(service, request, monkeypatch):
    monkeypatch.setattr("kart_runtime.storage.stores.upload.PART", 256 << 10)
    bucket = request.getfixturevalue(f"{service}_bucket")
    with store_for(bucket.url)[0].write(f"{bucket.name}/x") as file:
        file.write(bytes(1000 << 10))
    others = {"post": 2} if service == "s3" else {"post": 1, "head": 1}  # GCS is asked for the version
    assert dict(bucket.proxy.count()) == {"put": 4, **others}


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
