"""Any value comes back from its pickle, and what cannot be pickled is refused."""

from __future__ import annotations

import functools
import io
import pickle
import subprocess
import sys
import tracemalloc

import luigi
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs import StartAgain
from kart_runtime.storage.codecs.file_processors import FileProcessorCodec
from kart_runtime.storage.codecs.pickles import Pickle, PickleByValue

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class Unseekable(io.RawIOBase):
    def __init__(self, data):
        self.data = io.BytesIO(data)

    def read(self, size=-1):
        return self.data.read(size)

    def seekable(self):
        return False


def dumped(codec, value):
    file = io.BytesIO()
    codec.dump(value, file)
    return file.getvalue()


def through(codec, value, as_type=None):
    return codec.load(io.BytesIO(dumped(codec, value)), as_type)


@given(plain)
def test_pickle_gives_values_back(value):
    assert through(Pickle(), value) == value


def test_pickle_takes_what_has_no_name():
    assert through(Pickle(), lambda x: x + 1)(1) == 2


def test_pickle_is_plain_pickle_where_that_will_do():
    assert dumped(Pickle(), {"a": np.arange(3)}) == pickle.dumps({"a": np.arange(3)}, 5)


def test_what_a_script_defines_is_read_by_another(tmp_path):
    script = """
import sys
from kart_runtime.storage.codecs.pickles import Pickle
class Local:
    def __init__(self, x): self.x = x
    def double(self): return self.x * 2
with open(sys.argv[1], "wb") as file: Pickle().dump([Local(21)], file)
"""
    path = tmp_path / "x.pkl"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    with path.open("rb") as file:
        assert Pickle().load(file)[0].double() == 42


def test_what_cannot_be_pickled_is_refused_by_name():
    with pytest.raises(CannotEncode, match="generator"):
        dumped(Pickle(), (x for x in []))


def test_a_local_class_with_decorated_methods_comes_back():
    def plus_one(function):
        @functools.wraps(function)
        def wrapped():
            return function() + 1

        return wrapped

    class Local:
        def __init__(self):
            self.run = plus_one(self.run)

        def run(self):
            return 1

    assert through(Pickle(), Local()).run() == 2


def test_a_file_that_cannot_seek_is_read():
    assert Pickle().load(Unseekable(dumped(Pickle(), lambda x: x + 1)))(1) == 2
    assert Pickle().load(Unseekable(dumped(Pickle(), [1]))) == [1]


def test_reading_starts_where_the_file_stands():
    file = io.BytesIO(b"before" + dumped(Pickle(), [1]))
    file.seek(6)
    assert Pickle().load(file) == [1]


def test_a_broken_pickle_says_what_pickle_says():
    with pytest.raises(pickle.UnpicklingError, match="invalid load key"):
        Pickle().load(io.BytesIO(b"xyz"))


def test_a_missing_module_is_named():
    data = pickle.dumps(Unseekable, 0).replace(Unseekable.__module__.encode(), b"no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        Pickle().load(io.BytesIO(data))


class Written:
    """A file that takes bytes and nothing else, as `targets` gives."""

    def __init__(self):
        self.parts = []

    def write(self, data):
        self.parts.append(bytes(data))
        return len(data)

    def seekable(self):
        return False


class Counted:
    """A file that keeps nothing."""

    size = 0

    def write(self, data):
        self.size += len(data)
        return len(data)


LONG = [np.arange(100_000), lambda: 1]
"""What plain pickle gives up on after much has been written."""


@pytest.mark.parametrize("value", [1, "text", {"a": 1}, [1.5, None], b"x" * 100, {"a": np.arange(3)}, lambda: 1])
def test_a_small_value_is_one_write(value):
    file = Written()
    Pickle().dump(value, file)
    assert len(file.parts) == 1


@pytest.mark.parametrize(
    "array",
    [
        np.arange(1e6),
        np.asfortranarray(np.arange(1e6).reshape(1000, 1000)),
        np.arange(1e6).reshape(1000, 1000)[:, :500],
        np.zeros((0, 3)),
        np.array(["a", None] * 50_000, dtype=object),
    ],
    ids=["flat", "by columns", "a view", "empty", "objects"],
)
def test_arrays_of_all_orders_come_back(array):
    file = Written()
    Pickle().dump({"a": array, "again": array}, file)
    read = Pickle().load(io.BytesIO(b"".join(file.parts)))
    np.testing.assert_array_equal(read["a"], array)
    assert read["a"] is read["again"]
    assert read["a"].flags.writeable


@pytest.mark.parametrize(
    "value",
    [
        np.ones(4_000_000),
        np.asfortranarray(np.ones((4000, 1000))),
        pd.DataFrame(np.ones((500_000, 8))),
        pd.DataFrame({"text": ["some words of text"] * 1_000_000}, dtype="str"),
        b"x" * 32_000_000,
    ],
    ids=["array", "by columns", "frame", "text", "bytes"],
)
def test_no_second_copy_is_made(value, tmp_path):
    tracemalloc.start()
    try:
        file = Counted()
        Pickle().dump(value, file)
        dumping = tracemalloc.get_traced_memory()[1]
        with (tmp_path / "x").open("wb") as opened:
            Pickle().dump(value, opened)
        tracemalloc.clear_traces()
        with (tmp_path / "x").open("rb") as opened:
            Pickle().load(opened)
        loading = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert file.size > 15_000_000
    assert dumping < file.size / 10
    assert loading < file.size * 1.1


def test_after_much_is_written_to_a_file_that_cannot_go_back_another_codec_starts_again():
    file = Written()
    with pytest.raises(StartAgain, match="PickleByValue") as raised:
        Pickle().dump(LONG, file)
    assert file.parts
    anew = Written()
    raised.value.codec.dump(LONG, anew)
    read = Pickle().load(io.BytesIO(b"".join(anew.parts)))
    assert read[1]() == 1
    np.testing.assert_array_equal(read[0], LONG[0])


def test_a_file_that_can_go_back_is_begun_anew(tmp_path):
    for file in (io.BytesIO(), (tmp_path / "x").open("w+b")):
        with file:
            file.write(b"before")
            Pickle().dump(LONG, file)
            file.write(b"after")
            file.seek(6)
            assert Pickle().load(file)[1]() == 1
            assert file.read() == b"after"


def test_what_cannot_be_pickled_leaves_the_file_as_it_was():
    file = io.BytesIO()
    for codec in (Pickle(), PickleByValue()):
        with pytest.raises(CannotEncode, match="generator"):
            codec.dump([np.arange(100_000), (x for x in [])], file)
    assert file.getvalue() == b""


def test_what_is_written_by_value_is_refused_in_two_writes_as_well():
    with pytest.raises(CannotEncode, match="generator"):
        PickleByValue().dump([np.arange(100_000), (x for x in [])], Written())


def test_an_error_of_the_file_comes_through():
    class Full:
        def write(self, data):
            raise OSError("No space left")

    with pytest.raises(OSError, match="No space"):
        Pickle().dump(np.arange(100_000), Full())


def test_a_processor_that_wraps_a_pickle_says_what_it_cannot_do():
    class Wrapping:
        def format(self):
            return luigi.format.Nop

        def dump(self, obj, file):
            Pickle().dump([obj], Piped(file))

        def load(self, file):
            return file.read()

    class Piped:
        def __init__(self, file):
            self.write = file.write

    with pytest.raises(CannotEncode, match="again from its start"):
        FileProcessorCodec(Wrapping()).dump(LONG, io.BytesIO())
