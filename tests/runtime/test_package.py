"""What importing costs, and what the package says that it has."""

from __future__ import annotations

import subprocess
import sys

import pytest

import kart_runtime

HEAVY = (
    "pandas",
    "numpy",
    "pyarrow",
    "boto3",
    "google",
    "redis",
    "dask",
    "rich",
    "omegaconf",
    "sklearn",
    "cloudpickle",
)


def test_nothing_heavy_is_loaded_by_importing_and_building_a_task():
    code = f"""
import sys, kart_runtime, luigi
from kart_runtime import TaskOnKart, build
class Task(TaskOnKart[int]):
    n = luigi.IntParameter(default=1)
repr(Task())
print([name for name in {HEAVY} if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("name", kart_runtime.__all__)
def test_all_is_honest(name):
    assert getattr(kart_runtime, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'bild'"):
        kart_runtime.bild
