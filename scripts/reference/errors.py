"""Page of the errors: the message of each class, which the class composes from an example, its cause and its fix."""

from __future__ import annotations

import inspect
import pkgutil
import re
import sys
import textwrap
from importlib import import_module

from error_entries import ENTRIES, GROUPS
from marks import replaced

import kart_runtime
from kart_runtime.errors import KartError

KART = "kart_runtime.errors"


def updated(page: str) -> str:
    """Return the page with all errors of the engine, also those without an entry in `error_entries`."""
    return replaced(page, "errors", _text())


def classes() -> list[type[KartError]]:
    """Return every class of errors, each after its base."""
    for module in pkgutil.walk_packages(kart_runtime.__path__, "kart_runtime."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    found: list[type[KartError]] = []
    pending: list[type[KartError]] = [KartError]
    while pending:
        cls = pending.pop(0)
        found.append(cls)
        subclasses = [sub for sub in cls.__subclasses__() if sub.__module__.startswith("kart_runtime.")]
        pending = [*sorted(subclasses, key=_place), *pending]
    return list(dict.fromkeys(found))


def _place(cls: type) -> tuple[bool, str, int]:
    """Sort as in the source, `kart_runtime.errors` first: the order of subclasses is that of imports."""
    names = list(vars(sys.modules[cls.__module__]))
    return _home(cls) != KART, cls.__module__, names.index(cls.__name__)


def _text() -> str:
    remaining = [cls for cls in classes() if cls is not KartError]
    sections = []
    for title, names in GROUPS.items():
        base = [cls for cls in remaining if cls.__name__ in names]
        members = [cls for cls in remaining if cls in base or any(issubclass(cls, each) for each in base)]
        remaining = [cls for cls in remaining if cls not in members]
        if members:
            sections.append("\n\n".join([f"## {title}", *map(_section, members)]))
    if remaining:
        sections.append("\n\n".join(["## Others", *map(_section, remaining)]))
    return "\n\n".join(sections)


def _section(cls: type[KartError]) -> str:
    entry = ENTRIES.get(cls.__name__)
    bases = ", ".join(base.__name__ for base in cls.__bases__)
    summary = re.sub(r"`+([^`]+)`+", r"`\1`", (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " "))
    blocks = [f"### {cls.__name__}", f"{summary} `{_home(cls)}.{cls.__name__}({bases})`"]
    if entry is not None:
        if entry.example:
            blocks.append("```text\n" + _wrapped(str(cls(*entry.example, **entry.options))) + "\n```")
        blocks.append(f"**Cause.** {entry.cause} **Fix.** {entry.fix}")
    return "\n\n".join(blocks)


def _home(cls: type) -> str:
    """Return the module that a program imports the class from."""
    return KART if cls.__module__.startswith(f"{KART}.") else cls.__module__


def _wrapped(message: str) -> str:
    return "\n".join(
        textwrap.fill(line, 110, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for line in message.splitlines()
    )
