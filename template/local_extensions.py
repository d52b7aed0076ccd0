"""Jinja extension of the template: filters and functions for its files. cookiecutter loads it (`_extensions`).

It is deliberately thin: a program may render several versions of the template in one process and import this module
only once, so everything that may change between versions is read from `answers.py` and `wheel.py` on each use.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2.ext import Extension

if TYPE_CHECKING:
    from jinja2 import Environment

if sys.version_info < (3, 11):  # noqa: UP036 - the user chooses cookiecutter's Python
    raise ImportError(f"this template requires Python 3.11 or newer, but cookiecutter runs on {sys.version.split()[0]}")

TEMPLATE = Path(__file__).resolve().parent
MARKUP = ("{{", "{%", "{#")


class TemplateExtension(Extension):
    """Adds the filters and functions of `answers.py` and `wheel.py`, and prevents a user's text from being rendered.

    cookiecutter renders every answer that comes from the command line, a configuration file or a record as a Jinja
    template, and a Jinja template can call anything. `preprocess` therefore accepts only this template's own strings as
    templates; any other string with markup becomes a constant (which the pre_gen hook then rejects).
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        answers = read("answers")
        wheel = read("wheel")
        self._quoted: Callable[[str], str] = answers["quoted"]
        self._own_texts = set(_own_texts())
        self._own_paths = sorted(_own_paths(), key=len, reverse=True)
        environment.filters.update({name: answers[name] for name in answers["FILTERS"]})
        environment.globals.update({name: answers[name] for name in answers["FUNCTIONS"]})
        environment.globals.update(
            engine_wheel=lambda: wheel["wheel_name"](TEMPLATE.parent),
            template_directory=lambda: str(TEMPLATE),
            runtime_requirement=lambda storage: wheel["runtime_requirement"](TEMPLATE.parent, storage),
        )

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002
        """Return the text to parse as a template in place of `source`.

        Parameters
        ----------
        source
            The text to be parsed.
        name
            The template file's name; None for a string: an answer, a path, a hook.
        filename
            Not used.
        """
        if name is not None or source in self._own_texts or not any(mark in source for mark in MARKUP):
            return source
        for path in self._own_paths:
            if source.endswith(path):  # the output folder, followed by a path of this template
                return self._constant(source[: -len(path)]) + path
        return self._constant(source)

    def _constant(self, text: str) -> str:
        if not any(mark in text for mark in MARKUP):
            return text
        return "{{ " + self._quoted(text).replace("{", r"\x7b").replace("%", r"\x25") + " }}"


def read(module: str) -> dict[str, Any]:
    """Return the names that a module of the template defines, read from disk."""
    return runpy.run_path(str(TEMPLATE / f"{module}.py"))


def _own_texts() -> Iterator[str]:
    defaults = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    yield from (text for text in defaults.values() if isinstance(text, str))
    yield from (hook.read_text(encoding="utf-8") for hook in (TEMPLATE / "hooks").glob("*.py"))


def _own_paths() -> Iterator[str]:
    """Yield every templated path of the tree, relative to the tree's root as in cookiecutter."""
    for root in TEMPLATE.glob("*cookiecutter.*"):
        if root.is_dir():
            yield root.name
            paths = (str(path.relative_to(root)) for path in root.rglob("*"))
            yield from (path for path in paths if any(mark in path for mark in MARKUP))
