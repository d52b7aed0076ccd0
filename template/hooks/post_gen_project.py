"""Build the wheel of kart_runtime into vendor/ of the new project.

It is built from the sources next to the template, without pip, uv, git or the network. cookiecutter renders this file
and runs it inside the new folder; cruft does so again, in a temporary folder, on every update.
"""

import json
import runpy
from pathlib import Path

TEMPLATE = Path(json.loads(r"""[{{ template_directory() | tojson }}]""")[0])

if __name__ == "__main__":
    build_wheel = runpy.run_path(str(TEMPLATE / "wheel.py"))["build_wheel"]
    build_wheel(TEMPLATE.parent, Path.cwd() / "vendor")
