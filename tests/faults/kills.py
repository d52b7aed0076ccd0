"""Real kills: builds in process groups of their own, killed at random moments, and what remains after one more build.

    python -m tests.faults.kills --count 200 --seed 1 --kind plain --json
    python -m tests.faults.kills --count 200 --tool gokart --python gokart-venv/bin/python

Every build runs in a forked process, which is killed (SIGKILL, the whole group) at a moment that is drawn evenly over
the time that such a build takes. Only a kill that came after the build had begun and before it had ended is counted.
Every second build replaces the outputs of the one before. After each kill, what is visible is loaded and must be whole;
after all kills and one more build, what is left is counted. Nothing of kart is imported before `--tool` is known, so
gokart 1.12.2 in an environment of its own is killed by the same program.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pickle
import random
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

KINDS = ("plain", "several", "model", "parquet", "feather", "csv", "folder", "large", "processes", "s3", "gs")
GOKART_KINDS = ("plain", "several", "model", "parquet", "feather", "csv", "large", "s3")

_ROWS = 20_000
_MODEL_BYTES = 4_000_000
_LARGE_BYTES = 30_000_000
_UPLOAD_BYTES = 20_000_000
_BUCKET = "faults"
_FOLDERS = {"a": 3, "sub/b": 200_000}


# -- tasks, of either library ----------------------------------------------------------------------------------------


class _Generation:
    """By which build a value was made."""

    now = 0


def _task_class(tool: str, kind: str) -> Any:
    """Return the class of the tasks of a kind; each has a number, and writes by which build it was written."""
    import luigi

    if tool == "kart":
        import kart_runtime as library
    else:
        import gokart as library  # type: ignore[import-not-found, no-redef, unused-ignore]
    base: Any = library.TaskOnKart

    class Killed(base):  # type: ignore[misc, unused-ignore]
        n: Any = luigi.IntParameter()

        def output(self) -> Any:
            return _output(self, kind)

        def run(self) -> None:
            if kind == "several":
                for name in "abc":
                    self.dump(_value(kind, self.n), name)
            elif kind == "folder":
                with self.folder() as path:
                    for name, size in _FOLDERS.items():
                        (path / name).parent.mkdir(exist_ok=True)
                        (path / name).write_bytes(_value(kind, self.n)[1][:1] * size)
            else:
                self.dump(_value(kind, self.n))

    Killed.__module__, Killed.__qualname__ = __name__, "Killed"
    globals()["Killed"] = Killed
    return Killed


def _output(task: Any, kind: str) -> Any:
    if kind == "several":
        return {name: task.make_target(f"several/{name}.pkl") for name in "abc"}
    if kind == "model":
        return task.make_model_target("model/x.zip", _save, _load)
    if kind == "folder":
        return task.make_folder_target("folder/x.folder")
    suffix = kind if kind in {"parquet", "feather", "csv"} else "pkl"
    return task.make_target(f"killed/{kind}.{suffix}")


def _value(kind: str, number: int) -> Any:
    mark = f"{number}.{_Generation.now}"
    if kind in {"parquet", "feather", "csv"}:
        import pandas as pd

        return pd.DataFrame({"mark": [mark] * _ROWS, "x": [float(number)] * _ROWS})
    size = {"large": _LARGE_BYTES, "s3": _UPLOAD_BYTES, "gs": _UPLOAD_BYTES, "model": 1}.get(kind, 5_000)
    return mark, bytes([_Generation.now % 256]) * size


def _save(value: Any, path: str) -> None:
    with open(path, "wb") as file:
        file.writelines(value[1] * (_MODEL_BYTES // 8) for _ in range(8))
    with open(f"{path}.mark", "w") as file:
        file.write(value[0])


def _load(path: str) -> Any:
    data = Path(path).read_bytes()
    if data != data[:1] * _MODEL_BYTES:
        raise ValueError("the model is torn")
    return Path(f"{path}.mark").read_text(), data[:1]


def _mark_of(value: Any) -> str:
    """Return the mark of a value; raise ValueError if it is not whole."""
    if hasattr(value, "columns"):
        marks = set(value["mark"].astype(str))
        if len(value) != _ROWS or len(marks) != 1:
            raise ValueError(f"{len(value)} rows, with the marks {marks}")
        return str(marks.pop())
    if isinstance(value, Path):
        parts = {name: (value / name).read_bytes() for name in _FOLDERS}
        firsts = {data[:1] for data in parts.values()}
        if len(firsts) != 1 or any(len(data) != _FOLDERS[name] for name, data in parts.items()):
            raise ValueError("the folder is torn")
        return ""
    mark, data = value
    if len(set(data)) != 1:
        raise ValueError("the bytes are torn")
    return str(mark)


# -- one process -----------------------------------------------------------------------------------------------------


def _build(tool: str, kind: str, tasks: list[Any]) -> None:
    if tool == "kart":
        from kart_runtime import build

        options: dict[str, Any] = {"executor": "processes", "workers": 2} if kind == "processes" else {}
        build(tasks, return_value=False, progress=False, **options)
        return
    import gokart

    for task in tasks:
        gokart.build(task, return_value=False, log_level=50)


def _fork(function: Callable[[Callable[[bytes], None]], Any]) -> tuple[int, int]:
    """Call a function in a process group of its own, with what writes to its parent; return its id and the pipe."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    status = 1
    with contextlib.suppress(BaseException):
        os.setsid()
        os.close(read)
        silent = os.open(os.devnull, os.O_WRONLY)
        log = os.environ.get("KILLS_LOG")
        os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if log else silent, 2)
        os.dup2(silent, 1)
        try:
            function(lambda data: _write_all(write, data))
        except BaseException:
            import traceback

            traceback.print_exc()
            raise
        status = 0
    os._exit(status)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _answer(function: Callable[[], Any]) -> Any:
    """Return what a function returns in a forked process."""
    pid, read = _fork(lambda send: send(json.dumps(function()).encode()))
    with os.fdopen(read, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    if not data:
        raise AssertionError("a process that should answer has failed")
    return json.loads(data)


class _Kills:
    """Kills of builds of one kind in one workspace."""

    def __init__(self, tool: str, kind: str, workspace: str, seed: int) -> None:
        self.tool, self.kind, self.workspace = tool, kind, workspace
        self._class = _task_class(tool, kind)
        self._random = random.Random(seed)
        self.found: Counter[str] = Counter()
        self.generation = 0
        self._examples: list[str] = []

    def _task(self, number: int, rerun: bool = False) -> Any:
        more = {"local_temporary_directory": tempfile.gettempdir()} if self.tool == "gokart" else {}
        return self._class(n=number, workspace_directory=self.workspace, rerun=rerun, **more)

    def seconds(self) -> float:
        """Return how long a build takes, from its beginning."""
        taken = []
        for number in range(-4, 0):
            began = time.monotonic()
            pid, read = _fork(lambda send, number=number: self._run(send, number, rerun=False))  # type: ignore[misc]
            with os.fdopen(read, "rb") as file:
                assert file.read() == b"BE", "a build without a kill fails"
            os.waitpid(pid, 0)
            taken.append(time.monotonic() - began)
        return statistics.median(taken[1:])

    def _run(self, send: Callable[[bytes], None], number: int, rerun: bool) -> None:
        _Generation.now = self.generation
        task = self._task(number, rerun)
        send(b"B")
        _build(self.tool, self.kind, [task])
        send(b"E")

    def kill_one(self, number: int, seconds: float) -> None:
        """Kill a build once; count whether it was inside of the build, and look at what is visible."""
        self.generation += 1
        rerun = bool(self.generation % 2 == 0)
        pid, read = _fork(lambda send: self._run(send, number, rerun))
        at = self._random.uniform(0.0, seconds * 1.05)
        ready, _, _ = select.select([read], [], [], 60)
        time.sleep(at)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(read, "rb") as file:
            said = file.read() if ready else b""
        self.found["kills sent"] += 1
        if os.WIFSIGNALED(status) and said == b"B":
            self.found["kills inside a build"] += 1
        problems, logs = _answer(lambda: self._look(number))
        self.found["wrong outputs"] += len(problems)
        self.found["unreadable log files right after a kill"] += logs
        self._examples += problems

    def _look(self, number: int) -> tuple[list[str], int]:
        """Return what is wrong with what is visible of a task, and how many of its log files cannot be read."""
        task = self._task(number)
        problems: list[str] = []
        if self.tool == "kart":
            from kart_runtime.storage import commit

            commit.recover(self.workspace)  # as each build does first
        outputs = task.output()
        targets = list(outputs.values()) if isinstance(outputs, dict) else [outputs]
        marks = []
        if all(target.exists() for target in targets):
            for target in targets:
                try:
                    marks.append(_mark_of(target.load()))
                except Exception as error:
                    problems.append(f"{self.kind} {number}: {type(error).__name__}: {error}"[:300])
        if len(set(marks)) > 1:
            problems.append(f"{self.kind} {number}: mixed: {marks}")
        return problems, sum(map(_is_unreadable, self._log_files(task.make_unique_id())))

    def _log_files(self, unique_id: str) -> Iterator[Path]:
        if "://" not in self.workspace:
            yield from Path(self.workspace, "log").glob(f"*/*{unique_id}*")

    def build_all(self, numbers: int) -> None:
        """Build everything once more, without kills."""

        def build_once() -> str:
            _Generation.now = 255
            _build(self.tool, self.kind, [self._task(number) for number in range(numbers)])
            return "done"

        assert _answer(build_once) == "done"
        wrong = [problem for number in range(numbers) for problem in _answer(lambda n=number: self._look(n))[0]]  # type: ignore[misc]
        self.found["wrong outputs after one more build"] += len(wrong)
        self._examples += wrong


def _is_unreadable(path: Path) -> bool:
    if path.suffix != ".pkl" or not path.is_file():  # gokart's texts of versions may be empty
        return False
    try:
        pickle.loads(path.read_bytes())
    except Exception:
        return True
    return False


# -- what remains ----------------------------------------------------------------------------------------------------


def _remains(workspace: str, temporary: str) -> dict[str, int]:
    found = {"temporary files": 0, "temporary bytes": 0}
    for folder, folders, files in os.walk(temporary):
        found["temporary files"] += len(files) + len(folders)
        found["temporary bytes"] += sum(os.path.getsize(os.path.join(folder, name)) for name in files)
    if "://" in workspace:
        return found | {"unfinished uploads": _uploads()} if workspace.startswith("s3") else found
    paths = [path for path in Path(workspace).rglob("*") if path.is_file()]
    hidden = [path for path in paths if any(part.startswith(".") for part in path.relative_to(workspace).parts)]
    found["hidden files"] = len(hidden)
    found["commit files"] = sum(path.name.endswith(".commit.json") for path in paths)
    found["lock files"] = sum("lock" in path.name for path in paths)
    found["unreadable log files"] = sum(map(_is_unreadable, Path(workspace, "log").glob("*/*")))
    return found


def _uploads() -> int:
    def count() -> int:
        import boto3

        listed = boto3.client("s3").list_multipart_uploads(Bucket=_BUCKET)
        return len(listed.get("Uploads", ()))

    return int(_answer(count))


def run(tool: str, kind: str, workspace: str, count: int, seed: int) -> dict[str, Any]:
    """Kill builds until `count` kills came inside of one; return what was found, and what remains."""
    _warm(tool, kind)
    if os.environ.get("KILLS_BROKEN") and tool == "kart":
        _break()
    kills = _Kills(tool, kind, workspace, seed)
    seconds = kills.seconds()
    number = sent = 0
    while kills.found["kills inside a build"] < count and sent < 3 * count + 20:
        number = sent // 2  # each is built, and replaced, or built once more
        kills.kill_one(number, seconds)
        sent += 1
    before = _remains(workspace, tempfile.gettempdir())
    kills.build_all(number + 1)
    after = _remains(workspace, tempfile.gettempdir())
    return {
        "tool": tool,
        "kind": kind,
        "seed": seed,
        "seconds of a build": round(seconds, 4),
        **kills.found,
        "after the kills": before,
        "after one more build": after,
        "examples": kills._examples[:5],
    }


def _break() -> None:
    """Let builds remove nothing, and write each log file in place: the control, in which the checks have to fail."""
    from kart_runtime import builder
    from kart_runtime.storage.stores.local import LocalStore

    def put(_self: Any, key: str, data: bytes) -> None:
        Path(key).parent.mkdir(parents=True, exist_ok=True)
        with open(key, "wb") as file:
            file.flush()
            time.sleep(0.005)
            file.write(data)

    LocalStore.put = put  # type: ignore[assignment, method-assign]
    setattr(builder.Clearing, "add", lambda *_: None)  # noqa: B010
    setattr(builder.Clearing, "__exit__", lambda *_: None)  # noqa: B010


def _warm(tool: str, kind: str) -> None:
    """Import what every build imports, so that the kills come into the build."""
    frames = ("pandas", "pyarrow.parquet", "pyarrow.feather") if kind in {"parquet", "feather", "csv"} else ()
    for name in ("xxhash", *frames, *(("boto3",) if kind == "s3" else ())):
        with contextlib.suppress(ImportError):
            __import__(name)
    if tool == "kart":
        import kart_runtime.builder  # noqa: F401


# -- in an environment of its own ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _server(kind: str) -> Iterator[dict[str, str]]:
    """Yield the variables by which clients find a service, run by another process."""
    if kind not in {"s3", "gs"}:
        yield {}
        return
    command = [sys.executable, "-m", "tests.runtime.faults", "--serve", "--store", kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.communicate()


def measure(
    kind: str, count: int, seed: int, tool: str = "kart", python: str = sys.executable, broken: bool = False
) -> dict[str, Any]:
    """Run the kills of one kind in a process of their own, with empty folders; return what was found.

    `tool` is "kart" or "gokart", `python` the interpreter of its environment. With `broken`, kart removes nothing and
    writes log files in place, so that the checks have to fail.
    """
    folder = tempfile.mkdtemp()
    try:
        temporary = Path(folder, "tmp")
        temporary.mkdir()
        with _server(kind) as variables:
            cache = {"KART_CACHE_DIR": f"{folder}/cache", "XDG_CACHE_HOME": f"{folder}/cache"}
            environ = {**os.environ, **variables, **cache, "TMPDIR": str(temporary), "PYTHONWARNINGS": "ignore"}
            environ |= {"KILLS_BROKEN": "1"} if broken else {}
            workspace = f"{kind}://{_BUCKET}/ws" if kind in {"s3", "gs"} else f"{folder}/ws"
            command = [python, __file__, "--inside", "--tool", tool, "--kind", kind, "--workspace", workspace]
            command += ["--count", str(count), "--seed", str(seed)]
            done = subprocess.run(command, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True, check=True)
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kind", choices=KINDS, action="append", help="kind of output (default: all)")
    parser.add_argument("--count", type=int, default=20, help="kills inside a build, for each kind (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments (default: 1)")
    parser.add_argument("--tool", choices=("kart", "gokart"), default="kart", help="what builds (default: kart)")
    parser.add_argument("--python", default=sys.executable, help="interpreter of gokart's environment")
    parser.add_argument("--json", action="store_true", help="print one object of JSON for each kind")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--workspace", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        result = run(arguments.tool, arguments.kind[0], arguments.workspace, arguments.count, arguments.seed)
        print(json.dumps(result))
        return
    kinds = arguments.kind or (KINDS if arguments.tool == "kart" else GOKART_KINDS)
    for kind in kinds:
        result = measure(kind, arguments.count, arguments.seed, arguments.tool, arguments.python)
        print(json.dumps(result) if arguments.json else _text(result), flush=True)


def _text(result: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in result.items()) + "\n"


if __name__ == "__main__":
    main()
