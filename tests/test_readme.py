"""The README's example runs as pasted, and what it names exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLE = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 15


def test_the_example_runs_as_pasted_and_reads_the_second_time(tmp_path):
    (tmp_path / "example.py").write_text(EXAMPLE)
    for _ in range(2):
        found = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert found.stdout == "45\n"
    runs = [path.read_text() for path in (tmp_path / "resources" / "log" / "runs").iterdir()]
    assert sum(text.count('"unique_id"') for text in runs) == 2  # each task once


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!http)([^)]+)\)", README))))
def test_links_lead_somewhere(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\bscripts/\w+", README))))
def test_scripts_can_be_run(path):
    assert (ROOT / path).stat().st_mode & 0o111
