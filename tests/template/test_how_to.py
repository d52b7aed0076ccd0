"""What docs/how-to/use-the-template.md says of questions and refusals is what the template does."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).parents[2]
CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
DOCUMENT = (REPOSITORY / "docs" / "how-to" / "use-the-template.md").read_text(encoding="utf-8")


def test_questions() -> None:
    table = json.loads((REPOSITORY / "template" / "cookiecutter.json").read_text(encoding="utf-8"))
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", DOCUMENT, re.MULTILINE)
    assert [name for name, _ in rows] == [name for name in table if not name.startswith("_")]
    for name, default in rows:
        first = table[name][0] if isinstance(table[name], list) else table[name]
        assert default.strip() in {first, "", "derived from the project's name"}


def test_refusals(answers: ModuleType) -> None:
    texts = {"project_name": "x", "author": "x", "storage": "local", "ci": "none"}
    for line in answers.problems({**texts, "package_name": "json", "description": ""}):
        assert f"\n{line}\n" in DOCUMENT


def test_what_an_update_leaves_alone(default_project: Path) -> None:
    table = tomllib.loads((default_project / "pyproject.toml").read_text())["tool"]["kart"]["template"]
    listed = DOCUMENT.partition("It never changes your files:")[2].partition(". If")[0]
    assert set(table["keep"]) == set(re.findall(r"`([^`]+)`", listed))


def test_files_that_are_named_exist() -> None:
    for name in re.findall(r"^\| `((?:template|tests)/[\w./]+)` \|", CONTRIBUTING, re.MULTILINE):
        assert (REPOSITORY / name).exists(), name
