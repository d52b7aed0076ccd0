"""List of the files of a stored folder: the small file ``x.folder``, which makes the folder complete when it appears.

The files themselves lie beside it, in ``x.files/<token>/``, with a new token for each write. So a folder is replaced by
one rename, or one request, and whoever reads the one before still can. `folder_target` writes and reads both.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.checksum import FOLDER, checksum_of

SUFFIX = ".folder"
"""Suffix of the list of files."""

FILES_SUFFIX = ".files"
"""Suffix of the folder beside it that holds the files."""


class FileEntry(NamedTuple):
    """One file of a folder: its path below the folder with ``/``, bytes, checksum, and whether it is executable."""

    name: str
    size: int
    checksum: str
    executable: bool = False


class Manifest(NamedTuple):
    """The files of a stored folder.

    `folders` are the empty subfolders. `token` names the folder that holds the files. `times` are the files' times of
    change in nanoseconds, in the same order, where they lie on a disk: a file with its time and size is unchanged.
    """

    token: str
    files: tuple[FileEntry, ...] = ()
    folders: tuple[str, ...] = ()
    times: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def checksum(self) -> str:
        """Return the checksum of names and contents."""
        return checksum_of(io.BytesIO(self.encoded()), FOLDER)

    def encoded(self) -> bytes:
        """Return the list as it is stored."""
        content = {"files": self.files, "folders": self.folders}
        return json.dumps({"format": 1, "token": self.token, "content": content, "times": self.times}).encode()


def decoded(data: bytes) -> Manifest:
    """Return a list of files from its bytes; ValueError if it is damaged, or names something outside the folder."""
    values = json.loads(data)
    if not isinstance(values, Mapping) or values.get("format") != 1:
        raise ValueError("it is no list of the files of a folder, or of a later version of kart")
    content = values["content"]
    files = tuple(FileEntry(*entry) for entry in content["files"])
    folders = tuple(content["folders"])
    for name in (*(file.name for file in files), *folders):
        check_name(name)
    if not is_token(values["token"]):
        raise ValueError(f"'{values['token']}' is not the name of a folder of kart's")
    times = tuple(values["times"])
    return Manifest(values["token"], files, folders, times if len(times) == len(files) else ())


def check_name(name: str) -> None:
    """Raise ValueError if a path would not lie below its folder, on any system."""
    parts = name.split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or "\0" in name:
        raise ValueError(f"its entry '{name}' would lie outside the folder")


def is_token(name: Any) -> bool:
    """Return whether a name is one that `folder_target` gives to the files of a folder."""
    return isinstance(name, str) and len(name) == TOKEN_LENGTH and set(name) <= set("0123456789abcdef")


TOKEN_LENGTH = 16


class Folder:
    """Codec of the list of files; `folder_target` turns it into the folder."""

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write the list."""
        if not isinstance(value, Manifest):
            accepted = "what 'with self.folder() as path:' was filled with"
            raise CannotEncode("A folder output", accepted, type(value).__name__)
        file.write(value.encoded())

    def load(self, file: BinaryIO, as_type: Any = None) -> Manifest:  # noqa: ARG002 - the target knows the type
        """Read the list."""
        return decoded(file.read())
