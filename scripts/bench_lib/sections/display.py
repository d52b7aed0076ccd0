"""Cost of the display: CPU of one graph without a display, in plain lines, and with the block on a terminal."""

from __future__ import annotations

from bench_lib.bench import Bench
from bench_lib.peers import KART

MODES = ("off", "plain", "block")
MOST = 20_000


def size(bench_sizes: tuple[int, ...]) -> int:
    """Return the number of tasks: the largest of the section growth, up to 20,000."""
    return min(max(bench_sizes), MOST)


def display(bench: Bench) -> None:
    """Measure the same graph under each display, which are interleaved."""
    count = size(bench.sizes.growth)
    for _ in bench.each_round("display", (KART,)):
        for mode in MODES:
            if bench.needs_sample("display", mode, KART.name):
                sample = bench.work(KART.environment, "display", mode, count)
                bench.cells.add("display", mode, KART.name, count, sample)
