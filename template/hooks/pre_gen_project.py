"""Check the answers before any file is written; print one line for each problem.

cookiecutter renders this file, then runs it inside the (still empty) new folder, which it removes if this fails. The
answers arrive as JSON only, so that no text can become code.
"""

import json
import os
import runpy
import sys
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
TEMPLATE = Path(json.loads(r"""[{{ template_directory() | tojson }}]""")[0])


def problems() -> list[str]:
    """Return one line for each problem."""
    lines: list[str] = runpy.run_path(str(TEMPLATE / "answers.py"))["problems"](ANSWERS)
    if "KART_UPDATE" in os.environ:  # a project keeps its name, although a newer template has reserved it
        lines = [line for line in lines if not line.startswith("package_name:")]
    if not (TEMPLATE.parent / "kart_runtime" / "__init__.py").is_file():
        lines.append("kart_runtime is not next to the template; use the whole repository, with --directory template")
    return lines


if __name__ == "__main__":
    lines = problems()
    if lines:
        sys.stderr.write("\n".join([*lines, "Nothing was generated.", ""]))
        raise SystemExit(1)
