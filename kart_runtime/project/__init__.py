"""Project: a folder with a `[tool.kart]` table, strict configuration, task modules, and their tests.

Configuration flows from left to right::

    Project.find ─▶ compose (conf/base < conf/ENV < conf/local) ─▶ dotlist ─▶ bind to the declared parameters ─▶ Session

The command line, and the tests and notebooks of a project, start at `open_project`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kart_runtime.errors import ConfigErrors as ConfigErrors
    from kart_runtime.project.layout import Problem as Problem
    from kart_runtime.project.layout import check_layout as check_layout
    from kart_runtime.project.project import Project as Project
    from kart_runtime.project.refactor.removal import remove_task as remove_task
    from kart_runtime.project.refactor.renaming import rename_task as rename_task
    from kart_runtime.project.scaffold import new_task as new_task
    from kart_runtime.project.session import Session as Session
    from kart_runtime.project.session import open_project as open_project

_HOMES = {
    "ConfigErrors": "errors",
    "Problem": "project.layout",
    "Project": "project.project",
    "Session": "project.session",
    "check_layout": "project.layout",
    "new_task": "project.scaffold",
    "open_project": "project.session",
    "remove_task": "project.refactor.removal",
    "rename_task": "project.refactor.renaming",
}

__all__ = [
    "ConfigErrors",
    "Problem",
    "Project",
    "Session",
    "check_layout",
    "new_task",
    "open_project",
    "remove_task",
    "rename_task",
]


def __getattr__(name: str) -> Any:
    """Return a name from its module, which is imported when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'kart_runtime.project' has no attribute '{name}'")
    return getattr(import_module(f"kart_runtime.{_HOMES[name]}"), name)
