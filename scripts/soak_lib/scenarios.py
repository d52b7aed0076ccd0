"""Scenarios of a soak, in the order in which they run; random pipelines take the time that is left."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from soak_lib.rounds import FAULTS, Failure, Round, schedule_of
from soak_lib.services import Services

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

    def run(self) -> int:
        """Run the scenarios; return the exit code."""
        print(f"seed {self.seed}, {self.options.minutes:g} minutes: {', '.join(self.options.only)}", flush=True)
        try:
            for name in self.options.only:
                SCENARIOS[name](self)
                if self.failures:
                    break
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        self._print()
        return 1 if self.failures else 0

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
        print("failed" if self.failures else "passed", flush=True)

    def child(self, name: str, *arguments: str, seconds: float = 3600) -> str:
        """Run a module of the tests or of the soak; return its output, or note that it failed."""
        started = time.monotonic()
        command = [sys.executable, "-m", name, *arguments]
        environment = {"PYTHONPATH": f"{_REPOSITORY}:{_REPOSITORY / 'scripts'}"}
        import os

        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=_REPOSITORY,
            env={**os.environ, **environment},
            check=False,
        )
        print(
            f"{name} {' '.join(arguments)}: {time.monotonic() - started:.0f} s, exit code {done.returncode}", flush=True
        )
        if done.returncode:
            text = f"{' '.join(command[1:])}\n{done.stderr[-1500:]}"
            self.failures.append(text)
        return done.stdout


def flat(soak: Soak) -> None:
    """20,000 tasks, 2,000 builds and 100,000 ready tasks in one process: memory, threads and descriptors stay flat."""
    for kind, small, large in (("tasks", 2_000, 20_000), ("builds", 200, 2_000), ("ready", 10_000, 100_000)):
        if soak.options.small:
            small, large = small // 20, large // 20
        out = soak.child("soak_lib.flat", kind, str(small), str(large))
        if out:
            soak.figures[kind] = json.loads(out.splitlines()[-1])
            soak.outcomes[f"{kind} flat"] += not soak.failures


def power(soak: Soak) -> None:
    """Power cuts, with durable writes and without, on files whose writes are taken back."""
    times = "4" if soak.options.small else "60"
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
        while time.monotonic() < soak.end and number != soak.options.rounds:
            fault = faults[number % len(faults)]
            seed = soak.seed + number
            number += 1
            _round(soak, services, seed, fault, stores)
            if soak.failures:
                return
    never = [fault for fault in faults if not soak.delivered[fault]]
    if number >= 4 * len(faults) and never:
        soak.failures.append(f"never delivered: {', '.join(never)}")


def _round(soak: Soak, services: Services, seed: int, fault: str, stores: tuple[str, ...]) -> None:
    schedule = schedule_of(seed, fault, small=soak.options.small, stores=stores)
    started = time.monotonic()
    one = Round(schedule, services, broken=soak.options.broken_store)
    try:
        one.run()
    except Failure as error:
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


SCENARIOS: Mapping[str, Callable[[Soak], None]] = {"power": power, "flat": flat, "pipelines": pipelines}
