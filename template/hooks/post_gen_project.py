"""Build the wheel of kart_runtime into vendor/ of the new project, and record the template.

The wheel is built from the sources next to the template, without pip, uv or the network. cookiecutter renders this file
and runs it inside the new folder; `kart update` does so again, in a temporary folder.
"""

import json
import runpy
from pathlib import Path

CONTEXT = json.loads(r"""{{ cookiecutter | tojson }}""")
TEMPLATE = Path(json.loads(r"""[{{ template_directory() | tojson }}]""")[0])

if __name__ == "__main__":
    build_wheel = runpy.run_path(str(TEMPLATE / "wheel.py"))["build_wheel"]
    build_wheel(TEMPLATE.parent, Path.cwd() / "vendor")
    write_record = runpy.run_path(str(TEMPLATE / "record.py"))["write_record"]
    write_record(Path.cwd(), CONTEXT, TEMPLATE)
