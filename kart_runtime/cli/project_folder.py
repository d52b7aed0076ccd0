"""The project of a command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kart_runtime.errors import ConfigError
from kart_runtime.project import Project
from kart_runtime.project.env_file import read_env_file


def find_project(arguments: argparse.Namespace) -> Project:
    """Return the project of a command line, with its `.env` read; raise `ConfigError` if there is none."""
    project = _find_project(arguments)
    read_env_file(project.root)
    return project


def _find_project(arguments: argparse.Namespace) -> Project:
    package: str | None = arguments.package
    if "project" in arguments or package is None:
        return Project.find(getattr(arguments, "project", None))
    try:
        project = Project.find()
        if project.package == package:
            return project
    except ConfigError:
        pass
    # `python -m PACKAGE` from elsewhere: the project that the package was installed from.
    file = getattr(sys.modules.get(package), "__file__", None)
    return Project.find(Path(file).parent if file else None)
