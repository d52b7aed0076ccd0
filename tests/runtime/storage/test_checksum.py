"""Size and checksum are those of the bytes that arrive, whatever pieces they come in."""

from __future__ import annotations

import io
import subprocess
import sys
import threading

import xxhash
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.storage.checksum import ChecksumFile, checksum_of

LARGE = 1 << 18
pieces = st.lists(st.tuples(st.sampled_from([0, 1, 1000, LARGE - 1, LARGE, LARGE + 7]), st.booleans()), max_size=8)


def expected(data):
    return f"xxh3_128:{xxhash.xxh3_128(data).hexdigest()}"


@given(pieces)
def test_size_and_checksum_are_those_of_the_file(sizes):
    file = io.BytesIO()
    checksum_file = ChecksumFile(file)
    for number, (size, as_view) in enumerate(sizes):
        data = bytes([number]) * size
        assert checksum_file.write(memoryview(data) if as_view else data) == size
    whole = file.getvalue()
    assert (checksum_file.size, checksum_file.tell()) == (len(whole), len(whole))
    assert checksum_file.checksum() == expected(whole)


def test_a_buffer_may_be_used_again_as_soon_as_it_is_written():
    file, buffer = io.BytesIO(), bytearray(8 * LARGE)
    checksum_file = ChecksumFile(file)
    for value in range(3):
        buffer[:] = bytes([value]) * len(buffer)
        checksum_file.write(memoryview(buffer))
    assert checksum_file.checksum() == expected(file.getvalue())


def test_no_thread_is_started():
    before = set(threading.enumerate())
    ChecksumFile(io.BytesIO()).write(bytes(2 * LARGE))
    assert set(threading.enumerate()) <= before


def test_the_checksum_of_what_is_read_is_that_of_what_was_written():
    data = bytes(range(256)) * 10_000
    assert checksum_of(io.BytesIO(data)) == expected(data)
    assert checksum_of(io.BytesIO()) == ChecksumFile(io.BytesIO()).checksum()


def test_the_library_is_imported_when_something_is_written():
    code = "import sys, kart_runtime.storage.target; sys.exit('xxhash' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_cannot_be_sought_in():
    assert not ChecksumFile(io.BytesIO()).seekable()
