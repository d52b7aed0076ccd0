"""A machine downloads an object once, and what is read is always what is there now."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kart_runtime.errors import ConfigError, ObjectMissing, RequestFailed
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import object_cache
from kart_runtime.storage.stores.object_cache import ObjectReplaced

CHUNK = 100_000
"""Bytes of a chunk, by the fixture `cached`."""


class Cached:
    """A folder of a bucket, and what the cache keeps of it."""

    def __init__(self, bucket):
        self.store, self.folder = store_for(f"{bucket.url}/ws")
        self.bucket, self.proxy = bucket, bucket.proxy

    def write(self, name, data):
        with self.store.write(f"{self.folder}/{name}") as file:
            file.write(data)
        self.proxy.reset()

    def read(self, name="x"):
        with self.store.open(f"{self.folder}/{name}") as file:
            return file.read()

    def answers(self):
        """The statuses of what was asked for reading."""
        found = [200 if status == 206 else status for kind, status, _ in self.proxy.answers if kind == "get"]
        self.proxy.reset()
        return found

    def files(self):
        root = Path(os.environ["KART_CACHE_DIR"])
        return [path for path in root.rglob("*") if path.is_file() and path.parent.name != "locks"]


@pytest.fixture
def cached(bucket, monkeypatch):
    """A bucket of either service."""
    return _cached(bucket, monkeypatch)


@pytest.fixture
def cached_gcs(gcs_bucket, monkeypatch):
    """A bucket of GCS, where processes are started that have to load its client."""
    return _cached(gcs_bucket, monkeypatch)


def _cached(bucket, monkeypatch):
    monkeypatch.setattr(object_cache, "_cache_limit", object_cache._CacheLimit())
    monkeypatch.setattr(object_cache, "CHUNK", CHUNK)
    return Cached(bucket)


def test_an_object_is_downloaded_once(cached):
    cached.write("x", b"value" * 1000)
    for _ in range(3):
        assert cached.read() == b"value" * 1000
    assert cached.answers() == [200, 304, 304]
    assert len(cached.files()) == 1


def test_a_large_object_is_downloaded_once(cached):
    data = os.urandom(250_000)
    cached.write("x", data)
    assert cached.read() == data
    assert cached.answers() == [200, 200, 200]
    assert cached.read() == data
    assert cached.answers() == [304]


def test_an_object_that_has_changed_is_downloaded_anew(cached):
    for data in (b"first", b"second", bytes(120_000), b"", b"last"):
        cached.write("x", data)
        assert cached.read() == data
        cached.proxy.reset()
        assert cached.read() == data
        assert cached.answers() == [304]
        assert len(cached.files()) == 1


def test_an_object_that_is_gone_is_missing(cached):
    cached.write("x", b"value")
    cached.read()
    cached.store.delete(f"{cached.folder}/x")
    with pytest.raises(ObjectMissing):
        cached.read()


READ = """
import hashlib, sys
from kart_runtime.storage.registry import store_for
store, key = store_for(sys.argv[1])
with store.open(key) as file:
    print(hashlib.sha256(file.read()).hexdigest())
"""


def test_processes_that_read_at_once_download_an_object_once(cached_gcs):
    cached_gcs.write("x", os.urandom(9_000_000))
    cached_gcs.proxy.delay = 0.1
    command = [sys.executable, "-c", READ, f"{cached_gcs.bucket.url}/ws/x"]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({reader.communicate()[0] for reader in readers}) == 1
    assert [reader.returncode for reader in readers] == [0] * 4
    assert sorted(cached_gcs.answers()) == [200, 200, 304, 304, 304]


def test_threads_that_read_at_once_download_an_object_once(cached):
    cached.write("x", b"value" * 1000)
    cached.proxy.delay = 0.05
    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(lambda _: cached.read(), range(16))) == {b"value" * 1000}
    assert sorted(cached.answers()) == [200] + [304] * 15


def test_who_has_an_object_already_does_not_wait_for_others(cached):
    cached.write("x", b"value" * 1000)
    cached.read()
    cached.proxy.delay = 1.0
    began = time.monotonic()
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: cached.read(), range(16)))
    assert time.monotonic() - began < 16 * 1.0 / 2


def test_the_longest_unused_objects_are_removed(cached, monkeypatch):
    monkeypatch.setenv("KART_CACHE_MB", "1")
    cached.write("often", bytes(50_000))
    for number in range(15):
        cached.write(f"{number}", bytes([number]) * 100_000)
        cached.read(f"{number}")
        cached.read("often")
    assert 500_000 < sum(path.stat().st_size for path in cached.files()) <= 1_000_000
    cached.proxy.reset()
    for name in ("14", "13", "often", "0"):
        cached.read(name)
    assert cached.answers() == [304, 304, 304, 200]


def test_what_others_have_left_counts_too(cached, monkeypatch):
    cached.write("x", bytes(900_000))
    cached.write("y", bytes(900_000))
    cached.read("x")
    monkeypatch.setattr(object_cache, "_cache_limit", object_cache._CacheLimit())  # another process
    monkeypatch.setenv("KART_CACHE_MB", "1")
    cached.read("y")
    assert len(cached.files()) == 1


def test_an_object_larger_than_the_cache_is_read_all_the_same(cached, monkeypatch):
    monkeypatch.setenv("KART_CACHE_MB", "1")
    monkeypatch.setattr(object_cache, "CHUNK", 1_100_000)
    for size, pieces in ((1_050_000, 1), (2_000_000, 2)):
        cached.write("x", bytes(size))
        assert cached.read() == bytes(size)
        assert cached.answers() == [200] * pieces
        assert cached.files() == []


def test_a_file_that_is_not_whole_is_not_used(cached):
    cached.write("x", b"value" * 1000)
    cached.read()
    (path,) = cached.files()
    os.truncate(path, 100)
    cached.proxy.reset()
    assert cached.read() == b"value" * 1000
    assert cached.read() == b"value" * 1000
    assert cached.answers() == [200, 304]


def test_a_file_whose_bytes_have_changed_is_downloaded_anew(cached):
    cached.write("x", b"value" * 1000)
    cached.read()
    (path,) = cached.files()
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.write_bytes(data)
    cached.proxy.reset()
    for _ in range(2):
        assert cached.read() == b"value" * 1000
    assert cached.answers() == [200, 304]


def test_what_a_process_that_died_has_left_is_removed(cached):
    cached.write("x", b"old")
    cached.read()
    (path,) = cached.files()
    (path.parent / ".1-2-3").write_bytes(b"half")
    cached.write("x", b"new")
    assert cached.read() == b"new"
    assert len(cached.files()) == 1


def test_nothing_is_kept_where_that_is_wanted(cached, monkeypatch):
    monkeypatch.setenv("KART_CACHE_MB", "0")
    for size in (5, 120_000):
        cached.write("x", bytes(size))
        assert cached.read() == bytes(size)
        assert cached.read() == bytes(size)
        assert 304 not in cached.answers()
    assert not Path(os.environ["KART_CACHE_DIR"]).exists()


@pytest.mark.parametrize("text", ["many", "-1", "nan"])
def test_a_limit_that_is_no_size_is_refused(cached, monkeypatch, text):
    monkeypatch.setenv("KART_CACHE_MB", text)
    with pytest.raises(ConfigError, match=f"KART_CACHE_MB: '{text}' is not a size"):
        cached.read()


@pytest.mark.parametrize("size", [5, 120_000])
def test_a_folder_that_cannot_be_used_is_no_reason_to_fail(cached, monkeypatch, tmp_path, size):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KART_CACHE_DIR", str(tmp_path / "file" / "cache"))
    cached.write("x", bytes(size))
    assert cached.read() == bytes(size)
    with pytest.raises(ObjectMissing):
        cached.read("y")


def test_a_full_disk_is_no_reason_to_fail(cached, monkeypatch):
    cached.write("x", b"value")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(object_cache, "_download", full)
    assert cached.read() == b"value"
    assert cached.files() == []


@pytest.mark.parametrize("megabytes", ["0", "100"])
def test_an_object_that_is_replaced_meanwhile_is_read_from_its_beginning(cached, monkeypatch, megabytes):
    monkeypatch.setenv("KART_CACHE_MB", megabytes)
    cached.write("x", b"a" * 250_000)
    get, lock, others = type(cached.store).get, threading.Lock(), [b"b"]

    def replaced_meanwhile(self, key, start, length, unless="", only=""):
        with lock:
            if start and others:
                cached.write("x", others.pop() * 250_000)
        return get(self, key, start, length, unless, only)

    monkeypatch.setattr(type(cached.store), "get", replaced_meanwhile)
    assert cached.read() == b"b" * 250_000
    cached.write("x", b"c" * 250_000)
    others += [b"d", b"e", b"f", b"g", b"h"]
    with pytest.raises(ObjectReplaced, match=re.escape(f"{cached.bucket.url}/ws/x: ")):
        cached.read()


def test_a_piece_that_is_short_is_not_taken_for_a_whole_one(cached, monkeypatch):
    cached.write("x", bytes(250_000))
    get = type(cached.store).get

    def short(self, key, start, length, unless="", only=""):
        piece = get(self, key, start, length, unless, only)
        return piece._replace(data=piece.data[:-1]) if start else piece

    monkeypatch.setattr(type(cached.store), "get", short)
    with pytest.raises(RequestFailed, match=r"of \d+ bytes arrived"):
        cached.read()
    assert cached.files() == []


FORK = """
import os, sys, threading, time
from kart_runtime.storage.registry import store_for
store, key = store_for(sys.argv[1])

def read():
    with store.open(key) as file:
        return file.read()

reader = threading.Thread(target=read)
reader.start()
time.sleep(0.3)  # it waits for the service now, and keeps others from bringing the same object
child = os.fork()
if not child:
    time.sleep(20)
    os._exit(0)
reader.join()
with store.write(key) as file:
    file.write(b"new")
began = time.monotonic()
assert read() == b"new"
assert time.monotonic() - began < 10
os.kill(child, 9)
os.waitpid(child, 0)
child = os.fork()
if not child:
    os._exit(0 if read() == b"new" else 1)
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_process_holds_up_nobody(cached_gcs):
    cached_gcs.write("x", b"old")
    cached_gcs.proxy.delay = 0.6
    done = subprocess.run([sys.executable, "-c", FORK, f"{cached_gcs.bucket.url}/ws/x"], timeout=60, check=False)
    assert done.returncode == 0
