"""Are the answers usable? Checked before a file is written: all that is wrong at once, one line each, or nothing.

cookiecutter renders this file, then runs it inside the (still empty) new folder, which it removes when this fails.
Answers reach it as JSON only, so that no text can become code.
"""

import json
import runpy
import sys
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
TEMPLATE = Path(json.loads(r"""[{{ template_directory() | tojson }}]""")[0])


def problems() -> list[str]:
    """Return a line for everything that stands in the way."""
    found: list[str] = runpy.run_path(str(TEMPLATE / "answers.py"))["problems"](ANSWERS)
    if not (TEMPLATE.parent / "kart_runtime" / "__init__.py").is_file():
        found.append("kart_runtime is not beside the template; use the whole repository, with --directory template")
    return found


if __name__ == "__main__":
    lines = problems()
    if lines:
        sys.stderr.write("\n".join([*lines, "Nothing was generated.", ""]))
        raise SystemExit(1)
