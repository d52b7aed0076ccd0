"""``kart run``: build tasks, and what they need, as far as it is not complete."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import luigi

from kart_runtime.builder import build
from kart_runtime.cli.arguments import add_words, as_plan_error, open_session, planning, tasks_from_args
from kart_runtime.cli.display import make_display
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.logs import logging_as
from kart_runtime.errors import BuildFailed
from kart_runtime.storage.target import path_of
from kart_runtime.task.nested import iter_flat

NAME = "run"
HELP = "build tasks, and what they need"
DESCRIPTION = "Build tasks and whatever they need, as far as it is not complete. Without TASK: what run.task says."
EXAMPLES = """\
examples:
  kart run
  kart run EvaluateModels --quiet
  kart run TrainModel.max_depth=2 run.seed=1
  kart run --env prod
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_words(parser, "what to build")
    parser.add_argument("--executor", metavar="KIND", help="serial, threads, processes or dask (else run.executor)")
    parser.add_argument("--workers", metavar="N", type=int, help="how many tasks run at once (else run.workers)")
    parser.add_argument("--address", metavar="URL", help="of a Dask scheduler, tcp://HOST:8786 (else run.address)")
    parser.add_argument("--quiet", action="store_true", help="print the last line only, and what failed")


def execute(arguments: argparse.Namespace) -> int:
    """Build, showing the progress; say where the outputs lie."""
    _options_as_words(arguments)
    session, names = open_session(arguments)
    settings = session.settings
    with session, logging_as(settings.logging):
        with planning(session):
            roots = tasks_from_args(session, names)
        display = make_display(session.project.package_folder, quiet=arguments.quiet)
        try:
            with display:
                build(
                    roots,
                    return_value=False,
                    settings=settings.run,
                    check_all=True,  # the summary counts every complete task
                    on_event=display.show,
                )
        except BuildFailed:
            display.failed()
            return ExitCode.FAILED
        except KeyboardInterrupt:
            display.interrupted()
            return ExitCode.INTERRUPTED
        except Exception as error:
            if not display.has_plan:
                raise as_plan_error(error, session) from error
            # Tasks that a running task yielded cannot be planned: no attempt failed, but the run did.
            display.broken(error)
            return ExitCode.FAILED
        if not arguments.quiet:
            _print_outputs(roots)
    return ExitCode.OK


def _options_as_words(arguments: argparse.Namespace) -> None:
    """Let the options be overrides, so that they are checked, and shown by errors, like these."""
    for option in ("executor", "workers", "address"):
        value: Any = getattr(arguments, option)
        if value is not None:
            arguments.words.append(f"run.{option}={value}")


def _print_outputs(roots: Sequence[luigi.Task]) -> None:
    """Print where the roots' outputs lie; a task that only gathers others has none of its own, so theirs."""
    shown = {owner: list(iter_flat(owner.output())) for root in roots for owner in _owners(root)}
    for owner, targets in shown.items():
        for target in targets:
            print(f"{type(owner).__name__} -> {_from_here(path_of(target))}")


def _owners(root: luigi.Task) -> list[luigi.Task]:
    return [root] if any(True for _ in iter_flat(root.output())) else list(iter_flat(root.requires()))


def _from_here(url: str) -> str:
    path = Path(url)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else url
