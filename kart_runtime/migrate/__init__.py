"""Migration of a project from gokart to kart, for `kart migrate`.

`scan` reads the files: `source` edits Python, `ini` converts luigi configurations to YAML. `changes` shows and writes.
"""

from kart_runtime.migrate.changes import CannotMigrate, Change, Problem, diff, write
from kart_runtime.migrate.scan import Scan, scan
from kart_runtime.migrate.source import migrate_source

__all__ = ["CannotMigrate", "Change", "Problem", "Scan", "diff", "migrate_source", "scan", "write"]
