"""Project: a folder with a `[tool.kart]` table, strict configuration, task modules, and their tests.

Configuration flows from left to right::

    Project.find ─▶ compose (conf/base < conf/ENV < conf/local) ─▶ dotlist ─▶ bind to the declared parameters ─▶ Session

The command line, and the tests and notebooks of a project, start at `open_project`.
"""

from kart_runtime.errors import ConfigErrors
from kart_runtime.project.layout import Problem, check_layout
from kart_runtime.project.project import Project
from kart_runtime.project.refactor.removal import remove_task
from kart_runtime.project.refactor.renaming import rename_task
from kart_runtime.project.scaffold import new_task
from kart_runtime.project.session import Session, open_project

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
