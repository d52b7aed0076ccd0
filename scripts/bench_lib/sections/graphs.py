"""What does a task cost? Graphs of tasks that do nothing: CPU of a first run and of a no-op, growth with N, memory.

The three sections share their cells: what one has measured, another does not measure again.
"""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

from bench_lib.bench import Bench
from bench_lib.child import Sample
from bench_lib.peers import BARE, GOKART, KART, LUIGI, Peer
from bench_lib.sizes import Sizes

GROWING = ("chain", "grid")
SOON = 1.0
"""A program that takes fewer seconds with no task is measured so before each of its runs."""
COMPARED = (BARE, KART, LUIGI, GOKART)  # in memory


def column(shape: str, count: int) -> str:
    """Return the name of a graph's column."""
    return f"{shape} of {count:,}"


def graphs(bench: Bench) -> None:
    """Measure a first run of every shape and size, then the same in a new process with nothing left to do."""
    for peers in bench.each_round("graphs"):
        for count, shape, peer in itertools.product(bench.sizes.tasks, bench.shapes, peers):
            measure_graph(bench, peer, shape, count)


def growth(bench: Bench) -> None:
    """Measure kart_runtime and the bare loop up to many tasks, and kart_runtime with a deep chain."""
    for peers in bench.each_round("growth", bench.chosen(BARE, KART)):
        for count, shape, peer in itertools.product(growing_sizes(bench.sizes), GROWING, peers):
            if count in bench.sizes.growth or (shape, peer) == ("chain", KART):
                measure_graph(bench, peer, shape, count)


def growing_sizes(sizes: Sizes) -> list[int]:
    """Return the numbers of tasks from small to large, with the deep chain's."""
    return sorted({*sizes.growth, sizes.deep})


def memory(bench: Bench) -> None:
    """Measure the largest grid once, with those peers of which memory is compared."""
    for peers in bench.each_round("memory", bench.chosen(*COMPARED)):
        for peer in peers:
            measure_graph(bench, peer, "grid", max(bench.sizes.tasks))


def measure_graph(bench: Bench, peer: Peer, shape: str, count: int) -> None:
    """Measure one cell once more, unless it needs no more samples; with it, what the program costs by itself."""
    if stands_in_for_nothing(bench, peer, shape, count) or not bench.wants(
        "first run", column(shape, count), peer.name
    ):
        return
    alone(bench, peer)
    run_twice(bench, peer, shape, count)


def stands_in_for_nothing(bench: Bench, peer: Peer, shape: str, count: int) -> bool:
    """Return whether a peer is only there for another that recurses too deep, and that other has not."""
    if peer.instead_of is None:
        return False
    cell = bench.cells.get(("first run", column(shape, count), peer.instead_of))
    return cell is None or "RecursionError" not in (cell.failure or "")


def alone(bench: Bench, peer: Peer) -> None:
    """Measure a peer's program with no task: before each of its runs where that is quick, since it is taken from them.

    The very first time once before, to warm the caches. Those whose memory is compared are also measured with one task:
    what is loaded only then does not grow with N.
    """
    cell = bench.cells.get(("import", "process", peer.name))
    if cell is None:
        bench.run(peer, "chain", 0, bench.fresh())
    elif cell.samples[-1].wall > SOON and not bench.wants("import", "process", peer.name):
        return
    bench.cells.add("import", "process", peer.name, 0, bench.run(peer, "chain", 0, bench.fresh()))
    if peer in COMPARED and bench.wants("one task", "process", peer.name):
        bench.cells.add("one task", "process", peer.name, 1, bench.run(peer, "chain", 1, bench.fresh()))


def run_twice(bench: Bench, peer: Peer, shape: str, count: int) -> None:
    """Measure a first run and a run with all done, in a folder that is deleted afterwards."""
    folder = bench.fresh()
    first = bench.run(peer, shape, count, folder)
    found, before = look_at(folder)
    if first.failure is None and found < count * peer.files:
        first = failed(first, f"wrong ({found} files)")
    bench.cells.add("first run", column(shape, count), peer.name, count, first)
    if first.failure is None:
        again = bench.run(peer, shape, count, folder)
        if again.failure is None and look_at(folder)[1] != before:
            again = failed(again, "wrong (something ran)")
        bench.cells.add("no-op", column(shape, count), peer.name, count, again)
    shutil.rmtree(folder)


def failed(sample: Sample, why: str) -> Sample:
    """Return the sample as a failure."""
    return Sample(sample.cpu, sample.wall, sample.memory, why)


def look_at(folder: Path) -> tuple[int, int]:
    """Return how many files tasks left, and when the last value was written.

    Only values count for the time: a record, a ledger or a database may well tell that something was looked at.
    """
    count, latest = 0, 0
    for parent, _, names in os.walk(folder):
        count += len(names)
        values = (name for name in names if name.endswith((".pkl", ".pickle")))
        latest = max([latest, *((Path(parent) / name).stat().st_mtime_ns for name in values)])
    return count, latest
