"""A program written for gokart runs when only its import is changed."""

from __future__ import annotations

import importlib
import subprocess
import sys

import kart_runtime

QUICKSTART = """
import {module} as gokart

class Example(gokart.TaskOnKart):
    def run(self):
        self.dump('Hello, world!')

task = Example()
print(gokart.build(task), task.output().path())
"""


def test_the_quickstart_gives_what_gokart_gives(tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", QUICKSTART.format(module="kart_runtime.gokart")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    # The name was recorded from gokart 1.12.2.
    assert found.stdout == "Hello, world! ./resources/__main__/Example_8441c59b5ce0113396d53509f19371fb.pkl\n"
    assert (tmp_path / "resources/__main__/Example_8441c59b5ce0113396d53509f19371fb.pkl").exists()


def test_the_facade_gives_the_engines_own_objects():
    facade = importlib.import_module("kart_runtime.gokart")
    # The first takes gokart's keywords, too, and the other keeps gokart's rule.
    for name in set(facade.__all__) - {"build", "delete_local_unnecessary_outputs"}:
        assert getattr(facade, name) is getattr(kart_runtime, name)
