"""Any value comes back from its pickle, and what cannot be pickled is refused."""

from __future__ import annotations

import functools
import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.codecs.plain import Pickle
from kart_runtime.errors import CannotEncode

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
from kart_runtime.codecs.plain import Pickle
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
