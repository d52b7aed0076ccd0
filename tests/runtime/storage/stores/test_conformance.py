"""What may be relied on of every store: one suite, run by each of them, the worked example of the documentation too."""

from __future__ import annotations

import array
import http.client
import io
import itertools
import json
import os
import random
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from kart_runtime.errors import ObjectMissing, RequestFailed
from kart_runtime.storage import registry
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import Conditional, copy, is_remote, object_cache, put, upload
from kart_runtime.storage.stores.listings import cached_listings
from kart_runtime.storage.stores.upload import PART
from tests.runtime.servers import GCSFront, put_many

REMOTE = ("s3", "gcs")
ALL = ("local", "memory", *REMOTE, "example")

MIB = 1 << 20
LARGE = 700 << 10
"""Bytes of an object that goes in three parts, by the fixture `_small_parts`."""

_PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "add-a-store.md"
_folders = itertools.count()


class Case(NamedTuple):
    """A store, and a folder of it that is empty.

    Attributes
    ----------
    store
        The store.
    folder
        A key.
    url
        What stands before a key in a url.
    left_over
        Returns what should not lie there: temporary files, uploads that have not ended.
    """

    store: Any
    folder: str
    url: str
    left_over: Callable[[], list[str]]

    def write(self, name, *pieces):
        with self.store.write(f"{self.folder}/{name}") as file:
            for piece in pieces:
                file.write(piece)

    def read(self, name):
        with self.store.open(f"{self.folder}/{name}") as file:
            return file.read()

    def names(self, below=""):
        folder = f"{self.folder}/{below}".rstrip("/")
        return sorted(found.key.removeprefix(f"{self.folder}/") for found in self.store.list(folder))


def example_code():
    """The store that the documentation shows how to write."""
    blocks = re.findall(r"^```python[^\n]*\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if re.search(r"^class ", block, re.MULTILINE))


def local(request, tmp_path):
    store, folder = store_for(str(tmp_path / "ws"))
    return Case(store, folder, "", lambda: [name for name in _files(tmp_path / "ws") if ".kart-" in name])


def memory(request, tmp_path):
    store, folder = store_for(f"memory://{next(_folders)}/ws")
    return Case(store, folder, "memory://", list)


def s3(request, tmp_path):
    bucket = request.getfixturevalue("s3_bucket")

    def left_over():
        connection = http.client.HTTPConnection(bucket.proxy.url.removeprefix("http://"))
        connection.request("GET", f"/{bucket.name}?uploads")
        text = connection.getresponse().read().decode()
        connection.close()
        return re.findall("<UploadId>(.*?)<", text)

    return Case(*store_for(f"{bucket.url}/ws"), "s3://", left_over)


def gcs(request, tmp_path):
    bucket = request.getfixturevalue("gcs_bucket")
    before = set(bucket.proxy.unfinished)
    return Case(*store_for(f"{bucket.url}/ws"), "gs://", lambda: sorted(bucket.proxy.unfinished - before))


def example(request, tmp_path):
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setenv("TEAM_FILES", f"file://{tmp_path}/team")
    module = f"example_store_{next(_folders)}"
    code = example_code()
    Path(f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "STORES", dict(registry.STORES))
    name = re.search(r"^class (\w+)", code, re.MULTILINE)[1]
    registry.register_store("team", f"{module}:{name}")
    return Case(
        *store_for("team://a/ws"),
        "team://",
        lambda: [name for name in _files(tmp_path / "team") if name.startswith(".")],
    )


def _files(folder):
    return [name for _, _, names in os.walk(folder) for name in names]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch, request):
    if request.function is not test_what_is_written_is_read:
        monkeypatch.setattr(upload, "PART", 256 << 10)
        # boto3 knows that the service takes no smaller ones; moto does.
        monkeypatch.setattr("s3transfer.utils.ChunksizeAdjuster._adjust_for_chunksize_limits", lambda _, size: size)
        monkeypatch.setattr(object_cache, "CHUNK", 256 << 10)


@pytest.fixture(params=ALL)
def case(request, tmp_path):
    return globals()[request.param](request, tmp_path)


@pytest.fixture(params=REMOTE)
def remote(request, tmp_path):
    return globals()[request.param](request, tmp_path)


@pytest.fixture(params=("memory", *REMOTE))
def conditional(request, tmp_path):
    case = globals()[request.param](request, tmp_path)
    assert isinstance(case.store, Conditional)
    return case


# -- one object ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 70_000, PART, PART + 1, 20 * MIB])
def test_what_is_written_is_read(case, size):
    data = random.Random(size).randbytes(size)
    began = time.time()
    case.write("new/folders/x.bin", data[: size // 3], memoryview(data)[size // 3 :])
    assert case.read("new/folders/x.bin") == data
    found = case.store.stat(f"{case.folder}/new/folders/x.bin")
    assert (found.key, found.size) == (f"{case.folder}/new/folders/x.bin", size)
    assert began - 2 < found.modified < time.time() + 2
    assert list(case.store.list(case.folder)) == [found]
    assert case.left_over() == []


def test_many_small_writes_make_one_object(case):
    pieces = [bytes([number % 256]) * (number % 7000) for number in range(3000)]
    case.write("x", *pieces)
    assert case.read("x") == b"".join(pieces)


def test_anything_that_holds_bytes_can_be_written(case):
    with case.store.write(f"{case.folder}/x") as file:
        numbers = array.array("d", [1.0, 2.0])
        assert [file.write(data) for data in (b"a", bytearray(b"bc"), memoryview(b"d"), b"", memoryview(numbers))] == [
            *(1, 2, 1, 0),
            16,
        ]
    assert case.read("x") == b"abcd" + numbers.tobytes()


def test_a_reader_can_seek(case):
    case.write("x", b"0123456789")
    with case.store.open(f"{case.folder}/x") as file:
        assert file.seek(-3, io.SEEK_END) == 7
        assert file.read(2) == b"78"
        assert file.seek(0) == 0
        assert file.read() == b"0123456789"


@pytest.mark.parametrize("size", [4, LARGE])
def test_nothing_is_seen_before_the_end(case, size):
    with case.store.write(f"{case.folder}/x") as file:
        file.write(bytes(size))
        assert case.store.stat(f"{case.folder}/x") is None
        assert case.names() == []
    assert case.store.stat(f"{case.folder}/x").size == size


@pytest.mark.parametrize("size", [3, LARGE])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_what_was_there_and_no_rubbish(case, error, size):
    case.write("x", b"old")
    for name in ("x", "new"):
        with pytest.raises(error), case.store.write(f"{case.folder}/{name}") as file:
            file.write(b"n" * size)
            raise error
    assert case.read("x") == b"old"
    assert case.names() == ["x"]
    assert case.left_over() == []


def test_an_object_is_overwritten(case):
    for data in (b"first", b"second, longer", b"3", bytes(LARGE), b"", b"last"):
        case.write("x", data)
        assert case.read("x") == data
    assert case.names() == ["x"]
    assert case.left_over() == []


@pytest.mark.parametrize("size", [4, LARGE])
def test_the_version_of_an_object_changes_with_it(case, size):
    key, versions = f"{case.folder}/x", []
    for byte in (b"a", b"b"):
        with case.store.write(key) as file:
            file.write(byte * size)
        if not hasattr(file, "version"):  # a store of a user's
            return
        found = case.store.stat(key)
        assert found.version == file.version
        assert next(case.store.list(case.folder)).version == file.version
        versions.append(file.version)
    assert len({*versions, ""}) == 3


def test_a_missing_object_is_named(case):
    case.write("folder/there", b"x")
    key = f"{case.folder}/nothing.pkl"
    with pytest.raises(ObjectMissing, match=re.escape(f"{case.url}{key} does not exist")):
        case.store.open(key)
    assert case.store.stat(key) is None
    assert case.store.stat(f"{case.folder}/there/below") is None
    assert case.store.delete(key) is False
    assert list(case.store.list(f"{case.folder}/nowhere")) == []


def test_an_object_is_deleted(case):
    case.write("x", b"1")
    case.write("x.y", b"2")
    assert case.store.delete(f"{case.folder}/x") is True
    assert case.store.delete(f"{case.folder}/x") is False
    assert case.store.stat(f"{case.folder}/x") is None
    with pytest.raises(ObjectMissing):
        case.store.open(f"{case.folder}/x")
    assert case.names() == ["x.y"]


def test_small_objects_are_put(case):
    for data in (b"text", b"other text", b""):
        put(case.store, f"{case.folder}/log/x.log", data)
        assert case.read("log/x.log") == data


def test_odd_names_are_names(case):
    names = ["a b", "a+b", "a%20b", "a%b", "ä", "日本語", "e\u0301", "é", "a#b", "a?b=c&d", "x...", "a:b", "=,;@$~'*()"]
    for name in names:
        case.write(f"f/{name}", name.encode())
    for name in names:
        assert case.read(f"f/{name}") == name.encode()
        assert case.store.stat(f"{case.folder}/f/{name}").size == len(name.encode())
    assert case.names() == sorted(f"f/{name}" for name in names)
    for name in names:
        case.write(f"{name}/x", b"")
        assert case.names(name) == [f"{name}/x"]
        assert case.store.delete(f"{case.folder}/f/{name}") is True
    assert case.names("f") == []


# -- folders ---------------------------------------------------------------------------------------------------------


def test_a_list_goes_through_a_folder_and_no_other(case):
    inside = ["a", "a/b", "a.b", "c/d/e", "z"] if case.url != "" and case.url != "team://" else ["a.b", "c/d/e", "z"]
    for name in (*inside, "../ws2/x", "../ws.txt", "../w"):
        folder = case.folder.rpartition("/")[0]
        key = f"{folder}/{name[3:]}" if name.startswith("..") else f"{case.folder}/{name}"
        with case.store.write(key) as file:
            file.write(name.encode())
    for folder in (case.folder, f"{case.folder}/"):
        found = list(case.store.list(folder))
        assert sorted(one.key for one in found) == sorted(f"{case.folder}/{name}" for name in inside)
        assert sorted(one.size for one in found) == sorted(map(len, inside))
    assert case.names("c") == ["c/d/e"]
    assert case.names("c/d") == ["c/d/e"]


def test_more_than_one_page_is_listed_and_deleted(remote, request):
    keys = [f"{remote.folder}/{number:04}" for number in range(1203)]
    bucket = request.getfixturevalue("gcs_bucket" if remote.url == "gs://" else "s3_bucket")
    put_many(bucket.proxy, bucket.name, [key.partition("/")[2] for key in keys])
    remote.store.put(f"{remote.folder}2", b"")
    assert [found.key for found in remote.store.list(remote.folder)] == keys
    assert dict(bucket.proxy.count()) == {"list": 2, "put": 1}
    bucket.proxy.reset()
    with cached_listings():  # as a plan does, from the last to the first: each page, and one question of its own
        for key in reversed(keys):
            assert remote.store.stat(key).size == 1
            assert remote.store.stat(f"{key}.x") is None
    assert dict(bucket.proxy.count()) == {"list": 2, "head": 1}
    missing = f"{remote.folder}/missing"
    assert remote.store.delete_many([*keys[:-1], missing]) == {}
    assert [found.key for found in remote.store.list(remote.folder)] == keys[-1:]


def test_a_page_tells_of_one_folder(remote):
    names = ["a", "b/1", "b/2", "b.c", "d"]
    for name in names:
        remote.store.put(f"{remote.folder}/{name}", b"")
    page = remote.store.page(f"{remote.folder}/")
    assert [found.key for found in page.found] == [f"{remote.folder}/{name}" for name in ("a", "b.c", "d")]
    assert (page.last, page.token) == (f"{remote.folder}/d", None)


# -- many at once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100_000, LARGE])
def test_writers_and_readers_never_see_a_mixture(case, size):
    """What is read was written by one writer, whole."""
    letters, rounds = b"abc", 4
    case.write("x", b"a" * size)
    seen, writing = set(), threading.Event()

    def write(letter):
        for _ in range(rounds):
            case.write("x", bytes([letter]) * size)

    def read():
        while not writing.is_set():
            with suppress(RequestFailed):  # a large one that is replaced again and again while it is read
                data = case.read("x")
                seen.add((len(data), data[:1], data.count(data[:1]) == size))

    with ThreadPoolExecutor(6) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        writers = [threads.submit(write, letter) for letter in letters]
        wait(writers)
        writing.set()
        for future in writers + readers:
            future.result()
    assert seen <= {(size, bytes([letter]), True) for letter in letters}
    assert case.names() == ["x"]
    assert case.left_over() == []


def test_many_threads_use_one_store(case):
    def use(number):
        case.write(f"{number}", b"%d" % number)
        case.write(f"large/{number}", b"%d" % number * 300_000)
        return case.read(f"{number}"), case.read(f"large/{number}")[:100]

    with ThreadPoolExecutor(32) as threads:
        for number, (small, large) in enumerate(threads.map(use, range(48))):
            assert (small, large) == (b"%d" % number, (b"%d" % number * 100)[:100])


# -- conditions ------------------------------------------------------------------------------------------------------


def test_of_several_that_create_an_object_one_succeeds(conditional):
    store, start = conditional.store, threading.Barrier(8)

    def create(number):
        start.wait()
        return store.create(f"{conditional.folder}/lock", b"%d" % number)

    with ThreadPoolExecutor(8) as threads:
        versions = list(threads.map(create, range(8)))
    winners = [number for number, version in enumerate(versions) if version is not None]
    assert len(winners) == 1
    found = store.read(f"{conditional.folder}/lock")
    assert (found.data, found.version) == (b"%d" % winners[0], versions[winners[0]])


def test_of_several_that_replace_a_version_one_succeeds(conditional):
    store, key, start = conditional.store, f"{conditional.folder}/lock", threading.Barrier(8)
    version = store.create(key, b"old")

    def replace(number):
        start.wait()
        return store.replace(key, b"new %d" % number, version)

    with ThreadPoolExecutor(8) as threads:
        versions = list(threads.map(replace, range(8)))
    winners = [number for number, version in enumerate(versions) if version is not None]
    assert len(winners) == 1
    assert store.read(key).data == b"new %d" % winners[0]


def test_only_the_version_that_is_there_is_replaced_and_removed(conditional):
    store, key = conditional.store, f"{conditional.folder}/lock"
    assert store.read(key) is None
    assert store.replace(key, b"x", "1") is None
    assert store.delete_version(key, "1") is False
    first = store.create(key, b"1")
    assert store.create(key, b"2") is None
    second = store.replace(key, b"2", first)
    assert second not in {None, first}
    assert store.replace(key, b"3", first) is None
    assert store.delete_version(key, first) is False
    assert store.read(key)[:2] == (b"2", second)
    assert store.delete_version(key, second) is True
    assert store.read(key) is None
    assert store.create(key, b"4") is not None


def test_an_age_is_by_the_clock_of_the_store(conditional):
    store, key = conditional.store, f"{conditional.folder}/lock"
    store.create(key, b"1")
    assert -1.0 <= store.read(key).age <= 10.0
    assert store.create(key, b"2") is None  # by its answer some stores tell what time it is there
    time.sleep(1.6)
    assert 1.0 <= store.read(key).age <= 15.0


# -- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, LARGE])
def test_labels_are_stored_with_the_object_by_the_same_requests(request, tmp_path, size):
    case = gcs(request, tmp_path)
    proxy = request.getfixturevalue("gcs_bucket").proxy
    labels = {"param": "1", "text": 'ä "日本" \\', "__required_task_outputs": json.dumps([{"a": 1}])}
    with case.store.write(f"{case.folder}/x", labels) as file:
        file.write(bytes(size))
    assert set(proxy.count()) <= ({"put", "post", "head"} if size == LARGE else {"put"})
    bucket, _, name = f"{case.folder}/x".partition("/")
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"))
    connection.request("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")
    assert json.loads(connection.getresponse().read())["metadata"] == labels
    connection.close()
    case.write("x", b"without")
    assert case.read("x") == b"without"


def test_only_gcs_keeps_labels(case):
    assert getattr(case.store, "supports_labels", False) is (case.url == "gs://")
    assert is_remote(case.store) is (case.url in {"s3://", "gs://", "team://"})


# -- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_missing_bucket_is_an_error_that_names_it(remote):
    key = "no-such-bucket/ws/x"

    def write(size):
        with remote.store.write(key) as file:
            file.write(bytes(size))

    for ask in (
        lambda: remote.store.open(key),
        lambda: remote.store.put(key, b""),
        lambda: write(1),
        lambda: write(LARGE),
        lambda: list(remote.store.list("no-such-bucket/ws")),
        lambda: remote.store.page("no-such-bucket/ws/"),
        lambda: remote.store.read(key),
        lambda: remote.store.create(key, b""),
    ):
        with pytest.raises(RequestFailed, match=rf"^{remote.url}no-such-bucket/ws/?x?: could not .* Create the bucket"):
            ask()


def test_a_service_that_is_away_is_an_error_in_bounded_time(remote, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("KART_NETWORK_TIMEOUT", "2")
    began = time.monotonic()
    for ask in (
        lambda: remote.store.stat(f"{remote.folder}/x"),
        lambda: remote.store.open(f"{remote.folder}/x"),
        lambda: remote.store.put(f"{remote.folder}/x", b""),
        lambda: list(remote.store.list(remote.folder)),
    ):
        with pytest.raises(RequestFailed, match=rf"^{remote.url}{remote.folder}.* could not .*127\.0\.0\.1") as caught:
            ask()
        assert "Check " in str(caught.value)
    assert time.monotonic() - began < 4 * 2


@pytest.fixture
def proxy(remote, request, short_tries):
    """What stands before the service; the clients lose no time between their tries."""
    found = request.getfixturevalue("gcs_bucket" if remote.url == "gs://" else "s3_bucket").proxy
    assert isinstance(found, GCSFront) is (remote.url == "gs://")
    return found


@pytest.mark.parametrize("fault", ["503", "cut", "cut answer", "lost"])
@pytest.mark.parametrize(("size", "requests"), [(1000, range(4)), (LARGE, range(9))])
def test_faults_of_the_network_are_survived(remote, proxy, size, requests, fault):
    """A request fails, each time another one; a short object is never taken for a whole one."""
    data = random.Random(size).randbytes(size)
    for number in requests:
        proxy.reset()
        proxy.fail(fault, after=number)
        remote.write("x", data, b"%d" % number)
        assert remote.read("x") == data + b"%d" % number
        remote.store.delete(f"{remote.folder}/y")
        assert remote.names() == ["x"]
    proxy.reset()
    if remote.left_over() and fault in {"cut answer", "lost"}:
        # The upload of which we were not told that it had begun.
        assert len(remote.left_over()) == 1
        if remote.url == "s3://":  # GCS forgets it by itself
            (upload,) = remote.store.unfinished(remote.folder, time.time())
            assert remote.store.discard(upload)
            assert remote.left_over() == []
    else:
        assert remote.left_over() == []


@pytest.mark.parametrize("size", [1000, LARGE])
def test_faults_that_stay_are_errors_and_leave_nothing_behind(remote, proxy, size):
    proxy.fail("503", kind="put", times=1000, after=1 if size == LARGE else 0)
    with pytest.raises(RequestFailed, match="could not write it"):
        remote.write("x", bytes(size))
    proxy.reset()
    assert remote.names() == []
    assert remote.left_over() == []


@pytest.mark.parametrize("fault", ["503", "cut answer"])
def test_bytes_that_do_not_come_are_an_error(remote, proxy, fault):
    remote.write("x", bytes(LARGE))
    proxy.reset()
    proxy.fail(fault, kind="get", times=1000, after=1)
    with pytest.raises(RequestFailed, match="could not read it"):
        remote.read("x")
    proxy.reset()
    assert remote.read("x") == bytes(LARGE)


@pytest.mark.parametrize("size", [0, 10, LARGE])
def test_an_object_is_copied_whole_and_its_version_told(case, size):
    data = os.urandom(size)
    case.write("a.bin", data)
    case.write("b.bin", b"before")
    version = copy(case.store, f"{case.folder}/a.bin", f"{case.folder}/b.bin")
    assert case.read("a.bin") == case.read("b.bin") == data
    assert version in ("", case.store.stat(f"{case.folder}/b.bin").version)
    assert version or case.url not in ("s3://", "gs://")
    assert case.left_over() == []
    with pytest.raises(ObjectMissing):
        copy(case.store, f"{case.folder}/none.bin", f"{case.folder}/b.bin")
    assert case.read("b.bin") == data
