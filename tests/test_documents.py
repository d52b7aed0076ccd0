"""The documents hold together: links, languages of code blocks, the index, and the parts that follow from the code."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
DOCUMENTS = [*PAGES, *TOP, ROOT / "scripts" / "bench_lib" / "README.md"]
SCRIPT = ROOT / "scripts" / "reference"

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(text):
    """Return language and lines of each code block."""
    return [
        (language, code.splitlines())
        for _, language, code in re.findall(r"^( *)```([^\n`]*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    ]


def prose(text):
    """Return the text without its code blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(document):
    """Return the anchors of a page's headings, as GitHub and the site form them."""
    found = {}
    for heading in re.findall(r"^#+ (.+)$", prose(document.read_text(encoding="utf-8")), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {slug if number == 0 else f"{slug}-{number}" for slug, most in found.items() for number in range(most + 1)}


@each_document
def test_links_lead_somewhere(document):
    broken = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(document.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        target = (document.parent / path) if path else document
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@each_document
def test_code_blocks_have_a_language_and_commands_a_prompt(document):
    for language, lines in blocks(document.read_text(encoding="utf-8")):
        assert language, lines
        if language == "console":
            assert lines[0].startswith("$ "), lines
        else:
            assert not any(line.startswith("$ ") for line in lines), lines


def test_every_page_is_in_an_index():
    listed = {
        (index.parent / link).resolve()
        for index in DOCS.rglob("README.md")
        for link in re.findall(r"\]\(([^)#]+\.md)\)", index.read_text(encoding="utf-8"))
    }
    assert [str(page.relative_to(DOCS)) for page in PAGES if page not in listed and page != DOCS / "README.md"] == []


def test_what_says_where_a_promise_is_checked_names_files_that_exist():
    page = (DOCS / "explanation" / "reliability.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:tests|scripts)/[\w./]+)", page))
    modules = {f"{name.replace('.', '/')}.py" for name in re.findall(r"python -m (tests\.[\w.]+)", page)}
    assert len(paths) > 20
    assert modules
    assert [path for path in sorted(paths | modules) if not (ROOT / path).is_file()] == []


def test_modules_in_the_page_on_architecture_exist():
    page = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z_]+\.[a-z_.]+`(?:, `[a-z_.]+`)*) \|", page, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([a-z_.]+)`", row)]
    assert len(names) > 10
    assert [name for name in names if importlib.util.find_spec(f"kart_runtime.{name}") is None] == []


def test_generated_parts_are_up_to_date():
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def script(monkeypatch):
    """Modules of scripts/reference by name."""
    monkeypatch.syspath_prepend(str(SCRIPT))
    for name in ("commands", "errors", "error_entries", "marks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in ("commands", "errors", "error_entries", "marks"):
        sys.modules.pop(name, None)


def test_a_new_command_gets_a_section_of_its_own(script, monkeypatch):
    commands = script("commands")
    page = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    first, *rest = commands.COMMANDS
    new = first._replace(name="paint", help="paint a picture", description="Paint a picture with --workers.")
    monkeypatch.setattr(commands, "COMMANDS", (first, new, *rest))
    after = commands.updated(page)
    assert "| [`paint`](#paint) | Paint a picture |" in after
    assert after.index("## run\n") < after.index("## paint\n") < after.index(f"## {rest[0].name}\n")
    assert "Paint a picture with `--workers`." in after
    assert commands.updated(after) == after

    monkeypatch.setattr(commands, "COMMANDS", (first, *rest))
    with pytest.raises(ValueError, match="paint"):
        commands.updated(after)


def test_every_error_has_a_cause_and_a_fix(script):
    errors, entries = script("errors"), script("error_entries").ENTRIES
    bases = {base for cls in errors.classes() for base in cls.__bases__}
    missing = [cls.__name__ for cls in errors.classes() if cls.__name__ not in entries and cls not in bases]
    assert missing == []
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    assert {cls.__name__ for cls in errors.classes()} - set(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == {
        "KartError"
    }
