"""The example of docs/how-to/reuse-tasks.md: its files and its commands give what the page shows."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path

import pytest

from kart_runtime.cli import main

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "reuse-tasks.md").read_text(encoding="utf-8")
FILES = re.findall(r"^```\w+\n(# (?:features|report)/(\S+)\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ kart (.*)\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)


@pytest.fixture
def report(tmp_path, monkeypatch):
    for text, _ in FILES:
        path = tmp_path / text.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "features" / "pyproject.toml").write_text(
        '[tool.kart]\npackage = "features_project"\n', encoding="utf-8"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path / "features" / "src"), *sys.path])
    monkeypatch.delenv("KART_ENV", raising=False)
    monkeypatch.chdir(tmp_path / "report")
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("features_project", "report_project")]:
        del sys.modules[name]


def test_the_transcript_is_what_the_commands_print(report, capsys):
    assert len(COMMANDS) == 2
    for words, printed in COMMANDS:
        assert main(words.split()) == 0
        assert capsys.readouterr().out == printed
    assert main(["run", "run.executor=threads", "run.workers=2"]) == 0
    (stored,) = (report / "report" / "resources" / "report_project").rglob("Report_*.pkl")
    assert pickle.loads(stored.read_bytes()) == {"usual": 6, "half": 10}
