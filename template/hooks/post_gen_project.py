"""Build the wheel of kart_runtime into vendor/ of the new project, record template and sample, print the next commands.

The wheel is built from the sources next to the template, without pip, uv or the network. cookiecutter renders this file
and runs it inside the new folder; `kart update` does so again, in a temporary folder.
"""

import json
import os
import runpy
import shlex
import shutil
import sys
from pathlib import Path

CONTEXT = json.loads(r"""{{ cookiecutter | tojson }}""")
TEMPLATE = Path(json.loads(r"""[{{ template_directory() | tojson }}]""")[0])
WINDOWS = os.name == "nt"


def next_commands(project: Path) -> list[str]:
    """Return the commands to type, where the user is."""
    where = Path(os.environ.get("PWD", "/")).resolve()
    folder = str(project.relative_to(where) if project.is_relative_to(where) and where.parent != where else project)
    enter = f'cd "{folder}"' if WINDOWS and " " in folder else f"cd {folder if WINDOWS else shlex.quote(folder)}"
    if shutil.which("make") and not WINDOWS:
        return [enter, "make setup", "make run"]
    setup = "uv sync" if shutil.which("uv") else "; ".join(_pip_setup()) if WINDOWS else " && ".join(_pip_setup())
    return [enter, setup, r".venv\Scripts\kart run" if WINDOWS else ".venv/bin/kart run"]


def _pip_setup() -> list[str]:
    python, wheel = (
        (r".venv\Scripts\python", r"(Get-Item vendor\*.whl)") if WINDOWS else (".venv/bin/python", "vendor/*.whl")
    )
    luigi = [f"{python} -m pip install --no-deps --ignore-requires-python luigi"]  # see LUIGI in the Makefile
    return [
        f"{'py' if WINDOWS else 'python3'} -m venv .venv",
        f'{python} -m pip install --upgrade "pip>=25.1"',
        *(luigi if sys.version_info >= (3, 14) else []),
        f"{python} -m pip install --group dev --editable . {wheel}",
    ]


if __name__ == "__main__":
    build_wheel = runpy.run_path(str(TEMPLATE / "wheel.py"))["build_wheel"]
    build_wheel(TEMPLATE.parent, Path.cwd() / "vendor")
    write_sample = runpy.run_path(str(TEMPLATE / "sample.py"))["write_sample"]
    write_sample(Path.cwd(), CONTEXT["package_name"])
    write_record = runpy.run_path(str(TEMPLATE / "record.py"))["write_record"]
    write_record(Path.cwd(), CONTEXT, TEMPLATE)
    if "KART_UPDATE" not in os.environ:
        print("Next:", *next_commands(Path.cwd().resolve()), sep="\n  ")
