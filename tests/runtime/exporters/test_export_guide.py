"""The code of docs/how-to/export-runs.md runs as it stands, and prints what the page shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kart_runtime.cli import main
from tests.runtime.exporters.receivers import receiver

PAGE = (Path(__file__).parents[3] / "docs/how-to/export-runs.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def block(language, first):
    (found,) = [text for text in blocks(language) if text.startswith(first)]
    return found


SIGNATURE, EXPORTING, LISTEN = (block("python", f"# {name}") for name in ("signature", "src/my_pr", "listen"))
TASK = """
from kart_runtime import TaskOnKart


class Score(TaskOnKart[int]):
    def run(self):
        self.log_metric("auc", 0.9)
        self.dump(1)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    files = {
        "pyproject.toml": '[tool.kart]\npackage = "my_project"\n',
        "conf/base/run.yaml": "task: Score\nworkspace: outputs/\n" + blocks("yaml")[1],
        "conf/dev/run.yaml": "{}\n",
        "src/my_project/__init__.py": "",
        "src/my_project/exporting.py": EXPORTING,
        "src/my_project/tasks/__init__.py": "",
        "src/my_project/tasks/score.py": TASK,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_project"]:
        del sys.modules[name]


def test_the_exporter_of_ones_own(project):
    assert main(["run"]) == 0
    assert main(["export", "last", "--to", "my_project.exporting:RunsAsLines"]) == 0
    first, second = Path("runs.jsonl").read_text().splitlines()
    assert first == second
    assert json.loads(first) | {"state": "done", "attempts": [["Score", "done", {"auc": 0.9}]]} == json.loads(first)


def test_the_settings_and_the_signature(project, monkeypatch, capsys):
    assert blocks("yaml")[0] == "# conf/base/run.yaml\nexport: [mlflow, webhook]\n"
    names = {}
    exec(SIGNATURE, names)
    monkeypatch.setenv("KART_WEBHOOK_SECRET", "between us")
    with receiver() as server:
        monkeypatch.setenv("KART_WEBHOOK_URL", server.url)
        assert main(["run", "run.export=[webhook]"]) == 0
        capsys.readouterr()
        assert main(["export", "last", "--to", "webhook"]) == 0
    ((_, headers, body), _) = server.requests
    assert names["is_from_kart"](body, headers["X-Kart-Signature-256"], "between us")
    assert not names["is_from_kart"](body + b" ", headers["X-Kart-Signature-256"], "between us")
    shown = re.search(r"^Sent (.*)$", block("console", "$ kart export"), re.MULTILINE)[1]
    pattern = re.escape(shown).replace(r"20261126T233340Z\-d388f480", r"\S+").replace(r"hooks\.example\.com", r"\S+")
    assert re.fullmatch(f"Sent {pattern}\n", capsys.readouterr().out)
    keys = set(re.findall(r"`(\w+)`", PAGE.partition("The body is JSON with")[2].partition("With `KART")[0]))
    assert keys - {"done", "failed", "interrupted", "git"} <= set(json.loads(body))


def test_the_listener(tmp_path):
    (tmp_path / "listen.py").write_text(LISTEN)
    done = subprocess.run([sys.executable, "listen.py"], capture_output=True, text=True, check=True)
    assert f"$ python listen.py\n{done.stdout}" == block("console", "$ python listen")
