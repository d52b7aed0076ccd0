"""Command `kart report`: one HTML file that shows a run."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from pathlib import Path

from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.past_runs import no_run, open_history
from kart_runtime.cli.project_folder import find_project
from kart_runtime.errors import ConfigError, described
from kart_runtime.history.index import open_index
from kart_runtime.history.names import default_runs, resolve_run
from kart_runtime.project import Session
from kart_runtime.report import check_place, write_report

DEFAULT = "report.html"
"""File to write, in the current folder."""


def execute(arguments: argparse.Namespace) -> int:
    """Write the report of a run, and print where it is."""
    path = Path(arguments.output)
    check_place(path, force=arguments.force)
    index, words = open_history(arguments)
    with index:
        if len(words) > 1:
            raise ConfigError(f"too many arguments: {' '.join(words[1:])}. Write: kart report RUN", file="command line")
        if no_run(index, arguments):
            return ExitCode.OK
        run_id = resolve_run(index, words[0]) if words else default_runs(index)[0]
    find_project(arguments).put_on_path()  # pickles hold objects of its classes
    with_previews = not arguments.no_previews
    write_report(index.workspace, run_id, path, with_previews=with_previews, unpickles=True, force=arguments.force)
    print(f"{run_id} -> {path}")
    if arguments.open and not webbrowser.open(path.resolve().as_uri()):
        print(f"There is no browser here. Open {path} with one.", file=sys.stderr)
    return ExitCode.OK


def check_default() -> None:
    """Raise `ConfigError` before a run whose report could not be written."""
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
    except Exception as error:  # noqa: BLE001 - the run is what was asked for
        print(f"error: the report could not be written: {described(error)}", file=sys.stderr)
