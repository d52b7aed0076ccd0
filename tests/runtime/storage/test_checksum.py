"""Size and checksum are those of the bytes that arrive, whatever pieces they come in."""

from __future__ import annotations

import hashlib
import io
import threading

from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.storage.checksum import LARGE, ChecksumFile

pieces = st.lists(st.tuples(st.sampled_from([0, 1, 1000, LARGE - 1, LARGE, LARGE + 7]), st.booleans()), max_size=8)


@given(pieces)
def test_size_and_checksum_are_those_of_the_file(found):
    file = io.BytesIO()
    measured = ChecksumFile(file)
    for number, (size, as_view) in enumerate(found):
        data = bytes([number]) * size
        assert measured.write(memoryview(data) if as_view else data) == size
    whole = file.getvalue()
    assert (measured.size, measured.tell()) == (len(whole), len(whole))
    assert measured.checksum() == hashlib.sha256(whole).hexdigest()
    measured.release()


def test_a_buffer_may_be_used_again_as_soon_as_it_is_written():
    file, buffer = io.BytesIO(), bytearray(8 * LARGE)
    measured = ChecksumFile(file)
    for value in range(3):
        buffer[:] = bytes([value]) * len(buffer)
        measured.write(memoryview(buffer))
    assert measured.checksum() == hashlib.sha256(file.getvalue()).hexdigest()
    measured.release()


def test_no_thread_stays():
    before = set(threading.enumerate())
    measured = ChecksumFile(io.BytesIO())
    measured.write(bytes(2 * LARGE))
    measured.release()
    assert set(threading.enumerate()) <= before


def test_it_cannot_be_sought_in():
    assert not ChecksumFile(io.BytesIO()).seekable()
