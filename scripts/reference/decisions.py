"""List of the decisions: number and title of each page in their folder."""

from __future__ import annotations

import re
from pathlib import Path

from marks import replaced, table

FOLDER = Path(__file__).parents[2] / "docs" / "explanation" / "decisions"


def updated(page: str) -> str:
    """Return the index of the decisions with the titles that their pages have now."""
    rows = []
    for path in sorted(FOLDER.glob("[0-9]*.md")):
        title = re.match(r"# (\d+)\. (.+)\n", path.read_text(encoding="utf-8"))
        if title is None:
            raise ValueError(f"{path.name}: expected a title such as '# 7. A sentence'")
        rows.append((title[1], f"[{title[2]}]({path.name})"))
    return replaced(page, "decisions", table(("", "decision"), rows))
