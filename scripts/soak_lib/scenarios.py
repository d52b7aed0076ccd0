"""Scenarios of a soak, in the order in which they run; random pipelines take the time that is left."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from soak_lib.rounds import FAULTS, Failure, Round, end_marked, schedule_of
from soak_lib.services import Services
from tests.faults.kills import KINDS
from tests.faults.stores import STORES

_REPOSITORY = Path(__file__).resolve().parent.parent.parent


class Soak:
    """One call of `scripts/soak`."""

    def __init__(self, seed: int, options: argparse.Namespace) -> None:
        self.seed, self.options = seed, options
        self.end = time.monotonic() + options.minutes * 60
        self.delivered = Counter[str]()
        self.outcomes = Counter[str]()
        self.figures: dict[str, Any] = {}
        self.failures: list[str] = []
        self.chosen: set[str] = set()
        self.scenario = ""
        self.is_interrupted = False

    def run(self) -> int:
        """Run the scenarios; return the exit code."""
        print(f"seed {self.seed}, {self.options.minutes:g} minutes: {', '.join(self.options.only)}", flush=True)
        try:
            for name in self.options.only:
                self.scenario = name
                SCENARIOS[name](self)
                if self.failures:
                    break
            else:
                never = sorted(fault for fault in self.chosen if not self.delivered[fault])
                self.failures += [f"never delivered: {', '.join(never)}"] if never else []
        except KeyboardInterrupt:
            self.is_interrupted = True
            print("interrupted", flush=True)
        self._print()
        return 1 if self.failures else 130 if self.is_interrupted else 0

    def report(self) -> dict[str, Any]:
        """Return what `--json` writes."""
        return {
            "seed": self.seed,
            "delivered": dict(self.delivered),
            "outcomes": dict(self.outcomes),
            "figures": self.figures,
            "failures": self.failures,
        }

    def _print(self) -> None:
        print(f"delivered: {dict(self.delivered)}")
        print(f"outcomes: {dict(self.outcomes)}")
        for name, figure in self.figures.items():
            print(f"{name}: {json.dumps(figure)}")
        for failure in self.failures:
            print(f"FAILED: {failure}")
        print("failed" if self.failures else "interrupted" if self.is_interrupted else "passed", flush=True)

    def child(self, name: str, *arguments: str, seconds: float = 3600) -> str:
        """Run a module of the tests or of the soak; return its output, or note that it failed."""
        started = time.monotonic()
        mark = f"soak-{os.getpid()}"
        command = [sys.executable, "-m", name, *arguments]
        path = f"{_REPOSITORY}{os.pathsep}{_REPOSITORY / 'scripts'}"
        environment = {**os.environ, "PYTHONPATH": path, "SOAK_MARK": mark}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, cwd=_REPOSITORY, env=environment, start_new_session=True, **pipes)
        try:
            out, log = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            out, log = "", f"it took more than {seconds:.0f} s"
        finally:
            end_marked(mark)
        code = process.returncode
        print(f"{name} {' '.join(arguments)}: {time.monotonic() - started:.0f} s, exit code {code}", flush=True)
        if code:
            self.fail(f"{name} {' '.join(arguments)}:\n{out[-1500:]}{log[-1500:]}")
        return str(out)

    def fail(self, text: str) -> None:
        """Note a failure of a scenario, and the command that repeats it."""
        small = " --small" if self.options.small else ""
        self.failures.append(f"{text}\nRepeat it: scripts/soak --only {self.scenario} --seed {self.seed}{small}")


def flat(soak: Soak) -> None:
    """20,000 tasks, 2,000 builds and 100,000 ready tasks in one process: memory, threads and descriptors stay flat."""
    divisor = 20 if soak.options.small else 1
    for kind, *sizes in (("tasks", 2_000, 20_000), ("builds", 400, 2_000), ("ready", 10_000, 100_000)):
        out = soak.child("soak_lib.flat", kind, *(str(size // divisor) for size in sizes))
        if out:
            soak.figures[kind] = json.loads(out.splitlines()[-1])
            print(f"{kind}: {out.splitlines()[-1]}", flush=True)
            soak.outcomes[f"{kind} flat"] += not soak.failures


def power(soak: Soak) -> None:
    """Power cuts, with durable writes and without, on files whose writes are taken back."""
    times = "4" if soak.options.small else "60"
    soak.chosen.add("power cut")
    for more in (["--durable"], []):
        out = soak.child("tests.faults.power_cuts", "--times", times, "--seed", str(soak.seed), *more)
        if not soak.failures:
            soak.delivered["power cut"] += int(times)
            soak.figures[f"power cuts{' durable' if more else ''}"] = out.splitlines()[-1]


def pipelines(soak: Soak) -> None:
    """Random pipelines under kills, stops, full disks, dead servers, failing requests and wrong clocks."""
    stores = ("local",) if soak.options.small else ("local", "local", "s3", "gs")
    faults = [soak.options.fault] if soak.options.fault else list(FAULTS)
    if stores == ("local",):
        faults = [each for each in faults if each != "network"]
    number = 0
    with Services() as services:
        while time.monotonic() < soak.end and number != soak.options.rounds and not soak.failures:
            _round(soak, services, soak.seed + number, faults[number % len(faults)], stores)
            number += 1
        if soak.options.rounds is not None:
            faults = faults[:number]
        soak.chosen.update(faults)
        for fault in faults * _MORE_ROUNDS:
            if not soak.failures and not soak.delivered[fault]:  # it came too late, or the time was too short
                _round(soak, services, soak.seed + number, fault, stores)
                number += 1


_MORE_ROUNDS = 3
"""How many more rounds a kind of fault gets that was not delivered."""


def _round(soak: Soak, services: Services, seed: int, fault: str, stores: tuple[str, ...]) -> None:
    schedule = schedule_of(seed, fault, small=soak.options.small, stores=stores)
    started = time.monotonic()
    one = Round(schedule, services, broken=soak.options.broken_store)
    try:
        one.run()
    except (Failure, OSError, RuntimeError) as error:  # the latter: a server that does not start
        again = f"scripts/soak --only pipelines --rounds 1 --seed {seed} --fault '{fault}'"
        again += " --small" if soak.options.small else ""
        soak.failures.append(f"{schedule.text()}: {error}\nRepeat it: {again}")
    finally:
        soak.delivered += one.delivered
        soak.outcomes["rounds"] += 1
        what = dict(one.delivered) or "nothing delivered"
        print(
            f"[{time.strftime('%H:%M:%S')}] {schedule.text()}: {what}, {time.monotonic() - started:.1f} s", flush=True
        )


def kills(soak: Soak) -> None:
    """Kill builds of each kind of output: nothing wrong is seen, and one more build leaves nothing behind."""
    kinds = ("plain", "folder") if soak.options.small else KINDS
    count = 2 if soak.options.small else 15
    for kind in kinds:
        soak.chosen.add(f"kill, {kind}")
        arguments = ("--kind", kind, "--count", str(count), "--seed", str(soak.seed), "--json")
        out = soak.child("tests.faults.kills", *arguments)
        if soak.failures:
            return
        found = json.loads(out.splitlines()[-1])
        soak.delivered[f"kill, {kind}"] += found["kills inside a build"]
        soak.figures[f"kills, {kind}"] = found["after one more build"]
        if wrong := {name: found[name] for name in _WRONG if found.get(name)} | _left(found):
            soak.fail(f"kills, {kind}: {wrong} {found['examples']}")
            return


_WRONG = ("wrong outputs", "wrong outputs after one more build", "unreadable log files right after a kill")
_LEFT = ("temporary files", "hidden files", "commit files", "unreadable log files", "unfinished uploads")


def _left(found: dict[str, Any]) -> dict[str, int]:
    return {name: count for name in _LEFT if (count := found["after one more build"].get(name))}


def stores(soak: Soak) -> None:
    """Fail single operations of each store: the build is right or says what failed, and the next one is right."""
    for store in ("local",) if soak.options.small else STORES:
        soak.chosen.add(f"failed operation, {store}")
        every = "60" if soak.options.small else "6"
        out = soak.child("tests.faults.stores", "--store", store, "--every", every, "--seed", str(soak.seed), "--json")
        if soak.failures:
            return
        found = json.loads(out.splitlines()[-1])
        soak.delivered[f"failed operation, {store}"] += sum(found["delivered"].values())
        soak.figures[f"failed operations, {store}"] = found["outcomes"]


def locks(soak: Soak) -> None:
    """Kill processes that build the same tasks in one folder: none runs twice but after a kill."""
    _check(soak, "locks", "kill of a lock's holder", 5, 60)


def histories(soak: Soak) -> None:
    """Delete garbage in random histories of runs: all that a model needs stays, and the rest goes."""
    _check(soak, "histories", "history with gc", 10, 200)


def races(soak: Soak) -> None:
    """Delete garbage while builds begin to use it: nothing is lost."""
    _check(soak, "races", "gc beside a build", 4, 40)


def _check(soak: Soak, name: str, fault: str, few: int, many: int) -> None:
    soak.chosen.add(fault)
    out = soak.child("soak_lib.checks", name, str(few if soak.options.small else many), str(soak.seed))
    if not soak.failures:
        soak.delivered += Counter(json.loads(out.splitlines()[-1]))


SCENARIOS: Mapping[str, Callable[[Soak], None]] = {
    each.__name__: each for each in (power, kills, stores, locks, histories, races, flat, pipelines)
}
