"""Arrays come back with shape and type."""

from __future__ import annotations

import io

import numpy as np
import pytest

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs.arrays import Npz


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.array(["a", "é"]), np.zeros((0, 2), "int8")])
def test_an_array_comes_back(array):
    file = io.BytesIO()
    Npz().dump(array, file)
    file.seek(0)
    read = Npz().load(file)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("value", [[1, 2], np.array([{}])])
def test_what_is_no_array_of_numbers_is_refused(value):
    with pytest.raises(CannotEncode, match="npz"):
        Npz().dump(value, io.BytesIO())
