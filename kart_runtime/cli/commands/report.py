"""Command `kart report`: one HTML file that shows a run."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from pathlib import Path

from kart_runtime.cli.arguments import open_session
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.errors import ConfigError, KartError, described
from kart_runtime.history.index import open_index
from kart_runtime.history.names import resolve_run
from kart_runtime.project import Session
from kart_runtime.report import check_place, write_report

DEFAULT = "report.html"
"""File to write, in the current folder."""


def execute(arguments: argparse.Namespace) -> int:
    """Write the report of a run, and print where it is."""
    session, names = open_session(arguments)
    if len(names) > 1:
        raise ConfigError(f"expected one run, and not {len(names)}: {' '.join(names)}", file="command line")
    path = Path(arguments.output)
    check_place(path, force=arguments.force)
    workspace = session.settings.run.workspace
    with session:
        with open_index(workspace) as index:
            if not index.runs(1):
                print(f"no run yet in {workspace}; kart run makes the first")
                return ExitCode.OK
            run_id = resolve_run(index, names[0] if names else "last")
        folder = str(session.project.root) if not Path(workspace).is_absolute() else ""
        write_report(
            workspace,
            run_id,
            path,
            folder=folder,
            with_previews=not arguments.no_previews,
            unpickles=True,
            force=arguments.force,
        )
    print(f"{run_id} -> {path}")
    if arguments.open and not webbrowser.open(path.resolve().as_uri()):
        print(f"There is no browser here. Open {path} with one.", file=sys.stderr)
    return ExitCode.OK


def check_default() -> None:
    """Raise `NoReport` before a run whose report could not be written."""
    check_place(Path(DEFAULT), force=False)


def report_of_this_process(session: Session, *, quiet: bool) -> None:
    """Write the report of the run that this process has just ended; one that cannot be written is only told."""
    try:
        with open_index(session.settings.run.workspace) as index:
            runs = index.runs(20)
        own = [row.id for row in runs if row.header.get("pid") == os.getpid()] or [row.id for row in runs]
        if own:
            path = write_report(session.settings.run.workspace, own[0], DEFAULT, unpickles=True)
            if not quiet:
                print(f"report -> {path}")
    except (KartError, KeyError, OSError) as error:
        print(f"error: the report could not be written: {described(error)}", file=sys.stderr)
