"""Graphs of tasks that do nothing: CPU of a first run and of a no-op, growth with N, memory.

The three sections share their cells: a cell that one of them has measured is not measured again.
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
SHORT = 1.0
"""A program whose imports take fewer seconds is measured without tasks before each of its runs."""
COMPARED = (BARE, KART, LUIGI, GOKART)  # in memory


def column(shape: str, count: int) -> str:
    """Return the name of a graph's column."""
    return f"{shape} of {count:,}"


def graphs(bench: Bench) -> None:
    """Measure a first run of every shape and size, then a no-op in a new process."""
    for peers in bench.each_round("graphs"):
        for count, shape, peer in itertools.product(bench.sizes.tasks, bench.shapes, peers):
            measure_graph(bench, peer, shape, count)


def growth(bench: Bench) -> None:
    """Measure kart_runtime and the bare loop up to many tasks, and kart_runtime with a deep chain."""
    for peers in bench.each_round("growth", bench.selected(BARE, KART)):
        for count, shape, peer in itertools.product(growing_sizes(bench.sizes), GROWING, peers):
            if count in bench.sizes.growth or (shape, peer) == ("chain", KART):
                measure_graph(bench, peer, shape, count)


def growing_sizes(sizes: Sizes) -> list[int]:
    """Return the numbers of tasks in ascending order, including that of the deep chain."""
    return sorted({*sizes.growth, sizes.deep})


def memory(bench: Bench) -> None:
    """Measure the largest grid once, with the peers whose memory is compared."""
    for peers in bench.each_round("memory", bench.selected(*COMPARED)):
        for peer in peers:
            measure_graph(bench, peer, "grid", max(bench.sizes.tasks))


def measure_graph(bench: Bench, peer: Peer, shape: str, count: int) -> None:
    """Add a sample to one cell if it needs one, and measure the cost of the program's imports."""
    if is_unneeded_substitute(bench, peer, shape, count) or not bench.needs_sample(
        "first run", column(shape, count), peer.name
    ):
        return
    measure_import(bench, peer)
    run_twice(bench, peer, shape, count)


def is_unneeded_substitute(bench: Bench, peer: Peer, shape: str, count: int) -> bool:
    """Return whether a peer only replaces another one that did not exceed the recursion limit."""
    if peer.instead_of is None:
        return False
    cell = bench.cells.get(("first run", column(shape, count), peer.instead_of))
    return cell is None or "RecursionError" not in (cell.failure or "")


def measure_import(bench: Bench, peer: Peer) -> None:
    """Measure a peer's program without tasks, before each run if that is quick, since it is subtracted from it.

    The first time, run it once before to warm the caches. Peers whose memory is compared are also measured with one
    task: libraries that are loaded only then do not grow with N.
    """
    cell = bench.cells.get(("import", "process", peer.name))
    if cell is None:
        bench.run(peer, "chain", 0, bench.fresh())
    elif cell.samples[-1].wall > SHORT and not bench.needs_sample("import", "process", peer.name):
        return
    bench.cells.add("import", "process", peer.name, 0, bench.run(peer, "chain", 0, bench.fresh()))
    if peer in COMPARED and bench.needs_sample("one task", "process", peer.name):
        bench.cells.add("one task", "process", peer.name, 1, bench.run(peer, "chain", 1, bench.fresh()))


def run_twice(bench: Bench, peer: Peer, shape: str, count: int) -> None:
    """Measure a first run and a no-op, in a folder that is deleted afterwards."""
    folder = bench.fresh()
    first = bench.run(peer, shape, count, folder)
    n_files, before = count_files(folder)
    if first.failure is None and n_files < count * peer.files:
        first = failed(first, f"wrong ({n_files} files)")
    bench.cells.add("first run", column(shape, count), peer.name, count, first)
    if first.failure is None:
        again = bench.run(peer, shape, count, folder)
        if again.failure is None and count_files(folder)[1] != before:
            again = failed(again, "wrong (something ran)")
        bench.cells.add("no-op", column(shape, count), peer.name, count, again)
    shutil.rmtree(folder)


def failed(sample: Sample, why: str) -> Sample:
    """Return the sample as a failure."""
    return Sample(sample.cpu, sample.wall, sample.memory, why)


def count_files(folder: Path) -> tuple[int, int]:
    """Return the number of files, and the time of the last value.

    Only values count for the time: a record or a database may also change when nothing ran.
    """
    count, latest = 0, 0
    for parent, _, names in os.walk(folder):
        count += len(names)
        values = (name for name in names if name.endswith((".pkl", ".pickle")))
        latest = max([latest, *((Path(parent) / name).stat().st_mtime_ns for name in values)])
    return count, latest
