"""What importing costs, and what the package says that it has."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

import kart_runtime
from kart_runtime.builder import BuildOptions
from kart_runtime.settings import BuildSettings

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


@pytest.mark.parametrize(
    ("module", "name"),
    [("kart_runtime.codecs.large_frames", "LargeDataFrameProcessor"), ("kart_runtime.task_info.objects", "TaskInfo")],
)
def test_pickles_that_name_a_former_path_are_read(module, name):
    code = f"import kart_runtime, pickle; print(pickle.loads(b'c{module}\\n{name}\\n.').__name__)"
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == f"{name}\n"


def test_the_options_of_build_are_the_fields_of_its_settings():
    fields = {field.name: field.type for field in dataclasses.fields(BuildSettings)}
    options = {name: annotation.__forward_arg__ for name, annotation in BuildOptions.__annotations__.items()}
    assert options == fields


def test_an_option_that_build_does_not_have_is_refused_by_name():
    class Anything(kart_runtime.TaskOnKart[int]):
        pass

    with pytest.raises(TypeError, match=r"unexpected option 'worker'\. Did you mean 'workers'"):
        kart_runtime.build(Anything(), worker=2)
    with pytest.raises(TypeError, match="unexpected option 'x'; it takes executor, workers"):
        kart_runtime.build(Anything(), x=2)
