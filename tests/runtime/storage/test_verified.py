"""What is loaded are the bytes that were stored, or an error says which file is not, who made it and who wanted it."""

from __future__ import annotations

import hashlib
import io
import pickle
from datetime import datetime
from pathlib import Path

import luigi
import numpy as np
import pandas as pd
import pytest

from kart_runtime import BuildFailed, TaskOnKart, build, make_target
from kart_runtime.errors import ObjectCorrupt, ObjectMissing
from kart_runtime.execution.attempt import Attempt
from kart_runtime.storage import checksum
from kart_runtime.storage.checksum import ALGORITHM, algorithm_of, checksum_of, measured
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.staging import OutputRecord
from kart_runtime.storage.target import Target

FRAME = pd.DataFrame({"a": range(300), "b": [f"text {n}" for n in range(300)]})
VALUES = {
    "pkl": {"a": [1, 2, 3]},
    "txt": "some text",
    "csv": FRAME,
    "tsv": FRAME,
    "json": FRAME,
    "ndjson": FRAME,
    "parquet": FRAME,
    "feather": FRAME,
    "npz": np.arange(100),
    "gz": "compressed text",
    "png": b"\x89PNG bytes",
}


class Records:
    """What runs have recorded, in a dict; `later` is what another process has recorded meanwhile."""

    def __init__(self):
        self.known, self.later, self.refreshed = {}, {}, 0

    def expected(self, url):
        return self.known.get(url)

    def refresh(self):
        self.refreshed += 1
        self.known |= self.later

    def settle(self, _url):
        return {}


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGE = {
    "truncated": lambda data: data[:-1],
    "emptied": lambda _data: b"",
    "flipped": flip,
    "replaced": lambda data: bytes(len(data)),
    "longer": lambda data: data + b"\n",
}


def stored(url, value, records):
    target = make_target(url, as_type=type(value))
    record = target.dump(value)
    records.known[url] = record
    target.records = records
    return target


def write(url, data):
    store, key = store_for(url)
    with store.write(key) as file:
        file.write(data)


def read(url):
    store, key = store_for(url)
    with store.open(key) as file:
        return file.read()


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("suffix", VALUES)
@pytest.mark.parametrize("place", ["local", "memory"])
def test_bytes_that_are_not_those_stored_are_not_decoded(tmp_path, monkeypatch, suffix, damage, place):
    folder = str(tmp_path) if place == "local" else f"memory://{tmp_path.name}"
    url, records = f"{folder}/x.{suffix}", Records()
    target = stored(url, VALUES[suffix], records)
    target.load()
    write(url, DAMAGE[damage](read(url)))
    monkeypatch.setattr(type(target._codec), "load", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ObjectCorrupt, match="Delete it and run again") as caught:
        target.load()
    assert url in str(caught.value)
    assert records.refreshed == 1


def test_swapped_objects_are_recognized(bucket):
    records = Records()
    one, two = (stored(f"{bucket.url}/{name}.pkl", name, records) for name in ("one", "two"))
    first, second = read(one.url), read(two.url)
    write(one.url, second)
    write(two.url, first)
    for target in (one, two):
        with pytest.raises(ObjectCorrupt, match="its checksum is xxh3_128:"):
            target.load()


def test_a_large_file_is_verified_too(tmp_path, monkeypatch):
    monkeypatch.setattr(checksum, "_SMALL", 100)
    records = Records()
    target = stored(str(tmp_path / "x.parquet"), FRAME, records)
    pd.testing.assert_frame_equal(target.load(), FRAME)
    path = Path(target.path())
    path.write_bytes(flip(path.read_bytes()))
    with pytest.raises(ObjectCorrupt):
        target.load()


def test_a_member_of_a_zip_file_is_verified_with_it(tmp_path):
    class Model(TaskOnKart[str]):
        def output(self):
            return self.make_model_target("x.zip", lambda value, path: Path(path).write_text(value), _text)

        def run(self):
            self.dump("x" * 1000)

    outcome = Attempt(Model()).run()
    target, records = Model().output(), Records()
    records.known[target.url], target.records = outcome.stored[0], records
    assert target.load() == "x" * 1000
    write(target.url, flip(read(target.url)))
    with pytest.raises(ObjectCorrupt) as caught:
        target.load()
    assert str(Model()) in str(caught.value)


def _text(path):
    return Path(path).read_text()


def test_what_another_process_has_stored_and_recorded_is_loaded(tmp_path):
    records = Records()
    target = stored(str(tmp_path / "x.pkl"), "old", records)
    records.later[target.url] = make_target(target.url).dump("new")
    assert target.load() == "new"
    assert records.refreshed == 1


def test_records_of_earlier_versions_are_compared_too(tmp_path):
    records = Records()
    target = stored(str(tmp_path / "x.pkl"), "value", records)
    data = read(target.url)
    records.known[target.url] = OutputRecord(target.url, len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
    assert target.load() == "value"
    write(target.url, flip(data))
    with pytest.raises(ObjectCorrupt, match="sha256"):
        target.load()


@pytest.mark.parametrize("text", ["", "blake9:00"])
def test_without_a_checksum_that_is_known_nothing_is_compared(tmp_path, text):
    records = Records()
    target = stored(str(tmp_path / "x.pkl"), "value", records)
    records.known[target.url] = OutputRecord(target.url, 1, text)
    assert target.load() == "value"
    assert algorithm_of(text) == ""


def test_a_missing_file_is_missing(tmp_path):
    records = Records()
    target = stored(str(tmp_path / "x.pkl"), "value", records)
    target.remove()
    with pytest.raises(ObjectMissing):
        target.load()


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_size_and_checksum_are_those_of_all_bytes(size):
    data = bytes(size)
    file, found, text = measured(io.BytesIO(data))
    assert (found, text) == (size, checksum_of(io.BytesIO(data)))
    assert text.startswith(ALGORITHM)
    assert file.read() == data


# -- in a run --------------------------------------------------------------------------------------------------------


class Made(TaskOnKart[list[int]]):
    n = luigi.IntParameter(default=1)

    def run(self):
        self.dump([self.n])


class Outside(luigi.ExternalTask, TaskOnKart[int]):
    def output(self):
        return self.make_target("outside.pkl", use_unique_id=False)


class Uses(TaskOnKart[object]):
    """Loads in the way that a test chooses."""

    use = staticmethod(lambda task: task.load())

    def requires(self):
        return [Made(), Made(n=2), Outside()]

    def run(self):
        type(self).use(self)
        self.dump(0)


@pytest.fixture
def uses(monkeypatch):
    monkeypatch.setattr(Uses, "use", Uses.__dict__["use"])
    build(Made(n=2))
    outcome = Attempt(Made()).run()
    assert outcome.stored[0].checksum
    Path("resources/outside.pkl").write_bytes(pickle.dumps(5))
    return Uses


def checksum_at(url):
    with Path(url).open("rb") as file:
        return checksum_of(file)


@pytest.mark.parametrize(
    ("use", "loaded"),
    [
        (lambda task: task.load(), (0, 1, 2)),
        (lambda task: list(task.load_generator()), (0, 1, 2)),
        (lambda task: task.load(Made(n=2)), (1,)),
        (lambda task: task.input()[0].load(), (0,)),
        (lambda task: task.input()[2].path(), (2,)),
        (lambda task: None, ()),
        (lambda task: [task.dump("old"), task.load(task.output())], ()),
    ],
)
def test_a_run_records_what_it_has_loaded(uses, use, loaded):
    uses.use = staticmethod(use)
    outcome = Attempt(uses()).run()
    assert outcome.error is None
    urls = [uses().input()[number].url for number in loaded]
    assert outcome.inputs == tuple((url, checksum_at(url)) for url in urls)


def test_what_comes_from_the_value_cache_is_recorded_alike(monkeypatch):
    from kart_runtime.storage.value_cache import caching_values

    class Long(TaskOnKart[str]):
        def run(self):
            self.dump("x" * 100_000)

    class Reads(TaskOnKart[int]):
        def requires(self):
            return Long()

        def run(self):
            monkeypatch.setattr(checksum, "_new_hash", lambda *_: pytest.fail("it was read"))
            self.load()
            monkeypatch.undo()
            self.dump(1)

    with caching_values(10_000_000):
        made = Attempt(Long()).run()
        outcome = Attempt(Reads()).run()
    assert outcome.error is None
    assert outcome.inputs == ((Long().output().url, made.stored[0].checksum),)


def test_the_error_names_producer_and_consumer_and_survives_pickling(uses):
    url = Made().output().url
    expected = OutputRecord(url, 3, "xxh3_128:0")
    attempt = Attempt(uses())
    attempt.task_run.expected = {url: expected}
    (error,) = [pickle.loads(pickle.dumps(attempt)).run().error]
    assert isinstance(error, ObjectCorrupt)
    assert error.url == url
    assert error.producer == Made()
    assert all(str(part) in str(error) for part in (url, Made(), uses(), "Delete it and run again"))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.producer) == (str(error), Made())


def test_a_file_that_no_task_stores_is_not_to_be_deleted(uses):
    Path("resources/outside.pkl").write_bytes(b"no pickle")
    with pytest.raises(BuildFailed) as caught:
        build(uses())
    (error,) = caught.value.causes.values()
    assert isinstance(error, ObjectCorrupt)
    assert "Delete it" not in str(error)
    assert "provide the right file" in str(error)


def test_a_pickled_target_leaves_its_task_and_run_behind(uses):
    seen = []
    uses.use = staticmethod(lambda task: seen.append(pickle.loads(pickle.dumps(task.output()))))
    Attempt(uses()).run()
    (target,) = seen
    assert type(target) is Target
    assert (target.owner, target.records) == (None, None)
    assert target.load() == 0
    assert target.last_modification_time() <= datetime.now()
