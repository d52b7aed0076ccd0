"""What docs/how-to/log-metrics.md shows is what its code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "log-metrics.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
PRINTED = re.findall(r"^\$ python (\S+)\n((?:[^$`].*\n)*)", PAGE, re.MULTILINE)
STEPS = re.findall(r"^\[.*\]$", PAGE, re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, code in FILES.items():
        Path(name).write_text(code, encoding="utf-8")
    return tmp_path


def test_the_transcript_is_what_the_programs_print(folder):
    assert [name for name, _ in PRINTED] == list(FILES)
    for name, printed in PRINTED:
        done = subprocess.run([sys.executable, name], text=True, capture_output=True, check=True)
        assert (done.stdout + done.stderr) == printed
    (series,) = (folder / "resources" / "log" / "series").iterdir()
    rows = [json.loads(line) for line in series.read_text().splitlines()]
    assert len(STEPS) == 3
    assert [row[:3] for row in rows] == [json.loads(step)[:3] for step in STEPS]
    assert all(0 <= row[3] < 60 for row in rows)
    (lines,) = (folder / "resources" / "log" / "lines").iterdir()
    assert lines.read_text().endswith(" WARNING train: the loss is 0.125\n")
