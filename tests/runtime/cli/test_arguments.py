"""Where a command looks for its project."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["run", "plan", "tree", "list", "config", "check", "clean"])
def test_outside_a_project_every_command_says_what_to_do(kart, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    typed = kart(command)
    assert typed.code == 2
    assert "not inside a kart project" in typed.err
    assert "--project DIR" in typed.err
    assert "[tool.kart]" in typed.err


def test_python_m_package_finds_the_project_of_the_package(small_project, tmp_path_factory):
    root = small_project(
        {"src/PKG/__main__.py": "from kart_runtime.cli import main\nraise SystemExit(main(package='PKG'))\n"}
    )
    package = next((root / "src").iterdir()).name
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run(
        [sys.executable, "-m", package, "list"],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "tasks.numbers" in done.stdout
