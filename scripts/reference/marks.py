"""Generated parts of a page: the text between two comments, which Markdown does not show."""

from __future__ import annotations

import re
from collections.abc import Iterable

END = "<!-- end of generated text -->"


def part(name: str, text: str) -> str:
    """Return a generated part with its comments."""
    return f"<!-- generated: {name} -->\n\n{text.strip()}\n\n{END}"


def replaced(page: str, name: str, text: str) -> str:
    """Return the page with another text in the part `name`; raise `KeyError` if it has no such part."""
    pattern = re.compile(rf"<!-- generated: {re.escape(name)} -->\n.*?{END}", re.DOTALL)
    if not pattern.search(page):
        raise KeyError(name)
    return pattern.sub(lambda _: part(name, text), page)


def table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table; a vertical bar in a cell is escaped."""
    names = list(heading)
    lines = [names, ["---"] * len(names), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)
