"""List of the tutorials in the index: title and first sentence of each page in their folder."""

from __future__ import annotations

import re
from pathlib import Path

from marks import replaced

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
FIRST = "first-pipeline.md"


def updated(page: str) -> str:
    """Return the index with every tutorial, the one for beginners first."""
    lines = []
    for path in sorted(FOLDER.glob("*.md"), key=lambda path: (path.name != FIRST, path.name)):
        title, text = re.match(r"# (.+)\n\n((?:.+\n)+)", path.read_text(encoding="utf-8")).groups()
        sentence = re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0]
        lines.append(f"- [{title}](tutorials/{path.name}). {sentence}")
    return replaced(page, "tutorials", "\n".join(lines))
