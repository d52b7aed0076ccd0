"""Files are opened once more by their name only where that gives the same bytes."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import luigi
import pyarrow as pa
import pytest

from kart_runtime.storage.codecs.files import for_arrow, whole_path


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    return tmp_path / "x"


def test_a_local_file_has_a_path(path):
    with path.open("rb") as file:
        assert whole_path(file) == str(path)
    with luigi.LocalTarget(str(path), format=luigi.format.Nop).open("r") as file:
        assert whole_path(file) == str(path)


def test_a_file_that_stands_elsewhere_has_none(path):
    with path.open("rb") as file:
        file.read(2)
        assert whole_path(file) is None


def test_a_file_that_was_replaced_or_removed_has_none(path):
    with path.open("rb") as file:
        Path("other").write_bytes(b"other")
        Path("other").replace(path)
        assert whole_path(file) is None
        path.unlink()
        assert whole_path(file) is None


def test_a_file_that_decompresses_has_none(path):
    path.write_bytes(gzip.compress(b"content"))
    with gzip.open(path) as file:
        assert whole_path(file) is None
        with for_arrow(file) as source:
            assert source.read() == b"content"


def test_arrow_opens_local_files_itself(path):
    with path.open("rb") as file:
        with for_arrow(file) as source:
            assert isinstance(source, pa.OSFile)
            assert source.read() == b"content"
        assert source.closed
        assert file.read() == b"content"


def test_a_file_in_memory_is_read_as_it_is():
    file = io.BytesIO(b"content")
    with for_arrow(file) as source:
        assert source is file
    assert not file.closed
