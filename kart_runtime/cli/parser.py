"""Which arguments are there? The parser of all commands, with its examples, and the sorting of free words.

Called by `entry`.
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib.metadata import version
from typing import Any, NoReturn

from kart_runtime.cli.commands import check, clean, config, gc, list_tasks, migrate, new_task, plan, run, tree
from kart_runtime.errors import closest_match
from kart_runtime.project.conf.sections import SECTIONS

_COMMANDS = (run, plan, tree, list_tasks, config, check, new_task, clean, gc, migrate)

_EXAMPLES = """\
examples:
  {prog} run                            build what conf says in run.task
  {prog} run TrainModel                 build one task and what it needs
  {prog} run TrainModel.max_depth=2     with another value of a parameter
  {prog} plan                           what would run, and why
  {prog} config                         every value, and the file it comes from
  {prog} run --help                     all about one command

environment:
  KART_ENV    the environment when --env is not given; dev when neither is
  NO_COLOR    any value: no colours

exit codes:
  0 fine   1 a task failed   2 refused, nothing ran   3 check found problems   130 interrupted
"""


class Parser(argparse.ArgumentParser):
    """An argument parser that guesses what was meant."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, with the nearest command where one was mistyped, and exit with 2."""
        wrong = re.match(r"argument COMMAND: invalid choice: '(.*?)'", message)
        if wrong:
            known = [command.NAME for command in _COMMANDS]
            guess = closest_match(wrong[1], known)
            hint = f"did you mean '{guess}'?" if guess else f"expected: {', '.join(known)}"
            message = f"there is no command '{wrong[1]}'\n       {hint}"
        self.exit(2, f"error: {message}\n       {self.prog} --help says what there is\n")


class _Version(argparse.Action):
    """Prints the version; looked up only when asked for, since that reads the installed distributions."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        print(f"kart-runtime {version('kart-runtime')}")
        parser.exit(0)


def parse(argv: list[str], package: str | None) -> argparse.Namespace:
    """Return the arguments, with ``execute`` as the function that executes the command.

    Parameters
    ----------
    argv
        The arguments.
    package
        The package whose command line this is.

    Raises
    ------
    SystemExit
        When help was asked for, or the arguments are not acceptable; it has been printed.
    """
    parser = _parser(package)
    arguments, left = parser.parse_known_args(argv)
    arguments.package = package
    if "command" not in arguments or arguments.command is None:
        parser.print_help(sys.stderr)
        parser.exit(2)
    _take_words(arguments, left)
    return arguments


def _take_words(arguments: argparse.Namespace, left: list[str]) -> None:
    """Add the free words that argparse does not take once an option stood between them."""
    parser: argparse.ArgumentParser = arguments.parser
    options = [word for word in left if word.startswith("-") and word != "-"]
    if options:
        guess = _meant(parser, options[0].partition("=")[0])
        parser.error(f"there is no option {options[0]}" + (f"\n       did you mean '{guess}'?" if guess else ""))
    if left and not isinstance(getattr(arguments, "words", None), list):
        parser.error(f"too many arguments: {' '.join(left)}")
    if left:
        arguments.words += left


def _meant(parser: argparse.ArgumentParser, option: str) -> str | None:
    """Return what may have been meant by an option that there is not: a setting of that name, or a similar option."""
    name = option.lstrip("-").replace("-", "_")
    takes_values = any("KEY=VALUE" in str(action.metavar) for action in parser._actions)
    if takes_values and name in SECTIONS["run"]:
        return f"run.{name}=VALUE"
    return closest_match(option, [known for action in parser._actions for known in action.option_strings])


def _parser(package: str | None) -> Parser:
    prog = f"python -m {package}" if package else "kart"
    parser = Parser(
        prog=prog,
        description="Run the pipelines of a kart project, and say what they would do.",
        epilog=_EXAMPLES.format(prog=prog),
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version of kart-runtime and exit")
    shared = _shared()
    for action in shared._actions:
        parser._add_action(action)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
    for command in _COMMANDS:
        sub = commands.add_parser(
            command.NAME,
            parents=[shared],
            help=command.HELP,
            description=command.DESCRIPTION,
            epilog=command.EXAMPLES.replace("kart ", f"{prog} "),
        )
        command.add(sub)
        sub.set_defaults(execute=command.execute, parser=sub)
    return parser


def _shared() -> Parser:
    """Return the options that may stand before and after the command."""
    shared = Parser(add_help=False)
    # Without SUPPRESS the command's default would overwrite what stood before the command.
    shared.add_argument(
        "--env", metavar="ENV", default=argparse.SUPPRESS, help="the environment (else $KART_ENV, else dev)"
    )
    shared.add_argument(
        "--project", metavar="DIR", default=argparse.SUPPRESS, help="a folder of the project (else the current one)"
    )
    return shared
