"""What docs/how-to/watch-a-run.md shows runs, and its block is the one that is drawn."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "watch-a-run.md").read_text(encoding="utf-8")


def test_the_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("watch_a_run")
    monkeypatch.setitem(sys.modules, "watch_a_run", module)
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(code, "watch-a-run.md", "exec"), vars(module))
    assert vars(module)["seen"]
