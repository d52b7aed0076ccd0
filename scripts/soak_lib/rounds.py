"""One round: a random pipeline, programs that build it at the same time, faults, and what must be there at the end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soak_lib.pipelines import Step, random_pipeline, values_of
from soak_lib.services import Services

FAULTS = ("kill", "kill worker", "stop", "full disk", "dead redis", "network", "clock", "dask", "none")
_SECONDS = 300.0
"""Seconds after which a build that nothing disturbs counts as hanging."""
_HERE = Path(__file__).resolve().parent.parent


class Failure(Exception):
    """A round did not end as it must."""


@dataclass(frozen=True)
class Schedule:
    """What a round does, all of which follows from its seed and the kind of fault."""

    seed: int
    fault: str
    executor: str
    workers: int
    store: str
    locks: str
    programs: int
    durable: bool
    signing: bool
    size: int
    faults: int
    small: bool

    def text(self) -> str:
        """Return the schedule on one line."""
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())


def schedule_of(seed: int, fault: str, *, small: bool, stores: tuple[str, ...]) -> Schedule:
    """Return the schedule of a seed and a kind of fault, with what that fault needs."""
    dice = random.Random(f"{seed} {fault}")
    executor = dice.choice(("serial", "threads", "processes", "dask"))
    store = dice.choice(stores)
    locks = dice.choice(("none", "file", "workspace", "redis"))
    if fault == "kill worker":
        executor = "processes"
    if fault == "dask":
        executor = "dask"
    if fault == "dead redis":
        locks = "redis"
    if fault == "network":
        store = dice.choice([each for each in stores if each != "local"] or ["local"])
    if fault == "full disk":
        store = "local"
    if store != "local" and locks == "file":
        locks = "workspace"
    if locks == "redis" and not shutil.which("redis-server"):
        locks = "none"
    programs = 1 if locks == "none" or small else dice.randint(1, 2)
    workers = 1 if executor == "serial" else dice.randint(2, 3)
    size = dice.randint(3, 6) if small else dice.randint(4, 16)
    durable, signing = dice.random() < 0.3, dice.random() < 0.2
    faults = 1 if small else dice.randint(1, 3)
    return Schedule(seed, fault, executor, workers, store, locks, programs, durable, signing, size, faults, small)


class Program:
    """A running build."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path, name: str) -> None:
        self.log = folder / f"{name}.log"
        self._out = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - read by `wait`
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=self._out, stderr=log, env=environment, start_new_session=True, cwd=folder
            )

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def wait(self, seconds: float) -> tuple[int, str]:
        """Wait for the end; return the exit code and the output."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"a build hung for {seconds:.0f} s:\n{self.tail()}") from None
        self._out.seek(0)
        with self._out:
            return code, self._out.read().decode()

    def tail(self) -> str:
        """Return the end of what it logged."""
        return self.log.read_text(errors="replace")[-1500:]

    def kill(self) -> None:
        """End the process, and what it has started, in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Round:
    """Runs one schedule; `delivered` counts the faults."""

    def __init__(self, schedule: Schedule, services: Services, *, broken: bool = False) -> None:
        self.schedule, self._services, self._broken = schedule, services, broken
        self.delivered = Counter[str]()
        self._dice = random.Random(f"{schedule.seed} {schedule.fault} faults")
        self._mark = f"soak-{os.getpid()}-{schedule.seed}"
        self._programs: list[Program] = []
        self._disturbed = 0

    def run(self) -> None:
        """Run it; raise `Failure` if something is not as it must be."""
        with tempfile.TemporaryDirectory(prefix="kart-soak-") as folder:
            try:
                self._run(Path(folder))
            finally:
                for program in self._programs:
                    program.kill()
                end_marked(self._mark)
                self._services.heal()

    def _run(self, folder: Path) -> None:
        plan = self.schedule
        pipeline = random_pipeline(random.Random(f"{plan.seed} pipeline"), plan.size, light=plan.small)
        path = folder / "pipeline.json"
        path.write_text(json.dumps(pipeline))
        expected = values_of(pipeline)
        with self._workspace(folder) as workspace:
            for number in range(plan.faults):
                self._disturbed_build(folder, path, workspace, number)
            self._clean_build(folder, path, workspace, expected, "clean")
            self._check_runs(path, pipeline)
            answer = self._clean_build(folder, path, workspace, expected, "again")
            if answer["ran"]:
                raise Failure(f"the second clean build ran {answer['ran']} tasks")
            if plan.store == "local":
                _check_leftovers(Path(workspace))
            self._check_orphans()

    @contextlib.contextmanager
    def _workspace(self, folder: Path) -> Iterator[str]:
        plan = self.schedule
        if plan.store != "local":
            yield self._services.workspace(plan.store, plan.seed)
            return
        workspace = folder / "workspace"
        workspace.mkdir()
        if plan.fault != "full disk" or os.geteuid() != 0:
            yield str(workspace)
            return
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "soak", str(workspace)], check=False)
        try:
            yield str(workspace)
        finally:
            if not mounted.returncode:
                subprocess.run(["umount", "-l", str(workspace)], check=False)

    # -- builds ------------------------------------------------------------------------------------------------------

    def _start(self, folder: Path, path: Path, workspace: str, name: str, **more: str) -> Program:
        plan = self.schedule
        options = {"executor": plan.executor, "workers": plan.workers, "durable": plan.durable, "lock_wait": 60}
        options["locks"] = self._services.redis_url() if plan.locks == "redis" else plan.locks
        environment = {**os.environ, **self._services.environment(plan.store), "SOAK_MARK": self._mark, **more}
        environment["PYTHONPATH"] = os.pathsep.join(map(str, (_HERE / "soak_lib" / "clock", _HERE, _HERE.parent)))
        environment["TMPDIR"] = str(folder)
        if plan.signing:
            environment["KART_SIGNING_KEY"] = "the-key-of-the-soak-protects-nothing-0123456789abcdef"
        if self._broken:
            environment["SOAK_BROKEN"] = "1"
        command = [sys.executable, "-m", "soak_lib.program", str(path), workspace, json.dumps(options)]
        program = Program(command, environment, folder, name)
        self._programs.append(program)
        return program

    def _clean_build(self, folder: Path, path: Path, workspace: str, expected: list[int], name: str) -> Any:
        code, out = self._start(folder, path, workspace, name).wait(_SECONDS)
        if code:
            raise Failure(f"the {name} build failed:\n{self._programs[-1].tail()}")
        answer = json.loads(out.splitlines()[-1])
        if answer["values"] != expected:
            wrong = [n for n, (a, b) in enumerate(zip(answer["values"], expected, strict=True)) if a != b]
            raise Failure(f"the {name} build has other values than the model, of the steps {wrong}")
        return answer

    def _disturbed_build(self, folder: Path, path: Path, workspace: str, number: int) -> None:
        plan, more = self.schedule, {}
        offset = self._dice.choice((-400_000, -7200, 7200, 400_000))
        if plan.fault == "clock":
            more = {"SOAK_CLOCK": str(offset)}
        if plan.fault == "full disk":
            self._fill(Path(workspace))
        if plan.fault == "network" and plan.store != "local":
            self._services.disturb(plan.store, self._dice)
        programs = [
            self._start(folder, path, workspace, f"build{number}-{each}", **more) for each in range(plan.programs)
        ]
        if plan.fault in _SIGNALS:
            self._hit(programs[0])
        ends = [program.wait(_SECONDS) for program in programs]
        self._count(ends, programs, offset)
        if plan.fault == "full disk":
            (Path(workspace) / "filler").unlink(missing_ok=True)
        self._services.heal()

    def _hit(self, program: Program) -> None:
        """Send a fault to a program after a random time in which it may build."""
        self._wait_until_begun(program)
        time.sleep(self._dice.uniform(0, 0.03 * self.schedule.size))
        getattr(self, f"_{self.schedule.fault.replace(' ', '_')}")(program)

    @staticmethod
    def _wait_until_begun(program: Program) -> None:
        end = time.monotonic() + 60
        while program.is_running and not os.pread(program._out.fileno(), 5, 0) and time.monotonic() < end:
            time.sleep(0.01)

    def _kill(self, program: Program) -> None:
        if program.is_running:
            os.kill(program.process.pid, signal.SIGKILL)
            if program.process.wait() == -signal.SIGKILL:
                self._note("kill")

    def _kill_worker(self, program: Program) -> None:
        end = time.monotonic() + 10
        while program.is_running and time.monotonic() < end:
            children = [pid for pid in _marked(self._mark) if _parent(pid) == program.process.pid]
            if children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._dice.choice(children), signal.SIGKILL)
                    self._note("kill worker")
                return
            time.sleep(0.01)

    def _dask(self, program: Program) -> None:
        """Kill the program, and so its cluster."""
        if program.is_running:
            os.kill(program.process.pid, signal.SIGKILL)
            if program.process.wait() == -signal.SIGKILL:
                self._note("dask")

    def _stop(self, program: Program) -> None:
        if program.is_running:
            os.kill(program.process.pid, signal.SIGSTOP)
            time.sleep(self._dice.uniform(0.1, 1.0))
            if _state(program.process.pid) == "T":
                self._note("stop")
            os.kill(program.process.pid, signal.SIGCONT)

    def _dead_redis(self, program: Program) -> None:
        was_running = program.is_running
        self._services.restart_redis(self._dice.uniform(0.1, 1.0))
        if was_running:
            self._note("dead redis")

    def _fill(self, workspace: Path) -> None:
        if not os.path.ismount(workspace):
            return
        free = shutil.disk_usage(workspace).free
        left = self._dice.choice((4096, 20_000, 60_000))
        (workspace / "filler").write_bytes(bytes(max(0, free - left)))

    def _count(self, ends: list[tuple[int, str]], programs: list[Program], offset: int) -> None:
        """Count the faults whose delivery shows only at the end."""
        fault = self.schedule.fault
        logs = [program.log.read_text(errors="replace") for program in programs]
        if fault == "full disk" and any(
            code and "No space left" in log for (code, _), log in zip(ends, logs, strict=True)
        ):
            self._note("full disk")
        elif fault == "network":
            self._disturbed += 1
            self.delivered["network"] += self._services.disturbances(self.schedule.store)
        elif fault == "clock":
            for code, out in ends:
                shift = json.loads(out.splitlines()[-1])["time"] - time.time() if not code else 0
                if abs(shift) > 3600 and shift * offset > 0:
                    self._note("clock")
        elif fault == "none":
            self.delivered["none"] += 1

    def _note(self, fault: str) -> None:
        self.delivered[fault] += 1
        self._disturbed += 1

    # -- checks ------------------------------------------------------------------------------------------------------

    def _check_runs(self, path: Path, pipeline: dict[str, Any]) -> None:
        """Check that with locks each task ended once, and ran once more for each failure and each fault at most."""
        plan = self.schedule
        if plan.locks == "none" and plan.programs > 1:
            return
        lines = Path(f"{path}.runs").read_text().split("\n")
        counts = Counter(int(line.split()[0]) for line in lines if line.strip())
        for number, step in enumerate(pipeline["steps"]):
            tries = (1 + step["failures"]) * (1 + len(step["yields"]))
            allowed = tries * (1 + max(self._disturbed, plan.faults if plan.fault != "none" else 0)) * plan.programs
            if plan.fault in _RETRIED:
                allowed *= 1 + Step.retries
            if plan.fault == "none" and plan.locks != "none":
                allowed = (1 + step["failures"] * plan.programs) * (1 + len(step["yields"]) * plan.programs)
            if not 1 <= counts[number] <= allowed:
                raise Failure(f"step {number} ran {counts[number]} times; at most {allowed} are right")

    def _check_orphans(self) -> None:
        end = time.monotonic() + 10
        while (pids := _marked(self._mark)) and time.monotonic() < end:
            time.sleep(0.05)
        if pids:
            raise Failure(f"processes are left: {pids}")


_RETRIED = frozenset({"full disk", "network", "dead redis"})
"""Faults of which a build sees several: each try of a task may meet one."""

_SIGNALS = frozenset({"kill", "kill worker", "stop", "dead redis", "dask"})


def _check_leftovers(workspace: Path) -> None:
    names = [str(each.relative_to(workspace)) for each in workspace.rglob("*") if each.name.startswith(".kart-")]
    names += [str(each.relative_to(workspace)) for each in workspace.rglob("*.commit.json")]
    if names:
        raise Failure(f"files are left: {names[:5]}")


def _marked(mark: str) -> list[int]:
    """Return the processes of this round, by a variable of their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        name = path.name
        if name.isdigit() and _state(int(name)) not in "ZX":
            with contextlib.suppress(OSError):
                if f"SOAK_MARK={mark}\0".encode() in Path(f"/proc/{name}/environ").read_bytes():
                    found.append(int(name))
    return found


def end_marked(mark: str) -> None:
    """End what a round or a scenario has started, and what that has started, in any session."""
    end = time.monotonic() + 10
    while (pids := _marked(mark)) and time.monotonic() < end:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
