"""Several workers: eight tasks that compute or sleep, compared with one worker.

With several workers, kart_runtime builds twice, with different tasks: the first build starts the workers, and the
second may reuse them.
"""

from __future__ import annotations

from bench_lib.bench import Bench
from bench_lib.peers import BARE, GOKART, KART, LUIGI, Peer

TASKS = 8
VARIANTS = (
    ("compute", "serial", 1),
    ("compute", "processes", 2),
    ("sleep", "serial", 1),
    ("sleep", "threads", 2),
    ("sleep", "threads", 8),
)
ENGINES = {BARE: "bare", KART: "kart_runtime", GOKART: "gokart", LUIGI: "luigi"}
WITHOUT_THREADS = (GOKART, LUIGI)


def variant_name(executor: str, workers: int) -> str:
    """Return the name of a variant."""
    return "serial" if workers == 1 else f"{workers} {executor}"


def parallel(bench: Bench) -> None:
    """Measure every variant with every engine that supports it; the programs time their builds themselves."""
    iterations = calibrate(bench)
    for peers in bench.each_round("parallel", bench.selected(*ENGINES)):
        for peer in peers:
            for kind, executor, workers in VARIANTS:
                if kind == "compute" or peer not in WITHOUT_THREADS:
                    amount = iterations if kind == "compute" else bench.sizes.seconds
                    run(bench, peer, kind, (amount, executor, workers, 2 if peer is KART and workers > 1 else 1))


def calibrate(bench: Bench) -> int:
    """Return the number of loop iterations that take as long as one task should; the same for every program."""
    sample = bench.work("kart", "eight_tasks", "bare", "calibrate", bench.sizes.seconds, "serial", 1, 1)
    return int(sample.reported.get("iterations", 0)) or int(30_000_000 * bench.sizes.seconds)


def run(bench: Bench, peer: Peer, kind: str, arguments: tuple[float, str, int, int]) -> None:
    """Measure one variant once."""
    column = f"{kind}, {variant_name(*arguments[1:3])}"
    if bench.needs_sample("parallel", column, peer.name):
        sample = bench.work(peer.environment, "eight_tasks", ENGINES[peer], kind, *arguments)
        bench.cells.add("parallel", column, peer.name, TASKS, sample)
