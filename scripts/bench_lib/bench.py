"""State of one invocation: options, interpreters, and the cells that the sections fill."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench_lib.child import Sample, measure
from bench_lib.graphs import SHAPES
from bench_lib.peers import PEERS, Peer, interpreter
from bench_lib.sizes import Sizes


@dataclass
class Cell:
    """Samples of one cell of a table, first to last round."""

    section: str
    column: str
    row: str
    tasks: int
    samples: list[Sample] = field(default_factory=list)

    @property
    def failure(self) -> str | None:
        """Reason why the cell has no number, or None."""
        return next((sample.failure for sample in self.samples if sample.failure), None)


class Cells(dict[tuple[str, str, str], Cell]):
    """Cells by section, column and row."""

    def add(self, section: str, column: str, row: str, tasks: int, sample: Sample) -> Sample:
        """Append one sample to its cell."""
        cell = self.setdefault((section, column, row), Cell(section, column, row, tasks))
        cell.samples.append(sample)
        return sample


@dataclass
class Bench:
    """One invocation: sizes, peers, interpreters, the folder that children write to, and the results."""

    sizes: Sizes
    scratch: Path
    environments: Path
    shapes: tuple[str, ...] = SHAPES
    peers: tuple[Peer, ...] = PEERS
    pythons: dict[str, Path] = field(default_factory=dict)
    cells: Cells = field(default_factory=Cells)
    started: float = field(default_factory=time.monotonic)

    def python(self, environment: str) -> Path:
        """Return the interpreter of an environment, which is created on first use."""
        if environment not in self.pythons:
            self.pythons[environment] = interpreter(self.environments, environment)
        return self.pythons[environment]

    def selected(self, *peers: Peer) -> tuple[Peer, ...]:
        """Return those of `peers` that this invocation measures."""
        return tuple(peer for peer in peers if peer in self.peers)

    def each_round(self, section: str, peers: Sequence[Peer] = ()) -> Iterator[tuple[Peer, ...]]:
        """Yield the peers once per round, starting with another one each time: none always runs on a cooler machine."""
        row = tuple(peers or self.peers)
        for number in range(self.sizes.rounds):
            self.progress(f"{section}: round {number + 1} of {self.sizes.rounds}", lasting=True)
            start = number % max(len(row), 1)
            yield row[start:] + row[:start]

    def needs_sample(self, section: str, column: str, row: str) -> bool:
        """Return whether a cell needs another sample: no failure, not slow, fewer samples than rounds."""
        cell = self.cells.get((section, column, row))
        if cell is None:
            return True
        slow = any(sample.wall > self.sizes.patience for sample in cell.samples)
        return not slow and cell.failure is None and len(cell.samples) < self.sizes.rounds

    def run(self, peer: Peer, shape: str, count: int, folder: Path) -> Sample:
        """Run one peer's graph program once."""
        self.progress(f"{peer.name}: {shape} of {count:,}")
        return measure(peer.command(self.python(peer.environment), shape, count), folder, self.sizes.timeout)

    def work(self, environment: str, worker: str, *arguments: object) -> Sample:
        """Run another program of `bench_lib.workers` once, in an empty folder that is deleted afterwards."""
        words = [str(argument) for argument in arguments]
        self.progress(f"{worker} {' '.join(words)}")
        folder = self.fresh()
        command: tuple[str | Path, ...] = (self.python(environment), "-m", f"bench_lib.workers.{worker}", *words)
        try:
            return measure(command, folder, self.sizes.timeout)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def fresh(self) -> Path:
        """Return an empty folder for one child."""
        folder = self.scratch / "work"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def progress(self, text: str, lasting: bool = False) -> None:
        """Print progress to standard error; unless `lasting`, only on a terminal, where the next line overwrites it."""
        line = f"[{time.monotonic() - self.started:4.0f} s] {text}"
        if sys.stderr.isatty():
            print(f"\r\033[K{line[:100]}", end="\n" if lasting else "", file=sys.stderr, flush=True)
        elif lasting:
            print(line, file=sys.stderr, flush=True)
