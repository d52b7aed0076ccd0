"""History of a command line: its index, and the forms in which commands print rows.

Neither tasks nor luigi are imported, which would take longer than the command.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from kart_runtime.cli.project_folder import find_project
from kart_runtime.errors import ConfigError
from kart_runtime.history.index import Index, open_index
from kart_runtime.history.rows import flat
from kart_runtime.project.conf.workspace import configured_workspace

_WORKSPACE = "run.workspace"

SHOWN = 20
"""Rows that a command shows without --all."""


def open_history(arguments: argparse.Namespace) -> tuple[Index, list[str]]:
    """Return the index of the workspace of a command line, and the words that are no KEY=VALUE, or a run's label."""
    words: Sequence[str] = getattr(arguments, "words", [])
    given = {word.partition("=")[0].strip(): word for word in words if "=" in word}
    own = given.pop(_WORKSPACE, None)
    project = find_project(arguments)
    workspace = own.partition("=")[2] if own is not None else ""
    options = [word for key, word in given.items() if "." not in key]
    workspace = workspace or configured_workspace(project, getattr(arguments, "env", None), options)
    index = open_index(workspace)
    labels = set(index.run_labels().values()) if given else set()
    dotted = next((key for key, word in given.items() if "." in key and word not in labels), None)
    if dotted is not None:
        index.close()
        raise ConfigError(
            "this command reads what has run, for which values cannot be set",
            file="command line",
            key=dotted,
            expected=f"{_WORKSPACE}=URL, or GROUP=OPTION",
        )
    return index, [word for word in words if "=" not in word or word in labels]


def no_run(index: Index, arguments: argparse.Namespace, stream: TextIO | None = None) -> bool:
    """Return whether there is no run, after saying how to make the first; on stderr if the output is for programs."""
    if index.count():
        return False
    is_local = os.path.isabs(index.workspace) and Path(index.workspace).is_relative_to(Path.cwd())  # noqa: PTH117
    workspace = os.path.relpath(index.workspace) if is_local else index.workspace.rstrip("/")
    is_json, is_csv = getattr(arguments, "json", False), getattr(arguments, "csv", False)
    stream = stream or (sys.stderr if is_json or is_csv else sys.stdout)
    print(f"no run yet in {workspace}; kart run makes the first", file=stream)
    if is_json:
        print_json([])
    return True


def width() -> int | None:
    """Return the columns of the terminal; None if the output goes elsewhere, where nothing is cut."""
    return max(shutil.get_terminal_size().columns, 20) if sys.stdout.isatty() else None


def print_json(values: Any) -> None:
    """Print values as JSON."""
    print(json.dumps(values, indent=2, default=str))


def print_csv(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as CSV."""
    table = flat(rows)
    if table:
        writer = csv.DictWriter(sys.stdout, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
