"""What does a person have to change? Lines of configuration that name gokart, and notebooks: told, not touched.

Called by `survey`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_PLUGIN = re.compile(r"\bgokart\.mypy\b")
_DEPENDENCY = re.compile(r"""(?:^\s*|["'])gokart(?:\[([^\]]*)\])?["']?\s*(?:[=<>~!;@,"'\]#]|$)""")
_EXTRAS = {"all": ("gcs", "s3"), "gcs": ("gcs",), "polars": ("polars",), "s3": ("s3",)}
"""gokart's extras, and those of kart that bring the same."""

_CELL = re.compile(rb"(?:\bimport|\bfrom) gokart\b")

_WITH_PLUGIN = frozenset({"mypy.ini", ".mypy.ini", "setup.cfg", "pyproject.toml"})
_WITH_DEPENDENCY = frozenset({"pyproject.toml", "setup.cfg", "Pipfile"})


def hints(path: Path, data: bytes) -> Iterator[str]:
    """Yield what has to change in a file that is not Python, each with the file and the line.

    Parameters
    ----------
    path
        The file.
    data
        Its bytes.
    """
    if path.suffix == ".ipynb":
        if _CELL.search(data):
            yield f"{path}: cells that import gokart: import kart_runtime.gokart as gokart"
        return
    if not is_configuration(path):
        return
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if path.name in _WITH_PLUGIN and _PLUGIN.search(line) and "kart_runtime.gokart" not in line:
            yield f"{path}:{number}: {line.strip()}: the plugin is kart_runtime.gokart.mypy"
        elif _names_dependencies(path) and (found := _DEPENDENCY.search(line)):
            yield f"{path}:{number}: {line.strip()}: the dependency is {_distribution(found[1] or '')}"


def _distribution(extras: str) -> str:
    wanted = sorted({ours for extra in extras.split(",") for ours in _EXTRAS.get(extra.strip().lower(), ())})
    return f"kart-runtime[{','.join(wanted)}]" if wanted else "kart-runtime"


def is_configuration(path: Path) -> bool:
    """Return whether a file is one of those where a project's tools and dependencies are named."""
    return path.name in _WITH_PLUGIN or _names_dependencies(path)


def _names_dependencies(path: Path) -> bool:
    return path.name in _WITH_DEPENDENCY or (path.name.startswith("requirements") and path.suffix in {".txt", ".in"})
