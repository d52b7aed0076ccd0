"""Cost of the records of a run: CPU of one graph, first run and no-op, with and without them."""

from __future__ import annotations

from bench_lib.bench import Bench
from bench_lib.peers import KART

MODES = ("off", "on")


def recording(bench: Bench) -> None:
    """Measure the same graph with and without records, which are interleaved."""
    count = max(bench.sizes.tasks)
    for _ in bench.each_round("recording", (KART,)):
        for mode in MODES:
            if bench.needs_sample("recording", mode, KART.name):
                sample = bench.work(KART.environment, "recording", mode, count)
                bench.cells.add("recording", mode, KART.name, count, sample)
