"""What docs/how-to/keep-secrets.md shows is what its code does."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path

import pytest

from kart_runtime.errors.secrets import forget_secrets

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "keep-secrets.md").read_text(encoding="utf-8")


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_TOKEN", "")  # what the program sets is unset afterwards
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "fetch.py"
    path.write_text(block, encoding="utf-8")
    yield path
    forget_secrets()


def test_the_log_of_the_task_does_not_show_its_token(program, capsys):
    runpy.run_path(str(program), run_name="__main__")
    assert capsys.readouterr().out == "3\n"
    (log,) = Path("resources/log/lines").iterdir()
    (shown,) = re.findall(r"has `(asking .*?)`", PAGE)
    assert shown in log.read_text(encoding="utf-8")
    kept = b"".join(path.read_bytes() for path in Path("resources").rglob("*") if path.is_file())
    assert os.environ["API_TOKEN"].encode() not in kept
