"""Small projects in files, imported anew after each edit."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path

from kart_runtime.code import Code, code_of


class SmallProject:
    """Modules in a folder that is on Python's path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new))

    def forget(self) -> None:
        """Drop what was imported from the folder."""
        for name, module in list(sys.modules.items()):
            places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
            if any(place and str(place).startswith(str(self.folder)) for place in places):
                del sys.modules[name]
        importlib.invalidate_caches()

    def load(self, module: str, name: str) -> type:
        self.forget()
        return getattr(importlib.import_module(module), name)

    def code(self, module: str = "tasks.train", name: str = "Train", packages: tuple[str, ...] = ()) -> Code:
        return code_of(self.load(module, name), packages)
