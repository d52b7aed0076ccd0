"""Log files of a task, gokart's five under gokart's names, and what else is kept of each run of it.

They only explain what happened: a loss is reported (see `losses`), and never fails a task.
"""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from io import BytesIO
from typing import Any, BinaryIO

from kart_runtime.errors import CodecError, ObjectCorrupt
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.signing import SignatureError
from kart_runtime.storage.signing_keys import keyring, with_trailer, without_trailer
from kart_runtime.storage.stores import background, is_remote, put
from kart_runtime.storage.target import Target
from kart_runtime.storage.workspace import KEPT_FILES, Workspace

logger = logging.getLogger(__name__)

_PICKLED = ".pkl"


class _LogTarget(Target):
    """A log file that is a pickle, whose signature stands behind it in the same file."""

    __slots__ = ("label",)
    label: str

    def _authentic(self, file: BinaryIO, run: Any) -> BinaryIO:  # noqa: ARG002 - as the method of any target
        keys = keyring()
        if keys is None or not self.url.endswith(_PICKLED):
            return file
        content = without_trailer(file.read(), self.label, keys)
        if content is None:
            found = "it is not signed by a key that is known here, or was altered"
            raise SignatureError(self.url, found, "Run the task again to write it anew, or sign it by `kart sign`.")
        return BytesIO(content)


class LogFiles:
    """Log files of one task, given by its workspace, class name and id."""

    __slots__ = ("_key", "_name", "_put", "folder")

    def __init__(self, workspace: str, name: str, unique_id: str) -> None:
        self.folder = Workspace(workspace).log
        self._name = f"/{name}_{unique_id}"
        store, self._key = store_for(self.folder)
        self._put = _putting(store)

    def url(self, kind: str) -> str:
        """Return the url of a log file; `kind` is a key of `KEPT_FILES`."""
        return f"{self.folder}{kind}{self._name}{KEPT_FILES[kind]}"

    def target(self, kind: str) -> Target:
        """Return the target of a log file."""
        target = _LogTarget(self.url(kind))
        target.label = self._label(kind)
        return target

    def _label(self, kind: str) -> str:
        return f"kart-log-1 {kind}{self._name}"

    def write(self, kind: str, data: bytes) -> None:
        """Write a log file.

        There are five of them with each output, so each is written at once and without a checksum: nobody takes one for
        a result. It is whole or absent.
        """
        suffix = KEPT_FILES[kind]
        if suffix == _PICKLED and keyring() is not None:
            data = with_trailer(data, self._label(kind))
        self._put(f"{self._key}{kind}{self._name}{suffix}", data)

    def sign(self, kind: str, *, dry_run: bool, trusts_unsigned: bool = True) -> bool:
        """Sign a pickled log file that exists without a signature of the first key; return whether it was one.

        One that no key has signed is left if it is not trusted.
        """
        keys = keyring()
        if keys is None or KEPT_FILES[kind] != _PICKLED:
            return False
        try:
            with store_for(self.url(kind))[0].open(f"{self._key}{kind}{self._name}{_PICKLED}") as file:
                data = file.read()
        except OSError:
            return False
        label = self._label(kind)
        if not data or without_trailer(data, label, keys.newest) is not None:
            return False
        signed = without_trailer(data, label, keys)
        if signed is None and not trusts_unsigned:
            return False
        if not dry_run:
            self.write(kind, data if signed is None else signed)
        return True

    def read(self, kind: str) -> Any:
        """Return the value in a log file; None if there is none, or if it is damaged, with a warning."""
        target = self.target(kind)
        try:
            stat = target.stat()
            return target.load() if stat is not None and stat.size else None  # empty: by an earlier version
        except (ObjectCorrupt, CodecError, ImportError, MemoryError) as error:
            logger.warning("Ignoring a log file that cannot be read: %s", error)
            return None


def _putting(store: Any) -> Callable[[str, bytes], None]:
    """Return the function that stores log files."""
    if is_remote(store):
        return partial(background.put, store)
    return getattr(store, "put", None) or partial(put, store)


@lru_cache(maxsize=1)
def _versions_of(number_of_modules: int) -> dict[str, str]:  # noqa: ARG001 - the key of the cache
    versions = {"python": platform.python_version()}
    for name, module in sorted(sys.modules.copy().items()):  # another thread may import meanwhile
        version = None if "." in name or name.startswith("_") or module is None else vars(module).get("__version__")
        if isinstance(version, str) and name not in sys.stdlib_module_names:
            versions[name] = version.partition(" ")[0]
    return versions


def module_versions() -> dict[str, str]:
    """Return the version of each imported library that states one, and Python's."""
    return _versions_of(len(sys.modules))


def versions_text() -> bytes:
    """Return `module_versions` as text, a line for each library."""
    return _text_of(len(sys.modules))


@lru_cache(maxsize=1)
def _text_of(number_of_modules: int) -> bytes:
    return "\n".join(f"{name}=={version}" for name, version in _versions_of(number_of_modules).items()).encode()
