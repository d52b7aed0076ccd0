"""Code that the manual shows for a generated project passes that project's own checks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "run-in-parallel.md"


@pytest.mark.slow
def test_documented_resources_pass_ruff_and_mypy(default_project: Path, tmp_path: Path) -> None:
    block = re.search(r"^class Train\(TaskOnKart\[Model\]\):\n    resources = .*\n", DOCUMENT.read_text(), re.MULTILINE)
    assert block is not None
    shutil.copy(default_project / "pyproject.toml", tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "tests").mkdir()
    heading = (
        '"""Tasks of the manual."""\n\nfrom kart_runtime import TaskOnKart\n\n\nclass Model:\n    """A model."""\n'
    )
    (tmp_path / "src" / "tasks.py").write_text(f"{heading}\n\n{block[0]}")
    # a fragment of the manual has no docstring
    for words in (["ruff", "check", "--ignore", "D101", "."], ["ruff", "format", "--check", "."], ["mypy", "src"]):
        done = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
