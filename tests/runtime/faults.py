"""Kills and failures at each operation of a build, and what the next build finds: whole sets of outputs, never mixed.

    python -m tests.runtime.faults --kind several --store local --how kill --times 200

A forked process builds a task whose outputs say by which build they were made. From the beginning of `run()` on, it is
killed at its n-th operation on files, or its n-th request, or that operation fails. Another process then takes what is
there. The n are spread over all operations, each with and without older outputs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from kart_runtime import BuildFailed, TaskOnKart, build
from kart_runtime.storage import commit, time_limits

STORES = ("local", "s3", "gs")


class Plain(TaskOnKart[Any]):
    """One output."""

    def run(self) -> None:
        _at_run()
        self.dump(_generation)


class Several(TaskOnKart[Any]):
    """Three outputs."""

    def output(self) -> Any:
        return {name: self.make_target(f"several/{name}.pkl") for name in "abc"}

    def run(self) -> None:
        _at_run()
        for name in "abc":
            self.dump(_generation, name)


class Model(TaskOnKart[Any]):
    """A value that saves itself as files, and a report."""

    def output(self) -> Any:
        model = self.make_model_target("model/x.zip", _save, _load)
        return {"model": model, "report": self.make_target("model/report.pkl")}

    def run(self) -> None:
        _at_run()
        self.dump(_generation, "model")
        self.dump(_generation, "report")


class Frame(TaskOnKart[Any]):
    """A large frame in parts, and a small one."""

    def output(self) -> Any:
        large = self.make_large_data_frame_target("frame/x.zip", max_byte=2000)
        return {"large": large, "small": self.make_target("frame/x.csv")}

    def run(self) -> None:
        _at_run()
        import pandas as pd

        frame = pd.DataFrame({"generation": [_generation] * 1000})
        self.dump(frame, "large")
        self.dump(frame[:3], "small")


class Folder(TaskOnKart[Path]):
    """A folder."""

    def run(self) -> None:
        _at_run()
        with self.folder() as path:
            _fill(path)


class FolderAndFile(TaskOnKart[Any]):
    """A folder beside a file."""

    def output(self) -> Any:
        return {"folder": self.make_folder_target("folder/x"), "report": self.make_target("folder/report.pkl")}

    def run(self) -> None:
        _at_run()
        with self.folder("folder") as path:
            _fill(path)
        self.dump(_generation, "report")


KINDS: dict[str, type[TaskOnKart[Any]]] = {"plain": Plain, "several": Several, "model": Model, "frame": Frame}
KINDS |= {"folder": Folder, "folder-and-file": FolderAndFile}

_FOLDERS = ("mkdir", "rmdir", "scandir")

_generation = 0
_at_run: Callable[[], None] = int


def _save(value: Any, path: str) -> None:
    Path(path).write_text(str(value))


def _fill(path: Path) -> None:
    (path / "sub").mkdir()
    for name in ("a", "b", "sub/c"):
        (path / name).write_text(str(_generation))


def _load(path: str) -> Any:
    return int(Path(path).read_text())


def _generations(values: Any) -> set[int]:
    """Return by which builds the values were made."""
    found: set[int] = set()
    for value in values.values() if isinstance(values, dict) else [values]:
        if hasattr(value, "columns"):
            found |= set(map(int, value["generation"]))
        elif isinstance(value, Path):
            found |= {int((value / name).read_text()) for name in ("a", "b", "sub/c")}
        else:
            found.add(int(value))
    return found


# -- faults ----------------------------------------------------------------------------------------------------------


class Countdown:
    """Lets the n-th operation fail, or kills the process there; `count` is how many there were."""

    def __init__(self, number: int, how: str) -> None:
        self.count, self._number, self._how = 0, number, how

    def step(self) -> None:
        self.count += 1
        if self.count == self._number:
            if self._how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(5, "Input/output error")

    def around(self, operation: Callable[..., Any], after: bool = False) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = operation(*args, **kwargs)
            if after:  # the service has carried it out, and nobody hears of it
                self.step()
            return result

        return counted


def _count_operations(countdown: Countdown, store: str) -> None:
    if store == "local":
        for name in ("open", "write", "replace", "unlink", "close", "fstat", "stat", "makedirs", "listdir", *_FOLDERS):
            setattr(os, name, countdown.around(getattr(os, name)))
        return
    from urllib3.connectionpool import HTTPConnectionPool

    limits_for = time_limits.limits_for
    time_limits.limits_for = lambda total: limits_for(total)._replace(tries=0.01)  # so that no failure is retried
    HTTPConnectionPool._make_request = countdown.around(HTTPConnectionPool._make_request, after=True)  # type: ignore[method-assign]


def _in_child(function: Callable[[], Any]) -> tuple[int, Any]:
    """Call a function in a forked process; return how that ended, and its result."""
    with tempfile.TemporaryFile() as file:
        process = os.fork()
        if not process:
            status = 1
            with contextlib.suppress(BaseException):
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                os.pwrite(file.fileno(), json.dumps(function()).encode(), 0)
                status = 0
            os._exit(status)
        _, status = os.waitpid(process, 0)
        file.seek(0)
        return status, json.loads(file.read() or b"null")


# -- one case --------------------------------------------------------------------------------------------------------


def _built(cls: type[TaskOnKart[Any]], workspace: str, generation: int, rerun: bool = False) -> Any:
    global _generation
    _generation = generation
    return sorted(_generations(build(cls(workspace_directory=workspace, rerun=rerun))))


def _interrupted(cls: type[TaskOnKart[Any]], workspace: str, generation: int, number: int, how: str) -> Any:
    countdown = Countdown(number, how)
    global _generation, _at_run
    _generation, _at_run = generation, partial(_count_operations, countdown, _scheme(workspace))
    task = cls(workspace_directory=workspace, rerun=True)
    with contextlib.suppress(BuildFailed, OSError):
        build(task, return_value=False)
    return countdown.count


def _next(cls: type[TaskOnKart[Any]], workspace: str, generation: int) -> Any:
    """Return by which builds the set was made that is there, empty if it is not complete; then that of a build."""
    commit.LEASE_SECONDS = 0.0
    assert not commit.recover(workspace)
    task = cls(workspace_directory=workspace)
    before: set[int] = set()
    if task.complete():
        outputs = task.output()
        targets = outputs if isinstance(outputs, dict) else {"": outputs}
        before = _generations({name: target.load() for name, target in targets.items()})
    after = _built(cls, workspace, generation)
    if _scheme(workspace) == "local":  # what the killed process has left is gone when the next one has stored its own
        folders = [entry for folder in Path(workspace).rglob("*.files") for entry in os.listdir(folder)]
        assert len(folders) <= 1 or sorted(before) == after, folders
    return sorted(before), after


def _scheme(workspace: str) -> str:
    return workspace.partition("://")[0] if "://" in workspace else "local"


def check(kind: str, root: str, how: str, times: int) -> Counter[str]:
    """Interrupt `times` builds; return how often the next one found what."""
    cls, found = KINDS[kind], Counter[str]()
    assert _in_child(partial(_built, cls, f"{root}/all", 1)) == (0, [1])
    total = _in_child(partial(_interrupted, cls, f"{root}/all", 2, 0, how))[1]
    places = -(-times // 2)
    for place in range(places):
        number = 1 + (place * total // places if places <= total else place % total)
        for with_old in (True, False):
            found += _case(cls, f"{root}/{place}-{with_old}", number, how, with_old)
    found["operations of a build"] = total
    return found


def _case(cls: type[TaskOnKart[Any]], workspace: str, number: int, how: str, with_old: bool) -> Counter[str]:
    """Interrupt one build at an operation, and check what the next one finds."""
    case = f"{cls.__name__}, operation {number}, in {workspace}"
    if with_old:
        assert _in_child(partial(_built, cls, workspace, 1)) == (0, [1]), case
    _in_child(partial(_interrupted, cls, workspace, 2, number, how))
    status, answer = _in_child(partial(_next, cls, workspace, 3))
    assert status == 0, f"the next build failed: {case}"
    before, after = answer
    assert before in ([], [1] if with_old else [], [2]), f"mixed, {before}: {case}"
    # The next build may also finish what was asked for, when the build that should replace the old set died.
    assert after in (before, [3]), f"{before} became {after}: {case}"
    _remove(workspace)
    kept = (
        "old" if before == [1] else "new" if before else "none, although there was an old set" if with_old else "none"
    )
    return Counter(["interrupted", kept])


def _remove(workspace: str) -> None:
    if _scheme(workspace) == "local":
        shutil.rmtree(workspace)


@contextlib.contextmanager
def _place(store: str) -> Iterator[str]:
    """Yield the url of a folder; the servers run in another process, because this one forks."""
    if store == "local":
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
            yield folder
        return
    command = [sys.executable, "-m", "tests.runtime.faults", "--serve", "--store", store]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        os.environ |= {**json.loads(server.stdout.readline()), "AWS_MAX_ATTEMPTS": "1"}
        try:
            build(Plain(workspace_directory=f"{store}://faults/first"))  # imports the client once
            yield f"{store}://faults/ws"
        finally:
            server.communicate()


def _serve(store: str) -> None:
    from tests.runtime import servers

    with servers.s3_server() if store == "s3" else servers.gcs_server() as proxy:
        servers.make_bucket(proxy, "faults")
        print(json.dumps(servers.environment(proxy)), flush=True)
        sys.stdin.read()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kind", choices=KINDS, action="append", help="kind of output (default: all)")
    parser.add_argument("--store", choices=STORES, default="local", help="store (default: local)")
    parser.add_argument("--how", choices=("kill", "fail"), action="append", help="kind of fault (default: both)")
    parser.add_argument("--times", type=int, default=200, help="number of faults for each kind (default: 200)")
    parser.add_argument("--serve", action="store_true", help="run the store's server, for another process")
    arguments = parser.parse_args()
    if arguments.serve:
        _serve(arguments.store)
        return
    with tempfile.TemporaryDirectory() as folder:
        for cls in KINDS.values():  # imports everything once, and not in each process
            _built(cls, folder, 0)
    with _place(arguments.store) as root:
        for kind in arguments.kind or KINDS:
            for how in arguments.how or ("kill", "fail"):
                found = check(kind, f"{root}/{kind}-{how}", how, arguments.times)
                print(f"{arguments.store} {kind} {how}: {dict(found)}", flush=True)


if __name__ == "__main__":
    main()
