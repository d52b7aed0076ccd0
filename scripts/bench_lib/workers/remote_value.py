"""kart_runtime and gokart: a large value from one task to the next, in a remote workspace.

``remote_value ENGINE SCHEME ADDRESS FORM MEGABYTES OPTIONS``; FORM is ``file`` (a custom format, written and read in
chunks) or ``model`` (a folder that is packed into a zip file); OPTIONS are those of `build`, as JSON.

Reports the seconds of the build. The bench measures its memory, so it never holds more than one chunk of the value.
"""

from __future__ import annotations

import importlib
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import luigi.format

from bench_lib.child import report
from bench_lib.workers import remote_service

ENGINE, SCHEME, ADDRESS, FORM, MEGABYTES = *sys.argv[1:5], int(sys.argv[5])
remote_service.use_service(ENGINE, SCHEME, ADDRESS)
engine: Any = importlib.import_module(ENGINE)
TaskOnKart, build = engine.TaskOnKart, engine.build
WORKSPACE = f"{SCHEME}://{remote_service.BUCKET}/resources"
CHUNK = 1_000_000


class Content:
    """Stand-in for the value: its size in megabytes; the bytes are only in the file."""

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes


def write(value: Content, file: Any) -> None:
    """Write the value, a megabyte at a time."""
    chunk = random.Random(0).randbytes(CHUNK)  # incompressible
    for _ in range(value.megabytes):
        file.write(chunk)


def read(file: Any) -> Content:
    """Read the value, a megabyte at a time."""
    size = 0
    while chunk := file.read(CHUNK):
        size += len(chunk)
    return Content(size // CHUNK)


class Chunks:
    """The format as a kart_runtime codec, which writes to the service chunk by chunk."""

    def dump(self, obj: Content, file: Any) -> None:
        """Write the value."""
        write(obj, file)

    def load(self, file: Any, as_type: Any = None) -> Content:  # noqa: ARG002  # part of the protocol
        """Read the value."""
        return read(file)


class GokartChunks(Chunks):
    """The same as a gokart processor, which writes a temporary file."""

    def format(self) -> Any:
        """Return luigi's format of bytes."""
        return luigi.format.Nop


def save(value: Content, path: str) -> None:
    """Write the value to a file of the folder that is packed."""
    with Path(path).open("wb") as file:
        write(value, file)


def restore(path: str) -> Content:
    """Read the value from that file."""
    with Path(path).open("rb") as file:
        return read(file)


class Large(TaskOnKart):  # type: ignore[misc, valid-type]
    """Task that stores the value."""

    def output(self) -> Any:
        """Return a target of the form."""
        if FORM == "model":
            return self.make_model_target("large.zip", save_function=save, load_function=restore)
        return self.make_target("large.bin", processor=GokartChunks() if ENGINE == "gokart" else Chunks())

    def run(self) -> None:
        """Store the value."""
        self.dump(Content(MEGABYTES))


class Reader(TaskOnKart):  # type: ignore[misc, valid-type]
    """Task that reads the value."""

    def requires(self) -> Any:
        """Return the task that stores the value."""
        return Large(workspace_directory=WORKSPACE)

    def run(self) -> None:
        """Read, check, and store the size."""
        megabytes = self.load().megabytes
        if megabytes != MEGABYTES:
            raise SystemExit(f"wrong: {megabytes} megabytes were read")
        self.dump(megabytes)


if __name__ == "__main__":
    started = time.perf_counter()
    build(Reader(workspace_directory=WORKSPACE), return_value=False, **json.loads(sys.argv[6]))
    report(wall=time.perf_counter() - started)
