"""Sections of the command line's page: description, examples and options of each command, from its parser."""

from __future__ import annotations

import argparse
import re

from marks import part, replaced, table

from kart_runtime.cli.command_table import COMMANDS, Command

END_OF_COMMANDS = "## Exit codes"


def updated(page: str) -> str:
    """Return the page with every command; a new one gets a section of its own, in the order of the table."""
    rows = [(f"[`{command.name}`](#{command.name})", _sentence(command.help)) for command in COMMANDS]
    page = replaced(page, "commands", table(("command", "purpose"), rows))
    gone = set(re.findall(r"<!-- generated: kart ([\w-]+) -->", page)) - {command.name for command in COMMANDS}
    if gone:
        raise ValueError(f"command-line.md has sections of commands that do not exist: {', '.join(sorted(gone))}")
    position = page.index(END_OF_COMMANDS)
    for command in reversed(COMMANDS):
        name = f"kart {command.name}"
        if f"<!-- generated: {name} -->" in page:
            page = replaced(page, name, _text(command))
        else:
            page = f"{page[:position]}## {command.name}\n\n{part(name, _text(command))}\n\n{page[position:]}"
        position = page.index(f"## {command.name}\n")
    return page


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _text(command: Command) -> str:
    """Return what the page says of a command."""
    parser = argparse.ArgumentParser(prog=f"kart {command.name}", add_help=False)
    command.add_arguments(parser)
    rows = [row for action in parser._actions for row in _rows(action)]
    description = _code(" ".join(command.description.split()))
    blocks = [description, f"```console\n{_examples(command)}\n```"]
    if rows:
        blocks.append(table(("argument", "meaning"), rows))
    return "\n\n".join(blocks)


def _examples(command: Command) -> str:
    lines = [line.strip() for line in command.examples.splitlines()[1:] if line.strip()]
    return "\n".join("$ " + re.sub(r" {2,}(?=\S)", "  # ", line, count=1) for line in lines)


def _rows(action: argparse.Action) -> list[tuple[str, str]]:
    """Return the rows of an argument: two for words that are names and overrides, which share one argument."""
    if "KEY=VALUE" not in str(action.metavar):
        return [(_shown(action), _help(action))]
    rows = [("`KEY=VALUE`", "override a value for this command; see [above](#tasks-and-overrides)")]
    noun = str(action.metavar).partition(" | ")[0]
    text, separator, _ = (action.help or "").partition("; KEY=VALUE:")
    if separator:
        rows.insert(0, (f"`{noun}`", _code(text.removeprefix(f"{noun}: "))))
    return rows


def _shown(action: argparse.Action) -> str:
    metavar = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    if not action.option_strings:
        return f"`{metavar}`"
    if action.choices is not None and not action.metavar:
        metavar = "{" + ",".join(map(str, action.choices)) + "}"
    return ", ".join(f"`{option} {metavar}`".replace(" `", "`") for option in action.option_strings)


def _help(action: argparse.Action) -> str:
    return _code((action.help or "").replace("%%", "%") % {"default": action.default} if action.help else "")


_CODE = re.compile(
    r"(?<![`\w])(--[a-z][\w-]*|run\.[a-z_]+(?:=\S*\w)?|TASK|KEY=VALUE|VALUE|\$KART_ENV|[A-Z]\w+\.[a-z_]+=\w+|tcp://[\w:]+\w)"
)


def _code(text: str) -> str:
    """Return help text as Markdown: options, settings and examples as code."""
    return re.sub(r"`+([^`]+)`+", r"`\1`", text) if "`" in text else _CODE.sub(r"`\1`", text)
