"""Power cuts: what is left of a workspace when unflushed writes are lost, and what the next build makes of it.

    python -m tests.faults.power_cuts --times 200 --seed 1 [--durable] [--broken] [--device]

A forked process builds tasks and ends at a random operation. Its files are then what the system had in memory. A log of
its operations says which bytes and which names were flushed; of the others a part is taken back, as after a power cut:
a file is empty, cut, full of zeros, or has a hole, with its old time; names of a folder are lost from the last one
back. The next build runs in another start of the machine. It must return the right values, and with durable writes it
must not have to run again what an earlier build had finished. `--device` does the same with a real file system (ext4 on
a loop device, as root), which is shut down without being flushed. `--broken` leaves out all
flushes, and the search for damage.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import pickle
import random
import shutil
import struct
import subprocess
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import luigi

from kart_runtime import BuildFailed, TaskFinished, TaskOnKart, build
from kart_runtime.history import records, restarts, run_header
from kart_runtime.history.records import forget_records
from kart_runtime.storage import durable as flushing

HOW = ("empty", "cut", "zeros", "hole")
"""How a file is damaged whose bytes were not flushed."""


class Number(TaskOnKart[str]):
    """A number as text, in which a cut shows only by a smaller value."""

    number = luigi.IntParameter()

    def output(self) -> Any:
        return self.make_target("number.txt")

    def run(self) -> None:
        self.dump(str(10_000_000 + self.number))


class Table(TaskOnKart[Any]):
    """A frame as csv, of which a part can be read as well as the whole."""

    number = luigi.IntParameter()

    def requires(self) -> Any:
        return [Number(number=self.number, workspace_directory=self.workspace_directory)]

    def output(self) -> Any:
        return self.make_target("table.csv")

    def run(self) -> None:
        import pandas as pd

        (text,) = self.load()
        self.dump(pd.DataFrame({"value": [int(text)] * 400}))


class Pair(TaskOnKart[Any]):
    """Two outputs and a folder, which are a set."""

    number = luigi.IntParameter()

    def requires(self) -> Any:
        return Table(number=self.number, workspace_directory=self.workspace_directory)

    def output(self) -> Any:
        return {
            "sum": self.make_target("pair/sum.json"),
            "rows": self.make_target("pair/rows.txt"),
            "folder": self.make_folder_target("pair/parts"),
        }

    def run(self) -> None:
        table = self.load()
        total = int(table["value"].sum())
        self.dump({"total": total}, "sum")
        self.dump(str(len(table)), "rows")
        with self.folder("folder") as path:
            for name in "ab":
                (path / name).write_text(f"{total}{name}" * 50)


def expected(number: int) -> dict[str, Any]:
    """Return what plain Python gives."""
    total = (10_000_000 + number) * 400
    return {"sum": {"total": total}, "rows": ["400"], "a": f"{total}a" * 50, "b": f"{total}b" * 50}


def built(workspace: str, number: int, **options: Any) -> dict[str, Any]:
    """Build, and return the values."""
    values = build(Pair(number=number, workspace_directory=workspace), progress=False, **options)
    folder = values.pop("folder")
    return {**values, **{name: (folder / name).read_text() for name in "ab"}}


# -- the log of operations -------------------------------------------------------------------------------------------


class _Ended(BaseException):
    """Ends the process that is killed."""


class Recorder:
    """Logs what a process changes below a folder, and ends it at its n-th change."""

    def __init__(self, root: str, stop_at: int, kept: str) -> None:
        self._root, self._stop_at, self._kept = root, stop_at, kept
        self.count = 0
        self.names: list[tuple[str, str, str]] = []
        """Changes of names that are not flushed: path, what there was before ("" or a copy of it), kind."""
        self.flushed: dict[int, tuple[int, int]] = {}
        """Number of each file whose bytes are flushed, to the time of its last change then, and its size."""

    def install(self) -> None:
        for name in ("open", "replace", "unlink", "mkdir", "rmdir"):
            setattr(os, name, self._around(name, getattr(os, name)))
        flush, write = os.fsync, os.write
        os.fsync = lambda descriptor: self._flushed(descriptor, flush)  # type: ignore[assignment, misc]

        def counted(descriptor: int, data: Any) -> int:
            self._step()
            return write(descriptor, data)

        os.write = counted  # type: ignore[assignment]

    def _step(self) -> None:
        self.count += 1
        if self.count == self._stop_at:
            self.save()
            os._exit(9)

    def save(self) -> None:
        Path(self._kept, "log.json").write_text(
            json.dumps({"names": self.names, "flushed": list(self.flushed.items()), "count": self.count})
        )

    def _around(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def logged(*args: Any, **kwargs: Any) -> Any:
            path = os.fspath(args[-1 if name == "replace" else 0])
            if not isinstance(path, str) or not os.path.abspath(path).startswith(self._root):
                return operation(*args, **kwargs)
            if name == "open" and not (args[1] & os.O_CREAT and not os.path.lexists(path)):
                return operation(*args, **kwargs)
            self._step()
            before = self._copy(path) if name in ("replace", "unlink") else ""
            result = operation(*args, **kwargs)
            if name == "replace":
                self._note(args[0], "", "gone")
            self._note(path, before, name)
            return result

        return logged

    def _note(self, path: str, before: str, kind: str) -> None:
        self.names.append((os.path.abspath(path), before, kind))

    def _copy(self, path: str) -> str:
        """Keep what a name stood for, under another name of the same file."""
        if not os.path.isfile(path):
            return ""
        copy = f"{self._kept}/{len(self.names)}-{self.count}"
        os.link(path, copy)
        return copy

    def _flushed(self, descriptor: int, flush: Callable[[int], None]) -> None:
        self._step()
        flush(descriptor)
        path, status = os.readlink(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor)
        if os.path.isdir(path):
            self.names = [each for each in self.names if os.path.dirname(each[0]) != path]
        else:
            self.flushed[status.st_ino] = (status.st_mtime_ns, status.st_size)


def power_cut(root: str, log: dict[str, Any], dice: random.Random) -> Counter[str]:
    """Take back a part of what was not flushed; return how often what was done."""
    done = Counter[str]()
    names: dict[str, list[tuple[str, str, str]]] = {}
    for path, before, kind in log["names"]:
        names.setdefault(os.path.dirname(path), []).append((path, before, kind))
    flushed = {number: tuple(state) for number, state in log["flushed"]}
    for path in sorted(str(each) for each in Path(root).rglob("*") if each.is_file()):
        status = os.stat(path)
        changed, safe = flushed.get(status.st_ino, (0, 0))
        if changed != status.st_mtime_ns and status.st_size > safe and dice.random() < 0.6:
            how = dice.choice(HOW)
            _damage(path, how, dice, safe)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            done[how] += 1
    for changes in names.values():
        for path, before, kind in reversed(changes[dice.randint(0, len(changes)) :]):
            _take_back(path, before, kind)
            done["name"] += 1
    return done


def _damage(path: str, how: str, dice: random.Random, safe: int) -> None:
    """Damage the bytes of a file after those that are flushed."""
    data = bytearray(Path(path).read_bytes())
    place = dice.randrange(safe, len(data))
    if how == "empty":
        del data[safe:]
    elif how == "cut":
        del data[place:]
    elif how == "zeros":
        data[place:] = bytes(len(data) - place)
    else:
        end = min(len(data), place + 512)
        data[place:end] = bytes(end - place)
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate()


def _take_back(path: str, before: str, kind: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if os.path.isdir(path) and not os.path.islink(path):
            if kind == "mkdir":
                shutil.rmtree(path)
        elif kind != "gone":
            os.unlink(path)
    if before:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.link(before, path)


# -- one case --------------------------------------------------------------------------------------------------------


def _child(function: Callable[[], Any], boot: str) -> tuple[int, Any]:
    """Call a function in a forked process, in a start of the machine; return its exit code and result."""
    with tempfile.TemporaryFile() as file:
        process = os.fork()
        if not process:
            status = 1
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                forget_records()
                restarts.this_boot = lambda: f"machine {boot}"  # type: ignore[assignment]
                run_header.this_boot = restarts.this_boot
                file.write(pickle.dumps(function()))
                file.flush()
                status = 0
            except BaseException as error:
                file.write(pickle.dumps("".join(traceback.format_exception(error))[-1500:]))
                file.flush()
            os._exit(status)
        _, status = os.waitpid(process, 0)
        file.seek(0)
        data = file.read()
        return os.waitstatus_to_exitcode(status), pickle.loads(data) if data else None


def _break() -> None:
    """Leave out all flushes, and never look for what a restart has damaged."""
    flushing.flush_file = lambda descriptor: None  # type: ignore[assignment]
    records.restart_before = lambda *_: None  # type: ignore[assignment]


def _first(root: str, kept: str, stop_at: int, is_durable: bool, broken: bool) -> int:
    if broken:
        _break()
    recorder = Recorder(root, stop_at, kept)
    recorder.install()
    with contextlib.suppress(BuildFailed):
        built(f"{root}/ws", 1, durable=is_durable)
    recorder.save()
    return recorder.count


def _ran(workspace: str, broken: bool) -> tuple[dict[str, Any], int]:
    """Build again, and return the values and the number of tasks that ran."""
    if broken:
        _break()
    ran: list[Any] = []
    values = built(workspace, 1, on_event=lambda event: ran.append(event) if isinstance(event, TaskFinished) else None)
    return values, len(ran)


def case(number: int, seed: int, is_durable: bool, *, broken: bool = False, whole: bool = False) -> Counter[str]:
    """Cut the power once; `whole` lets the first build end before."""
    dice = random.Random(f"{seed}-{number}")
    where = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=where) as root, tempfile.TemporaryDirectory(dir=where) as kept:
        total = _total(is_durable)
        stop_at = 0 if whole else dice.randint(1, total)
        status, _ = _child(lambda: _first(root, kept, stop_at, is_durable, broken), "1")
        assert status in (0, 9), status
        log = json.loads(Path(kept, "log.json").read_text())
        done = power_cut(root, log, dice)
        name = f"seed {seed}, case {number}, {'durable' if is_durable else 'not durable'}, stop at {stop_at} of {total}"
        for again in range(2):
            status, answer = _child(lambda: _ran(f"{root}/ws", broken), "2")
            assert status == 0, f"{name}: the build after it failed: {answer}"
            values, ran = answer
            assert values == expected(1), f"{name}: wrong value: {str(values)[:300]}"
            if again or (whole and is_durable):
                assert not ran, f"{name}: {ran} tasks ran again"
        done["cuts"] += 1
        return done


_totals: dict[bool, int] = {}


def _total(is_durable: bool) -> int:
    """Return how many operations a whole build has."""
    if is_durable not in _totals:
        with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory(dir=os.path.dirname(root)) as kept:
            _totals[is_durable] = _child(lambda: _first(root, kept, 0, is_durable, False), "1")[1]
    return _totals[is_durable]


def check(times: int, seed: int, is_durable: bool, *, broken: bool = False) -> Counter[str]:
    """Cut the power several times, half of them after a whole build; return what was done to files."""
    done = Counter[str]()
    for number in range(times):
        done += case(number, seed, is_durable, broken=broken, whole=number % 2 == 1)
    return done


# -- a real file system ----------------------------------------------------------------------------------------------

_SHUTDOWN, _NO_FLUSH = 0x8004587D, 2
"""Linux' request FS_IOC_SHUTDOWN, and its option to drop everything that is not on the disk."""


@contextlib.contextmanager
def mounted(image: str, folder: str) -> Iterator[None]:
    """Mount a file as a file system."""
    subprocess.run(["mount", "-o", "loop,commit=1", image, folder], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True, capture_output=True)


def device_case(number: int, seed: int, is_durable: bool, *, broken: bool = False) -> Counter[str]:
    """Shut ext4 down in the middle of a build, or after it, without letting it flush."""
    dice = random.Random(f"{seed}-{number}")
    with tempfile.TemporaryDirectory() as root:
        image, folder = f"{root}/image", f"{root}/mnt"
        os.mkdir(folder)
        subprocess.run(["truncate", "-s", "32M", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        whole = number % 2 == 1
        with mounted(image, folder):
            kept = f"{folder}/kept"
            os.mkdir(kept)
            os.sync()
            stop_at = 0 if whole else dice.randint(1, _total(is_durable))
            status, _ = _child(lambda: _first(f"{folder}/w", kept, stop_at, is_durable, broken), "1")
            files = sum(1 for each in Path(folder, "w").rglob("*") if each.is_file())
            time.sleep(dice.choice((0.0, 1.5)))  # ext4 writes names, and not yet bytes, after a second
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_FLUSH))
            os.close(descriptor)
        with mounted(image, folder):
            left = [each for each in Path(folder, "w").rglob("*") if each.is_file()]
            done = Counter(cuts=1, lost=files - len(left), empty=sum(not each.stat().st_size for each in left))
            for again in range(2):
                status, answer = _child(lambda: _ran(f"{folder}/w/ws", broken), "2")
                assert status == 0, f"seed {seed}, case {number}: the build after it failed: {answer}"
                assert answer[0] == expected(1), f"seed {seed}, case {number}: wrong value: {str(answer[0])[:300]}"
                if again or (whole and is_durable):
                    assert not answer[1], f"seed {seed}, case {number}: {answer[1]} tasks ran again"
        return done


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=100, help="number of power cuts (default: 100)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 100_000, help="seed of the schedule")
    parser.add_argument("--durable", action="store_true", help="build with durable writes")
    parser.add_argument("--broken", action="store_true", help="leave out all flushes; must fail with --durable")
    parser.add_argument("--device", action="store_true", help="cut a real file system off (Linux, root)")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        built(folder, 0)  # imports everything once
    done = Counter[str]()
    for number in range(options.times):
        if options.device:
            done += device_case(number, options.seed, options.durable, broken=options.broken)
        else:
            done += case(number, options.seed, options.durable, broken=options.broken, whole=number % 2 == 1)
    print(dict(done))


if __name__ == "__main__":
    main()
