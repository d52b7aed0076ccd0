"""The soak passes, delivers what it says, and fails with a store that loses bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills process groups")


def soak(*arguments: str, path: Path) -> tuple[int, str, dict[str, object]]:
    command = [sys.executable, "scripts/soak", "--only", "pipelines", "--small", "--rounds", "1", "--json", str(path)]
    done = subprocess.run(
        [*command, *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False
    )
    return done.returncode, done.stdout + done.stderr, json.loads(path.read_text())


def test_a_round_with_a_kill_ends_as_the_model_says(tmp_path):
    code, text, report = soak("--fault", "kill", "--seed", "58", path=tmp_path / "soak.json")
    assert code == 0, text
    assert report["delivered"] == {"kill": 1}, text
    assert "seed 58" in text
    assert "passed" in text


def test_a_store_that_loses_bytes_fails_with_the_command_that_repeats_it(tmp_path):
    arguments = ("--fault", "none", "--seed", "45", "--broken-store")
    code, text, report = soak(*arguments, path=tmp_path / "soak.json")
    assert code == 1, text
    assert len(report["failures"]) == 1, text
    assert "scripts/soak --only pipelines --rounds 1 --seed 45 --fault 'none' --small" in text
