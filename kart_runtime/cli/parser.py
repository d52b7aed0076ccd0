"""Argument parser of all commands, with suggestions for what is mistyped."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, NoReturn

from kart_runtime.cli.command_table import COMMANDS, Command
from kart_runtime.errors import closest_match

_EPILOG = """\
examples:
  {prog} run                            run the task set in run.task
  {prog} run TrainModel                 run one task and its dependencies
  {prog} run TrainModel.max_depth=2     override a parameter
  {prog} plan                           show which tasks would run, and why
  {prog} config                         show every value and its source
  {prog} run --help                     show the options of one command

environment variables:
  KART_ENV       environment if --env is not given (default: dev)
  KART_ENV_FILE  file with environment variables (default: .env in the project; empty: none)
  NO_COLOR       set to any value to disable colors

exit codes:
  0 success   1 a task failed   2 invalid command or configuration, nothing ran
  3 check reported problems, or update --check found an update
  130 interrupted (Ctrl-C)   143 ended by SIGTERM
"""


class Parser(argparse.ArgumentParser):
    """Argument parser that suggests what was meant."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Print the error, with the closest command if one was mistyped, and exit with 2."""
        hint = f"Run `{self.prog} --help` to list the options."
        mistyped = re.match(r"argument COMMAND: invalid choice: '(.*?)'", message)
        if mistyped:
            known = [command.name for command in COMMANDS]
            guess = closest_match(mistyped[1], known)
            suggestion = f"did you mean '{guess}'?" if guess else f"expected: {', '.join(known)}"
            message = f"unknown command '{mistyped[1]}'\n       {suggestion}"
            hint = f"Run `{self.prog} --help` to list the commands."
        self.exit(2, f"error: {message}\n       {hint}\n")


class _Version(argparse.Action):
    """Action that prints the version."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from importlib.metadata import version  # reads the installed distributions

        print(f"kart-runtime {version('kart-runtime')}")
        parser.exit(0)


def parse(argv: list[str], package: str | None) -> tuple[Command, argparse.Namespace]:
    """Return the command and its arguments; print help or an error and raise `SystemExit` if there is no command."""
    parser = _parser(package)
    arguments, rest = parser.parse_known_args(argv)
    arguments.package = package
    if arguments.command is None:
        parser.print_help(sys.stderr)
        parser.exit(2)
    _add_words(arguments, rest)
    return next(command for command in COMMANDS if command.name == arguments.command), arguments


def _add_words(arguments: argparse.Namespace, rest: list[str]) -> None:
    """Add the free words that argparse does not take after an option."""
    parser: argparse.ArgumentParser = arguments.parser
    options = [word for word in rest if word.startswith("-") and word != "-"]
    if options:
        guess = _suggest_option(parser, options[0].partition("=")[0])
        parser.error(f"unknown option {options[0]}" + (f"\n       did you mean '{guess}'?" if guess else ""))
    if rest and not isinstance(getattr(arguments, "words", None), list):
        parser.error(f"too many arguments: {' '.join(rest)}")
    if rest:
        arguments.words += rest


def _suggest_option(parser: argparse.ArgumentParser, option: str) -> str | None:
    """Return what an unknown option may mean: a setting with its name, or a similar option."""
    from kart_runtime.project.conf.sections import SECTIONS

    name = option.lstrip("-").replace("-", "_")
    takes_overrides = any("KEY=VALUE" in str(action.metavar) for action in parser._actions)
    if takes_overrides and name in SECTIONS["run"]:
        return f"run.{name}=VALUE"
    return closest_match(option, [known for action in parser._actions for known in action.option_strings])


def _parser(package: str | None) -> Parser:
    prog = f"python -m {package}" if package else "kart"
    parser = Parser(prog=prog, description="Run the pipelines of a kart project.", epilog=_EPILOG.format(prog=prog))
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version of kart-runtime and exit")
    shared = _shared_options()
    for action in shared._actions:
        parser._add_action(action)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
    for command in COMMANDS:
        sub = commands.add_parser(
            command.name,
            parents=[shared],
            help=command.help,
            description=command.description,
            epilog=command.examples.replace("kart ", f"{prog} "),
        )
        command.add_arguments(sub)
        sub.set_defaults(parser=sub)
    return parser


def _shared_options() -> Parser:
    """Return the options that may stand before or after the command."""
    shared = Parser(add_help=False)
    # Without SUPPRESS the command's default would overwrite what stood before the command.
    shared.add_argument(
        "--env", metavar="ENV", default=argparse.SUPPRESS, help="environment (default: $KART_ENV, or dev)"
    )
    shared.add_argument(
        "--project",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="project directory (default: the current directory)",
    )
    return shared
