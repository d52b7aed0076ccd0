"""gokart's names are where gokart has them, and its submodules are attributes after one import."""

from __future__ import annotations

import subprocess
import sys

import pytest

SUBMODULES = [
    "build",
    "conflict_prevention_lock",
    "errors",
    "file_processor",
    "gcs_config",
    "in_memory",
    "info",
    "pandas_type_config",
    "parameter",
    "required_task_output",
    "run",
    "s3_config",
    "slack",
    "target",
    "task",
    "testing",
    "tree",
    "utils",
    "worker",
    "workspace_management",
]

PROGRAM = """
import sys
import kart_runtime.gokart as gokart
value = gokart.{name}
assert "{name}" in dir(gokart)
assert not {{"pandas", "redis", "boto3", "google.cloud", "slack_sdk"}} & set(sys.modules)
"""


@pytest.mark.parametrize("name", SUBMODULES)
def test_a_submodule_is_an_attribute_after_the_import_of_the_package_and_imports_nothing_heavy(name):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM.format(name=name)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_an_unknown_name_is_an_attribute_error():
    import kart_runtime.gokart as gokart

    with pytest.raises(AttributeError, match="no attribute 'object_storage'"):
        _ = gokart.object_storage
    assert not hasattr(gokart, "nothing")


def test_build_and_run_are_functions_as_in_gokart():
    import kart_runtime.gokart as gokart

    assert gokart.build is sys.modules["kart_runtime.gokart.build"].build
    assert gokart.run is sys.modules["kart_runtime.gokart.run"].run
