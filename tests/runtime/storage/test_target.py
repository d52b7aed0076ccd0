"""A target says what it stored, and never takes half a file for a value."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime import make_target
from kart_runtime.errors import CannotEncode, ObjectCorrupt, ObjectMissing
from kart_runtime.storage.checksum import checksum_of
from kart_runtime.storage.codecs.texts import Gzip
from kart_runtime.storage.target import Target, with_id


@pytest.mark.parametrize("suffix", [".pkl", ".csv", ".parquet", ".feather", ".json"])
def test_size_and_checksum_are_those_of_the_file(tmp_path, suffix):
    target = Target(str(tmp_path / f"x{suffix}"), as_type=pd.DataFrame)
    frame = pd.DataFrame({"a": range(10_000)})
    stored = target.dump(frame)
    data = Path(target.path()).read_bytes()
    assert (stored.size, stored.checksum) == (len(data), f"xxh3_128:{xxhash.xxh3_128(data).hexdigest()}")
    with Path(target.path()).open("rb") as file:
        assert checksum_of(file) == stored.checksum
    assert target.stat().size == stored.size
    pd.testing.assert_frame_equal(target.load(), frame)


@pytest.mark.parametrize("suffix", [".pkl", ".json", ".parquet", ".feather"])
def test_a_cut_file_is_an_error_that_names_it(tmp_path, suffix):
    target = Target(str(tmp_path / f"x{suffix}"), as_type=pd.DataFrame)
    target.dump(pd.DataFrame({"a": range(1000)}))
    path = Path(target.path())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ObjectCorrupt, match=r"Delete it and run again") as caught:
        target.load()
    assert str(path) in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_value_that_does_not_fit_leaves_nothing(tmp_path):
    target = Target(str(tmp_path / "x.parquet"))
    with pytest.raises(CannotEncode):
        target.dump({"a": 1})
    assert not target.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [b"small", b"x" * 10_000_000])
def test_what_may_not_be_committed_leaves_what_was_there(tmp_path, value):
    target = Target(str(tmp_path / "x.pkl"))
    seen = []

    def refuse():
        seen.append(target.exists())
        raise RuntimeError("not any more")

    with pytest.raises(RuntimeError, match="not any more"):
        target.dump(value, may_commit=refuse)
    assert list(tmp_path.iterdir()) == []
    target.dump("before")
    with pytest.raises(RuntimeError, match="not any more"):
        target.dump(value, may_commit=refuse)
    assert target.load() == "before"
    assert seen == [False, True]  # nothing was to be seen yet
    target.dump(value, may_commit=lambda: None)
    assert target.load() == value


def test_the_life_of_a_target(tmp_path):
    target = make_target(str(tmp_path / "x.pkl"), unique_id="abc")
    assert target.path().endswith("x_abc.pkl")
    assert not target.exists()
    with pytest.raises(ObjectMissing):
        target.load()
    with pytest.raises(FileNotFoundError):
        target.last_modification_time()
    target.dump([1])
    assert target.exists()
    assert abs(target.last_modification_time() - datetime.now()) < timedelta(minutes=1)
    assert target.remove()
    assert not target.exists()
    assert not target.remove()


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("a/b.pkl", "a/b_ID.pkl"),
        ("a.b/c", "a.b/c_ID"),
        ("a/b.tar.gz", "a/b.tar_ID.gz"),
        ("a/.hidden", "a/.hidden_ID"),
        ("b.pkl", "b_ID.pkl"),
        ("s3://b.c/d", "s3://b.c/d_ID"),
    ],
)
def test_the_id_stands_before_the_suffix(path, named):
    assert with_id(path, "ID") == named


@given(st.text(st.characters(exclude_characters="/."), min_size=1), st.sampled_from(["", ".pkl", ".csv"]))
def test_the_id_can_be_taken_out_again(name, suffix):
    assert with_id(name + suffix, "ID").replace("_ID", "", 1) == name + suffix or "_ID" in name


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "ndjson", "jsonl", "pkl", "parquet", "feather"])
@pytest.mark.parametrize("unique_id", ["0123", None])
def test_two_suffixes_are_the_first_format_compressed(tmp_path, suffix, unique_id):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    target = make_target(f"{tmp_path}/x.{suffix}.gz", unique_id, as_type=pd.DataFrame)
    assert target.path() == f"{tmp_path}/x{'_0123' if unique_id else ''}.{suffix}.gz"
    first, second = target.dump(frame), target.dump(frame)
    assert first.checksum == second.checksum
    pd.testing.assert_frame_equal(target.load(), frame)
    with gzip.open(target.path()) as opened:
        make_target(f"{tmp_path}/plain.{suffix}").dump(frame)
        assert opened.read() == (tmp_path / f"plain.{suffix}").read_bytes()


def test_a_gz_file_of_gokart_is_text(tmp_path):
    path = tmp_path / "x.csv_0123.gz"
    path.write_bytes(gzip.compress(b"   a\n0  1\n"))
    assert make_target(str(path)).load() == ["   a", "0  1"]
    assert make_target(f"{tmp_path}/x.csv.gz", "0123", processor=Gzip()).path() == str(path)


def test_a_value_that_only_cloudpickle_writes_is_compressed(tmp_path):
    target = make_target(f"{tmp_path}/x.pkl.gz")
    target.dump([list(range(100_000)), lambda: 5])
    assert target.load()[1]() == 5


def test_times_are_in_utc_in_s3_as_in_gokart_and_local_elsewhere(s3_bucket, tmp_path):
    now = datetime.now().astimezone()
    remote, local = Target(f"{s3_bucket.url}/x.txt"), Target(str(tmp_path / "x.txt"))
    for target in (remote, local):
        target.dump("x")
    assert remote.last_modification_time().utcoffset() == timedelta(0)
    assert local.last_modification_time().tzinfo is None
    for target in (remote, local):
        assert abs(target.last_modification_time().timestamp() - now.timestamp()) < 600


def test_the_arguments_of_gokarts_targets_are_taken(tmp_path):
    target = make_target(file_path=str(tmp_path / "x.txt"), unique_id="1", task_lock_params=None)
    target.dump(obj="x", lock_at_dump=False, task_params={"a": "1"}, custom_labels={"b": 2}, required_task_outputs=[])
    assert target.load() == ["x"]
