"""Command `kart export`: send what is recorded of a run to another tool, after it has ended."""

from __future__ import annotations

import argparse
import sys
import time

from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import counted
from kart_runtime.cli.messages import user_traceback
from kart_runtime.cli.past_runs import no_run, open_history
from kart_runtime.cli.project_folder import find_project
from kart_runtime.errors import ConfigError, described
from kart_runtime.errors.secrets import masked
from kart_runtime.exporters.base import Exporter, make_exporter
from kart_runtime.exporters.replay import replay
from kart_runtime.history.names import default_runs, resolve_run
from kart_runtime.history.runs import Run
from kart_runtime.project import Project
from kart_runtime.project.problems import raise_all

_SECONDS = 2.0
"""Seconds between two lines of progress."""


def execute(arguments: argparse.Namespace) -> int:
    """Send a run to each exporter, and print what was sent."""
    project = find_project(arguments)
    project.put_on_path()
    exporters = _exporters(arguments.to)
    index, words = open_history(arguments)
    if len(words) > 1:
        raise ConfigError(f"kart export takes one run, not {len(words)}: {', '.join(words)}", file="command line")
    if no_run(index, arguments):
        return ExitCode.OK
    run = index.run(resolve_run(index, words[0]) if words else default_runs(index)[0])
    if run.end is None:
        print(f"{run.id} has no end: it died, or goes on. What it has so far is sent.", file=sys.stderr)
    sent = [_send(project, run, index.workspace, name, exporter) for name, exporter in exporters.items()]
    return ExitCode.OK if all(sent) else ExitCode.FAILED


def _exporters(names: list[str]) -> dict[str, Exporter]:
    """Return the exporters by name; raise `ConfigError` with everything that they lack."""
    made: dict[str, Exporter] = {}
    errors: list[ConfigError] = []
    for name in dict.fromkeys(names):
        try:
            made[name] = make_exporter(name)
        except ConfigError as error:
            errors.append(error)
    raise_all(errors)
    return made


def _send(project: Project, run: Run, workspace: str, name: str, exporter: Exporter) -> bool:
    """Send a run, and print what was sent, or why not; return whether it was."""
    printed = time.monotonic()

    def progress(number: int, of: int) -> None:
        nonlocal printed
        if time.monotonic() - printed >= _SECONDS:
            printed = time.monotonic()
            print(f"{name}: {number:,} of {counted(of, 'attempt')}", file=sys.stderr, flush=True)

    try:
        number = replay(run, workspace, exporter, progress)
    except Exception as error:  # noqa: BLE001 - of a library, or of an exporter of the user's own
        is_plain = isinstance(error, OSError)
        why = described(error) if is_plain else user_traceback(error, project.root)
        print(f"error: {run.id} was not, or not completely, sent to {name}: {masked(why)}", file=sys.stderr)
        return False
    text = getattr(exporter, "sent", lambda: f"{counted(number, 'attempt')} to {name}")()
    print(f"Sent {run.id}: {masked(str(text))}")
    return True
