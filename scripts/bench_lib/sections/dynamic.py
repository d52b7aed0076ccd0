"""Dynamic requirements: one task that yields many; number of calls of its `run`, and CPU."""

from __future__ import annotations

from bench_lib.bench import Bench
from bench_lib.peers import GOKART, KART, LUIGI

MODES = ("one by one", "one list")
VARIANTS = (
    (KART, "kart_runtime", "serial", 1),
    (KART, "kart_runtime", "threads", 2),
    (LUIGI, "luigi", "serial", 1),
    (GOKART, "gokart", "serial", 1),
)


def row(name: str, executor: str) -> str:
    """Return the name of a row."""
    return name if executor == "serial" else f"{name}, {executor}"


def dynamic(bench: Bench) -> None:
    """Measure a task that yields its requirements one by one, and one that yields a list."""
    for _ in bench.each_round("dynamic"):
        for mode in MODES:
            for peer, engine, executor, workers in VARIANTS:
                name = row(peer.name, executor)
                if bench.selected(peer) and bench.needs_sample("dynamic", mode, name):
                    arguments = (engine, bench.sizes.dynamic, mode, executor, workers)
                    sample = bench.work(peer.environment, "dynamic", *arguments)
                    bench.cells.add("dynamic", mode, name, bench.sizes.dynamic, sample)
