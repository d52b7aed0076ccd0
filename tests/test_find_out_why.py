"""What docs/how-to/find-out-why.md shows is what its code and commands do."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from kart_runtime.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "find-out-why.md").read_text(encoding="utf-8")
(CODE,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(YAML,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CONSOLE = "".join(re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
VARYING = {
    r"\d{8}T\d{6}Z-\w+": "RUN",
    r"\b\d\.\d s\b": "0.0 s",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC": "TIME",
    r"\d+ files|[\d.]+ (bytes|kB)": "N",
    r"just now|\d+ min ago": "AGO",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The project of the page, in which the test is."""
    files = {
        "src/shop/__init__.py": "",
        "src/shop/tasks/model.py": CODE,
        "pyproject.toml": '[tool.kart]\npackage = "shop"\n',
        "conf/base/run.yaml": "task: EvaluateModels\nworkspace: outputs/\n",
        "conf/base/tasks/model.yaml": YAML,
        "data/sales.json": "[10, 20]\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KART_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KART_ENV", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def without_varying(text):
    for pattern, word in VARYING.items():
        text = re.sub(pattern, word, text)
    return text


def test_the_commands_print_what_the_page_shows(project, capsys):
    printed = ""
    for line in re.findall(r"^\$ (.*)$", CONSOLE, re.MULTILINE):
        printed += f"$ {line}\n"
        if line.startswith("kart "):
            assert main(line.split()[1:]) == 0, capsys.readouterr().err
            printed += capsys.readouterr().out
        else:
            text, name = re.fullmatch(r'echo "(.*)" > (\S+)', line).groups()
            (project / name).write_text(f"{text}\n")
    assert without_varying(printed) == without_varying(CONSOLE)
