"""A small pipeline for kart and for gokart (only the import differs), built once for each line on standard input.

A line is a JSON object: the workspace, and the number of the operation on local files that fails (0: none). The answer
says how the build ended, with how many operations, and how many of them failed.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

ENGINE = importlib.import_module(os.environ.get("FAULTS_ENGINE", "kart_runtime"))
IS_KART = ENGINE.__name__ == "kart_runtime"
RIGHT = {"sum": 499_500, "text": "x" * 300_000, "count": 1000}


class Numbers(ENGINE.TaskOnKart):  # type: ignore[misc, name-defined]
    """A list."""

    def run(self) -> None:
        self.dump(list(range(1000)))


class Text(ENGINE.TaskOnKart):  # type: ignore[misc, name-defined]
    """An object that kart stores in two parts here."""

    def output(self) -> Any:
        return self.make_target("text.pkl")

    def run(self) -> None:
        self.dump("x" * 300_000)


class Several(ENGINE.TaskOnKart):  # type: ignore[misc, name-defined]
    """Two outputs."""

    def requires(self) -> Any:
        return Numbers(workspace_directory=self.workspace_directory)

    def output(self) -> Any:
        return {name: self.make_target(f"several/{name}.pkl") for name in ("sum", "count")}

    def run(self) -> None:
        numbers = self.load()
        self.dump(sum(numbers), "sum")
        self.dump(len(numbers), "count")


class Last(ENGINE.TaskOnKart):  # type: ignore[misc, name-defined]
    """What the other two have made."""

    def requires(self) -> Any:
        folder = self.workspace_directory
        return {"several": Several(workspace_directory=folder), "text": Text(workspace_directory=folder)}

    def run(self) -> None:
        found = self.load("several")
        self.dump({"sum": found["sum"], "text": self.load("text"), "count": found["count"]})


# -- faults of local files -------------------------------------------------------------------------------------------

_OPERATIONS = {
    os: "open read write replace rename unlink remove rmdir mkdir makedirs stat fstat lstat listdir scandir close",
    io: "open",
    builtins: "open",
}


class _Countdown:
    """Lets the n-th operation on files below a folder fail."""

    def __init__(self, folder: str, number: int) -> None:
        self._folder, self._number = folder, number
        self._only = os.environ.get("FAULTS_OPERATIONS", "").split()
        self.count = self.delivered = 0
        self._descriptors: set[int] = set()

    def around(self, operation: Callable[..., Any], name: str) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if not self._is_ours(args[0] if args else None):
                return operation(*args, **kwargs)
            if not self._only or name in self._only:
                self.count += 1
            if self.count == self._number and not self.delivered:
                self.delivered += 1
                if name == "close":  # the system closes it all the same
                    operation(*args, **kwargs)
                raise OSError(5, "Input/output error", args[0] if isinstance(args[0], str) else None)
            result = operation(*args, **kwargs)
            if isinstance(result, int) and name == "open":
                self._descriptors.add(result)
            if name == "close":
                self._descriptors.discard(args[0])
            return result

        return counted

    def _is_ours(self, place: Any) -> bool:
        if isinstance(place, int):
            return place in self._descriptors
        with contextlib.suppress(TypeError):
            return str(os.fspath(place)).startswith(self._folder)
        return False


@contextlib.contextmanager
def _failing(countdown: _Countdown) -> Iterator[None]:
    before = []
    for module, names in _OPERATIONS.items():
        for name in names.split():
            before.append((module, name, getattr(module, name)))
            setattr(module, name, countdown.around(getattr(module, name), name))
    try:
        yield
    finally:
        for module, name, operation in before:
            setattr(module, name, operation)


# -- one build -------------------------------------------------------------------------------------------------------


def _build(workspace: str) -> Any:
    if IS_KART:
        return ENGINE.build(Last(workspace_directory=workspace), progress=False)
    return ENGINE.build(Last(workspace_directory=workspace), log_level=50, reset_register=False)


def _lacks(workspace: str) -> str:
    """Return which output is not stored, or holds something else, after a build that said so; "" if none."""
    expected = {
        Numbers: list(range(1000)),
        Text: RIGHT["text"],
        Several: {name: RIGHT[name] for name in ("sum", "count")},
        Last: RIGHT,
    }
    for cls, value in expected.items():
        try:
            task = cls(workspace_directory=workspace)
            output = task.output()
            found = {name: one.load() for name, one in output.items()} if isinstance(output, dict) else output.load()
            if not task.complete() or found != value:
                return f"{cls.__name__} holds something else"
        except Exception as error:
            return f"{cls.__name__} cannot be loaded: {error}"
    return ""


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Build once, and return how it ended."""
    workspace = asked["workspace"]
    countdown = _Countdown(workspace, asked["fault"])
    faults = contextlib.nullcontext() if "://" in workspace else _failing(countdown)
    found: dict[str, Any] = {"outcome": "error", "text": ""}
    try:
        with faults:
            value = _build(workspace)
        found["outcome"] = "right" if value == RIGHT else "WRONG"
        if asked.get("check") and (lacks := _lacks(workspace)):
            found["outcome"], found["text"] = "WRONG", f"a build succeeded, and {lacks}"
    except BaseException as error:
        found["text"] = f"{type(error).__name__}: {error} {error.__cause__ or ''}"[:2000]
    return found | {"operations": countdown.count, "delivered": countdown.delivered}


def _prepare(broken: str) -> None:
    if not IS_KART:
        return
    from kart_runtime.storage.stores import local, upload

    upload.PART = 256 << 10  # what GCS takes
    if broken:
        _break(broken, local)


def _break(how: str, local: Any) -> None:
    """Make the stores swallow a failure of a write ("swallow"), or store half of the bytes, unnoticed ("half")."""
    from kart_runtime.storage.stores.upload import ObjectWriter
    from kart_runtime.storage.target import Target

    if how == "half":
        Target._verified = lambda self, file, run: file  # type: ignore[method-assign]

    for writer in (ObjectWriter, *(each for each in vars(local).values() if hasattr(each, "commit"))):
        commit, write = writer.commit, writer.write

        def swallowing(self: Any, commit: Any = commit) -> Any:
            with contextlib.suppress(OSError):
                return commit(self)

        def losing(self: Any, data: Any, write: Any = write) -> int:
            with contextlib.suppress(OSError):
                write(self, data)
            return len(memoryview(data).cast("B"))

        def halving(self: Any, data: Any, write: Any = write) -> int:
            view = memoryview(data).cast("B")
            if "/text_" not in self._key:
                return int(write(self, data))
            write(self, view[: len(view) // 2])
            return len(view)

        if how == "swallow":
            writer.commit, writer.write = swallowing, losing
        else:
            writer.write = halving


def main() -> None:
    """Answer each line."""
    _prepare(os.environ.get("FAULTS_BROKEN", ""))
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print(json.dumps({"ready": ENGINE.__name__}), file=out, flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
