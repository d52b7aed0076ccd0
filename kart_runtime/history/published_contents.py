"""Contents of publications, files and folders: what tells one from another, how it is copied, and checked."""

from __future__ import annotations

from typing import Any, ClassVar

from kart_runtime.errors import ObjectMissing
from kart_runtime.history.publication import codec_of, is_folder_name, suffix_of
from kart_runtime.storage.checksum import ALGORITHM, FOLDER, checksum_of
from kart_runtime.storage.codecs import Codec
from kart_runtime.storage.codecs.folder import SUFFIX as FOLDER_SUFFIX
from kart_runtime.storage.stores import Stat, copy, copy_between
from kart_runtime.storage.target import Target, make_target


class FileContent:
    """A file under the name itself."""

    algorithm: ClassVar[str] = ALGORITHM
    added: ClassVar[str] = ""
    """What the key of the published file has after the name."""

    def __init__(self, path: str) -> None:
        self.suffix = suffix_of(path)

    def id_of(self, store: Any, key: str) -> str:
        """Return the id of a content, "" if there is none."""
        try:
            with store.open(key) as file:
                return checksum_of(file, self.algorithm).partition(":")[2]
        except ObjectMissing:
            return ""

    def problem(self, store: Any, key: str, expected: str) -> str:
        """Return how a content differs from that of an id, reading all of it; "" if it does not."""
        found = self.id_of(store, key)
        if not found:
            return "it is gone"
        name = self.algorithm
        return "" if found == expected else f"its checksum is {name}:{found}, and not {name}:{expected} as stored"

    def size(self, store: Any, key: str, stat: Stat) -> int:  # noqa: ARG002 - a folder's is not that of the object
        """Return the bytes of a content."""
        return stat.size

    def copy(self, store: Any, key: str, into: Any, target: str) -> str:
        """Copy a content, whole or not at all; return the version of the copy, "" if not known."""
        if store is into:
            return copy(store, key, target)
        return copy_between(store, key, into, target)

    def delete(self, store: Any, key: str) -> None:
        """Delete a content."""
        store.delete(key)

    def target(self, url: str, codec: Codec | None, as_type: Any) -> Target:
        """Return the target that loads a content."""
        return Target(url, codec or codec_of(url), as_type)


class FolderContent(FileContent):
    """A folder: the list of its files is what is under the name, with the suffix ``.folder``."""

    algorithm = FOLDER
    added = FOLDER_SUFFIX

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}{FOLDER_SUFFIX}")

    def problem(self, store: Any, key: str, expected: str) -> str:
        """Return how a folder differs from that of an id, reading all of its files; "" if it does not."""
        from kart_runtime.storage.folder_files import stored_difference

        return super().problem(store, key, expected) or stored_difference(store, key)

    def size(self, store: Any, key: str, stat: Stat) -> int:
        """Return the bytes of the files."""
        from kart_runtime.storage.folder_files import stored_manifest

        manifest = stored_manifest(store, key)
        return stat.size if manifest is None else manifest.size

    def copy(self, store: Any, key: str, into: Any, target: str) -> str:
        """Copy the files, and then their list."""
        from kart_runtime.storage.folder_copies import copy_folder

        return copy_folder(store, key, into, target)

    def delete(self, store: Any, key: str) -> None:
        """Delete the list and the files."""
        from kart_runtime.storage.folder_deletion import delete_folder

        delete_folder(store, key)

    def target(self, url: str, codec: Codec | None, as_type: Any) -> Target:  # noqa: ARG002 - files have one
        """Return the target that loads a folder."""
        return make_target(url, as_type=as_type)


def content_kind(path: str) -> FileContent:
    """Return what is published under a name: a folder if it has no suffix, else a file."""
    return FolderContent(path) if is_folder_name(path) else FileContent(path)
