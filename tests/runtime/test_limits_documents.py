"""What the guides on resuming and on limits show is what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


def test_the_example_of_resuming_prints_what_the_guide_shows():
    page = (HOW_TO / "resume-training.md").read_text(encoding="utf-8")
    code, shown = re.search(
        r"```python\n(# resume\.py\n.*?)```\n\n```console\n\$ python resume\.py\n(.*?)```", page, re.DOTALL
    ).groups()
    Path("resume.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-u", "resume.py"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    assert done.stdout == shown
    uninterrupted = code.replace("epoch == 3", "epoch == 99").replace("retries = 1", "retries = 0")
    Path("uninterrupted.py").write_text(uninterrupted.replace("build(TrainModel())", "build(TrainModel(rerun=True))"))
    again = subprocess.run([sys.executable, "uninterrupted.py"], capture_output=True, text=True, check=True)
    assert again.stdout.splitlines()[-1] == shown.splitlines()[-1]


def test_the_records_are_read_as_the_guide_shows():
    page = (HOW_TO / "run-in-parallel.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(from kart_runtime\.history\.runs .*?)```", page, re.DOTALL)[1]
    task = """
import luigi
from kart_runtime import TaskOnKart, build

class Small(TaskOnKart[int]):
    def run(self):
        self.dump(1)

build(Small(), executor="processes")
"""
    done = subprocess.run([sys.executable, "-c", task + code], capture_output=True, text=True, check=True)
    name, state, peak = done.stdout.split()
    assert (name, state) == ("Small", "done")
    assert peak == "None" or float(peak) > 10
