"""What is a kart project? A folder with ``[tool.kart]``, strict configuration, task modules, and tests to match.

The way of a configuration, left to right::

    Project.find ─▶ compose (conf/base < conf/ENV < conf/local) ─▶ dotlist ─▶ bind to the declared parameters ─▶ Session

Called by `kart_runtime.cli` and by projects' own tests and notebooks.
"""

from kart_runtime.errors import ConfigErrors
from kart_runtime.project.layout import Problem, check_layout
from kart_runtime.project.project import Project
from kart_runtime.project.scaffold import new_task
from kart_runtime.project.session import Session, open_project

__all__ = ["ConfigErrors", "Problem", "Project", "Session", "check_layout", "new_task", "open_project"]
