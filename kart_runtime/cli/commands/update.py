"""Command `kart update`: take over what is new in the template."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.errors import described
from kart_runtime.project.template.apply import pending
from kart_runtime.project.template.record import TemplateError, find_root
from kart_runtime.project.template.render import require_cookiecutter
from kart_runtime.project.template.update import Options, Result, update

_CODES = {Result.DONE: ExitCode.OK, Result.TO_SOLVE: ExitCode.FAILED, Result.AVAILABLE: ExitCode.PROBLEMS}


def execute(arguments: argparse.Namespace) -> int:
    """Update the project, and print what changes and what is left to do."""
    root = find_root(Path(getattr(arguments, "project", None) or Path.cwd()).absolute())
    require_cookiecutter("kart update")
    options = Options(
        check=arguments.check,
        template=arguments.template,
        checkout=arguments.checkout,
        allow_dirty=arguments.allow_dirty,
        setup=not arguments.no_setup,
    )
    try:
        return _CODES[update(root, options, _say)]
    except (KeyboardInterrupt, OSError) as error:
        if isinstance(error, OSError) and not pending(root):
            raise TemplateError(described(error)) from error
        if pending(root):
            reason = f"{described(error)}\n" if isinstance(error, OSError) else ""
            print(f"{reason}The update is not finished. Run `kart update` again.", file=sys.stderr)
        if isinstance(error, OSError):
            return ExitCode.FAILED
        raise


def _say(line: str) -> None:
    print(line, flush=True)
