"""Write the parts of the documentation that follow from the code: commands, settings, errors, lists of pages.

    python scripts/reference            write them into the pages
    python scripts/reference --check    change nothing; exit with 1 if a page is not up to date

The generated parts stand between two comments in the pages; everything around them is written by hand.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import api
import commands
import decisions
import errors
import settings
import tutorials

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    DOCS / "README.md": tutorials.updated,
    DOCS / "reference" / "api.md": api.updated,
    DOCS / "reference" / "command-line.md": commands.updated,
    DOCS / "reference" / "settings.md": settings.updated,
    DOCS / "reference" / "errors.md": errors.updated,
    DOCS / "explanation" / "decisions" / "README.md": decisions.updated,
}


def main() -> int:
    """Write or check the pages; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only report pages that are not up to date")
    check = parser.parse_args().check
    outdated = []
    for page, update in PAGES.items():
        before = page.read_text(encoding="utf-8")
        after = update(before)
        if after != before:
            outdated.append(page)
            if not check:
                page.write_text(after, encoding="utf-8", newline="\n")
    for page in outdated:
        print(f"{page.relative_to(DOCS.parent)}: {'not up to date' if check else 'written'}")
    if check and outdated:
        print("Run: python scripts/reference", file=sys.stderr)
    return 1 if check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
