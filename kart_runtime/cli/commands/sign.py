"""Command `kart sign`: sign what was stored before there was a key."""

from __future__ import annotations

import argparse
import sys

from kart_runtime.cli.arguments import open_session, planning, tasks_from_args
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.cli.formatting import counted
from kart_runtime.plan.signing import SignedFiles, sign_outputs


def execute(arguments: argparse.Namespace) -> int:
    """Print each output that is signed, or would be without --yes, and each that is refused."""
    session, names = open_session(arguments)
    with session:
        with planning(session):
            roots = tasks_from_args(session, names)
        signed = sign_outputs(roots, replace_refused=arguments.refused, dry_run=not arguments.yes)
    for url in signed.outputs:
        print(url)
    for url, reason in signed.refused.items():
        print(f"error: {url}: {reason}. Look at it; then delete it, or pass --refused.", file=sys.stderr)
    print(_summary(signed, done=arguments.yes))
    return ExitCode.FAILED if signed.refused else ExitCode.OK


def _summary(signed: SignedFiles, *, done: bool) -> str:
    if not signed.outputs and not signed.others:
        return "Nothing to sign."
    what = f"{counted(len(signed.outputs), 'output')} and {counted(signed.others, 'log file')}"
    return f"Signed {what}." if done else f"Dry run: would sign {what}. Pass --yes if you trust this workspace."
