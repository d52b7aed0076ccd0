"""A store of one's own: any file system that fsspec knows, under urls like ``team://folder/x.pkl``."""

import contextlib
import os
import uuid

import fsspec

from kart_runtime.errors import ObjectMissing
from kart_runtime.stores import Stat


class TeamStore:
    remote = True

    def __init__(self):
        # For example sftp://files.example.com/data, abfs://container@account/data, hdfs://namenode/data.
        self.files, self.root = fsspec.url_to_fs(os.environ["TEAM_FILES"], use_listings_cache=False)

    def stat(self, key):
        try:
            found = self.files.info(f"{self.root}/{key}")
        except FileNotFoundError:
            return None
        return self._told(key, found) if found["type"] == "file" else None

    def open(self, key):
        try:
            return self.files.open(f"{self.root}/{key}", "rb")
        except FileNotFoundError as error:
            raise ObjectMissing(f"team://{key}") from error

    @contextlib.contextmanager
    def write(self, key):
        folder, _, name = f"{self.root}/{key}".rpartition("/")
        temporary = f"{folder}/.{uuid.uuid4().hex}"
        self.files.makedirs(folder, exist_ok=True)
        try:
            with self.files.open(temporary, "wb") as file:
                yield file
            self.files.mv(temporary, f"{folder}/{name}")
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                self.files.rm_file(temporary)
            raise

    def delete(self, key):
        try:
            self.files.rm_file(f"{self.root}/{key}")
        except FileNotFoundError:
            return False
        return True

    def list(self, prefix):
        for path, found in sorted(self.files.find(f"{self.root}/{prefix}", detail=True).items()):
            if not path.rpartition("/")[2].startswith("."):
                yield self._told(path.removeprefix(f"{self.root}/"), found)

    def _told(self, key, found):
        return Stat(key, found["size"], self.files.modified(found["name"]).timestamp())
