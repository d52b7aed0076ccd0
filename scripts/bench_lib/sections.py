"""What is measured: each section is a function that takes a Bench and returns its measurements.

To add one (frames, executors, memory): write it here and name it in ``SECTIONS``; ``report`` shows any section.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench_lib.child import Sample, environment, measure
from bench_lib.graphs import SHAPES
from bench_lib.peers import PEERS, Peer

HEAVY = ("pandas", "boto3", "google", "redis", "dask", "rich", "omegaconf", "numpy", "pyarrow", "yaml")


@dataclass
class Bench:
    """The options of one invocation, the interpreters, and where the children write."""

    pythons: dict[str, Path]
    scratch: Path
    tasks: int
    rounds: int
    timeout: float
    shapes: tuple[str, ...] = SHAPES
    peers: tuple[Peer, ...] = PEERS

    def each_round(self) -> Iterator[tuple[Peer, ...]]:
        """Yield the peers once per round, each time beginning with another: none always runs on a cooler machine."""
        for turn in range(self.rounds):
            start = turn % len(self.peers)
            yield self.peers[start:] + self.peers[:start]

    def run(self, peer: Peer, shape: str, count: int, folder: Path) -> Sample:
        """Run one peer's program once."""
        return measure(peer.command(self.pythons[peer.environment], shape, count), folder, self.timeout)


@dataclass
class Measurement:
    """The samples of one cell, first to last round."""

    section: str
    column: str
    row: str
    tasks: int
    samples: list[Sample] = field(default_factory=list)

    @property
    def failure(self) -> str | None:
        """Why the cell has no number."""
        return next((sample.failure for sample in self.samples if sample.failure), None)


class Cells(dict[tuple[str, str, str], Measurement]):
    """Measurements by section, column and row."""

    def add(self, section: str, column: str, row: str, tasks: int, sample: Sample) -> Sample:
        """Append one sample to its cell."""
        cell = self.setdefault((section, column, row), Measurement(section, column, row, tasks))
        cell.samples.append(sample)
        return sample


def graphs(bench: Bench) -> Cells:
    """Measure a first run of every shape, then the same in a new process with nothing left to do."""
    cells = Cells()
    for peers in bench.each_round():
        for shape, peer in itertools.product(bench.shapes, peers):
            if wanted(peer, shape, cells):
                import_only(bench, peer, cells)
                run_twice(bench, peer, shape, cells)
    return cells


def wanted(peer: Peer, shape: str, cells: Cells) -> bool:
    """Return whether a cell is still worth a run: it has not failed, and a stand-in's original has run too deep."""
    failures = {row: cell.failure for (_, column, row), cell in cells.items() if column == shape and cell.failure}
    if peer.instead_of is not None and "RecursionError" not in failures.get(peer.instead_of, ""):
        return False
    return peer.name not in failures


def import_only(bench: Bench, peer: Peer, cells: Cells) -> None:
    """Measure a peer's program that builds nothing; the very first time once before, unmeasured, to warm the caches."""
    folder = fresh(bench.scratch)
    if ("import", "process", peer.name) not in cells:
        bench.run(peer, "chain", 0, folder)
    cells.add("import", "process", peer.name, 0, bench.run(peer, "chain", 0, folder))


def run_twice(bench: Bench, peer: Peer, shape: str, cells: Cells) -> None:
    """Measure a first run and a run with all done, in a folder that is deleted afterwards."""
    folder = fresh(bench.scratch)
    first = bench.run(peer, shape, bench.tasks, folder)
    if first.failure is None and (found := count_outputs(folder)) < bench.tasks * peer.files:
        first = Sample(first.cpu, first.wall, first.memory, f"wrong ({found} files)")
    cells.add("first run", shape, peer.name, bench.tasks, first)
    if first.failure is None:
        before = newest(folder)
        again = bench.run(peer, shape, bench.tasks, folder)
        if again.failure is None and newest(folder) != before:
            again = Sample(again.cpu, again.wall, again.memory, "wrong (something ran)")
        cells.add("no-op", shape, peer.name, bench.tasks, again)
    shutil.rmtree(folder)


def count_outputs(folder: Path) -> int:
    """Count the files that tasks left."""
    return sum(1 for path in folder.rglob("*") if path.is_file())


def newest(folder: Path) -> int:
    """Return when the last pickle was written (a record or a ledger may well be: that something was looked at)."""
    return max(path.stat().st_mtime_ns for path in folder.rglob("*.pkl"))


def hello(bench: Bench) -> Cells:
    """Measure one task, process start to end."""
    cells = Cells()
    for _ in range(3):
        for peers in bench.each_round():
            for peer in peers:
                if peer.instead_of is None:
                    cells.add("hello world", "process", peer.name, 0, bench.run(peer, "chain", 1, fresh(bench.scratch)))
    return cells


def imports(bench: Bench) -> Cells:
    """Measure ``import X`` in kart_runtime's environment, and gokart in its own."""
    programs = (
        ("python alone", "kart", "pass"),
        ("import luigi", "kart", "import luigi"),
        ("import kart_runtime", "kart", "import kart_runtime"),
        ("from kart_runtime import TaskOnKart, build", "kart", "from kart_runtime import TaskOnKart, build"),
        ("import gokart", "gokart", "import gokart"),
    )
    cells = Cells()
    folder = fresh(bench.scratch)
    for turn in range(1 + 3 * bench.rounds):
        for row, name, code in programs:
            sample = measure((bench.pythons[name], "-c", code), folder, bench.timeout)
            if turn:  # the first only warms the caches
                cells.add("imports", "process", row, 0, sample)
    return cells


SECTIONS: tuple[Callable[[Bench], Cells], ...] = (graphs, hello, imports)


def fresh(scratch: Path) -> Path:
    """Return an empty folder for one child."""
    folder = scratch / "work"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def heavy_modules(python: Path) -> list[str]:
    """Return which heavy libraries come with the engine's public names; none should."""
    code = "import sys, kart_runtime; from kart_runtime import TaskOnKart, build; print(*sys.modules)"
    answer = subprocess.run([python, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    if answer.returncode:
        return [f"(unknown: {answer.stderr.strip().splitlines()[-1]})"]
    # "google" alone is only a namespace, announced by .pth files of some distributions: its parts count.
    loaded = {name.split(".")[0] for name in answer.stdout.split() if name != "google"}
    return [name for name in HEAVY if name in loaded]
