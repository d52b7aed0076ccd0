"""YAML and TOML: plain values, and by the declared type also dataclasses, enumerations and paths.

A value is read again before it is stored, and refused if it would come back as another one.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, BinaryIO

from kart_runtime.errors import CannotEncode, how_to_add
from kart_runtime.storage.codecs import FileProcessor
from kart_runtime.storage.codecs.losses import declared
from kart_runtime.storage.codecs.typed_values import as_declared, as_plain, difference


class _Document(FileProcessor):
    """A format of plain values; `native` are the types that it keeps besides those of JSON."""

    name: str
    accepted = "dicts, lists, texts, numbers, booleans, None and dates"
    native: frozenset[type]

    def _text(self, plain: Any) -> str:
        raise NotImplementedError

    def _parsed(self, text: str) -> Any:
        raise NotImplementedError

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a value; `CannotEncode` if it would come back as another one."""
        try:
            text = self._text(as_plain(value, self.native))
            read = as_declared(self._parsed(text), declared.get())
        except ImportError:
            raise
        except Exception as error:
            found = f"a {type(value).__name__} ({_first_line(error)})"
            raise CannotEncode(self.name, self.accepted, found) from error
        changed = difference(value, read)
        if changed:
            found = f"{changed} (declare its type, as in TaskOnKart[MyDataclass], or use .pkl)"
            raise CannotEncode(self.name, f"{self.accepted} that it gives back", found)
        file.write(text.encode())

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read a value, as the type that the task stores."""
        return as_declared(self._parsed(file.read().decode()), as_type)


def _first_line(error: Exception) -> str:
    if type(error).__module__.startswith("yaml") and len(error.args) == 2:
        return f"it cannot hold a {type(error.args[1]).__name__}"
    return str(error).partition("\n")[0] or type(error).__name__


class Yaml(_Document):
    """YAML."""

    name = "yaml"
    native = frozenset({dt.date, dt.datetime, bytes})

    def _text(self, plain: Any) -> str:
        import yaml

        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        return str(yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=True))

    def _parsed(self, text: str) -> Any:
        import yaml

        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe


class Toml(_Document):
    """TOML: a dict with text keys, or a dataclass."""

    name = "toml"
    accepted = "a dict of text keys, with texts, numbers, booleans, dates, times, lists and dicts"
    native = frozenset({dt.date, dt.datetime, dt.time})

    def _text(self, plain: Any) -> str:
        try:
            import tomli_w
        except ImportError as error:
            raise ImportError(f"writing toml files needs tomli-w. {how_to_add('toml')}") from error
        if not isinstance(plain, dict):
            raise TypeError("the top level must be a dict")
        return tomli_w.dumps(plain)

    def _parsed(self, text: str) -> Any:
        import tomllib

        return tomllib.loads(text)
