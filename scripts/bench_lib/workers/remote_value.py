"""kart_runtime and gokart: a large value from one task to the next, through a service.

``remote_value ENGINE SCHEME ADDRESS FORM MEGABYTES OPTIONS``; FORM is ``file`` (a format of one's own, written and read
in pieces) or ``model`` (a folder that is packed into a zip file); OPTIONS are those of ``build``, as JSON.

Says the seconds of the build. Its memory is what counts, so no more than a piece of the value is ever in it.
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

from bench_lib.child import say
from bench_lib.workers import remote_service

ENGINE, SCHEME, ADDRESS, FORM, MEGABYTES = *sys.argv[1:5], int(sys.argv[5])
remote_service.reach(ENGINE, SCHEME, ADDRESS)
engine: Any = importlib.import_module(ENGINE)
TaskOnKart, build = engine.TaskOnKart, engine.build
WORKSPACE = f"{SCHEME}://{remote_service.BUCKET}/resources"
PIECE = 1_000_000


class Content:
    """What stands for the value: so many megabytes, which lie in the file only."""

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes


def write(value: Content, file: Any) -> None:
    """Write the value, a megabyte at a time."""
    piece = random.Random(0).randbytes(PIECE)  # nothing that a zip file could make smaller
    for _ in range(value.megabytes):
        file.write(piece)


def read(file: Any) -> Content:
    """Read the value, a megabyte at a time."""
    size = 0
    while piece := file.read(PIECE):
        size += len(piece)
    return Content(size // PIECE)


class Pieces:
    """The format, as kart_runtime takes one: it gets what goes to the service, piece by piece."""

    def dump(self, obj: Content, file: Any) -> None:
        """Write the value."""
        write(obj, file)

    def load(self, file: Any, as_type: Any = None) -> Content:  # noqa: ARG002  # every format is told
        """Read the value."""
        return read(file)


class PiecesForGokart(Pieces):
    """The same as gokart takes it; there it gets a temporary file."""

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
    """What stores the value."""

    def output(self) -> Any:
        """Return a target of the form."""
        if FORM == "model":
            return self.make_model_target("large.zip", save_function=save, load_function=restore)
        return self.make_target("large.bin", processor=PiecesForGokart() if ENGINE == "gokart" else Pieces())

    def run(self) -> None:
        """Store it."""
        self.dump(Content(MEGABYTES))


class Reader(TaskOnKart):  # type: ignore[misc, valid-type]
    """What reads it."""

    def requires(self) -> Any:
        """Return the other."""
        return Large(workspace_directory=WORKSPACE)

    def run(self) -> None:
        """Read, check, and store the size."""
        found = self.load().megabytes
        if found != MEGABYTES:
            raise SystemExit(f"wrong: {found} megabytes were read")
        self.dump(found)


if __name__ == "__main__":
    started = time.perf_counter()
    build(Reader(workspace_directory=WORKSPACE), return_value=False, **json.loads(sys.argv[6]))
    say(wall=time.perf_counter() - started)
