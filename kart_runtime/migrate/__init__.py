"""How does a project that imports gokart come to import kart? Its files are read, and what would change is handed back.

The way of a path, left to right::

    survey (walk) ─▶ source ─▶ imports, strings ─▶ edits      of each Python file that mentions gokart
                  ─▶ ini ─▶ YAML next to it                   of each luigi configuration, when asked for
                  ─▶ hints                                    what a person has to change

Nothing is written before `write` is called for a change. Called by ``kart migrate``.
"""

from kart_runtime.migrate.changes import CannotMigrate, Change, Problem, diff, write
from kart_runtime.migrate.source import LibcstMissing, migrate_source
from kart_runtime.migrate.survey import Survey, survey

__all__ = [
    "CannotMigrate",
    "Change",
    "LibcstMissing",
    "Problem",
    "Survey",
    "diff",
    "migrate_source",
    "survey",
    "write",
]
