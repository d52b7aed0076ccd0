"""Models that only their own library can save, as a zip archive of the folder they are saved to; used by `target`.

The archive has gokart's layout: ``model.pkl``, the other files that the save function writes, ``load_function.pkl``.
"""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from kart_runtime.errors import CodecError
from kart_runtime.storage.codecs import FileProcessor
from kart_runtime.storage.codecs.files import seekable
from kart_runtime.storage.codecs.pickles import Pickle
from kart_runtime.storage.temporary import parents, temporary_folder

_MODEL = "model.pkl"
_LOAD_FUNCTION = "load_function.pkl"


class BadArchive(CodecError, ValueError):
    """Raised for an archive that cannot be written or unpacked, or whose model cannot be loaded.

    Parameters
    ----------
    problem
        What is wrong with the archive, as part of a sentence.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"The model's archive cannot be used: {problem}.")


class Archive(FileProcessor):
    """Zip archive of a folder that two functions write and read.

    Each dump and load uses its own temporary folder, so that several can run at once, and deletes it, also on errors.

    Parameters
    ----------
    save_function
        Called with the value and the path of ``model.pkl`` in an empty folder; may write other files beside it.
    load_function
        Called with the path of ``model.pkl``; returns the value. It is stored too. None: the stored one is used.
    temporary_directory
        Folder of the temporary folders. None: the system's.
    """

    runs_code = True

    def __init__(
        self,
        save_function: Callable[[Any, str], Any] | None,
        load_function: Callable[[str], Any] | None,
        temporary_directory: str | None = None,
    ) -> None:
        self.save_function = save_function
        self.load_function = load_function
        self.temporary_directory = temporary_directory
        if temporary_directory is not None:
            parents.add(os.path.abspath(temporary_directory))  # noqa: PTH100 - the text

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Save the value into a folder, and write the folder as a zip archive.

        Raises
        ------
        BadArchive
            If there is no save function.
        """
        if self.save_function is None:
            raise BadArchive("it has no save_function")
        with self._folder() as folder:
            self.save_function(value, str(folder / _MODEL))
            with (folder / _LOAD_FUNCTION).open("wb") as opened:
                Pickle().dump(self.load_function, opened)
            _pack(folder, file)

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:  # noqa: ARG002 - the load function knows its type
        """Unpack the archive into a folder, and load the value from it.

        Raises
        ------
        BadArchive
            If an entry of the archive would be written outside the folder, or there is no load function.
        """
        with self._folder() as folder:
            _unpack(file, folder)
            return self._loader(folder)(str(folder / _MODEL))

    def _loader(self, folder: Path) -> Callable[[str], Any]:
        if self.load_function is not None:
            return self.load_function
        stored = folder / _LOAD_FUNCTION
        load_function = None
        if stored.is_file():
            with stored.open("rb") as opened:
                load_function = Pickle().load(opened)
        if load_function is None:
            raise BadArchive(f"no load_function is given, and {_LOAD_FUNCTION} holds none")
        return load_function  # type: ignore[no-any-return]

    def _folder(self) -> AbstractContextManager[Path]:
        return temporary_folder(self.temporary_directory)


def _pack(folder: Path, file: BinaryIO) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            entry = zipfile.ZipInfo.from_file(path, path.relative_to(folder).as_posix(), strict_timestamps=False)
            entry.date_time = (1980, 1, 1, 0, 0, 0)  # equal content gives equal bytes
            if path.is_dir():
                archive.writestr(entry, b"")
                continue
            entry.compress_type = zipfile.ZIP_DEFLATED
            with path.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)


_LARGE, _RATIO = 1 << 30, 200
"""Bytes from which on an archive must not grow by more than this factor when it is unpacked."""


def _check_size(archive: zipfile.ZipFile, source: BinaryIO, folder: Path) -> None:
    """Raise `BadArchive` for an archive that would fill the disk."""
    packed = source.seek(0, io.SEEK_END)
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > _LARGE and unpacked > _RATIO * packed:
        raise BadArchive(f"its {packed:,} bytes would become {unpacked:,}, which is more than {_RATIO} times as many")
    free = shutil.disk_usage(folder).free
    if unpacked > free:
        raise BadArchive(f"it would become {unpacked:,} bytes in {folder.parent}, where {free:,} are free")


def _unpack(file: BinaryIO, folder: Path) -> None:
    source = seekable(file)
    with zipfile.ZipFile(source) as archive:
        _check_size(archive, source, folder)
        for name in archive.namelist():
            path = PurePosixPath(name.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts:
                raise BadArchive(f"its entry '{name}' would be written outside the folder")
        archive.extractall(folder)
