"""How much faster are more workers? Eight tasks that compute or sleep, against the same with one worker.

kart_runtime's several workers build twice with other tasks: the first has to start them, the second may find them.
"""

from __future__ import annotations

from bench_lib.bench import Bench
from bench_lib.peers import BARE, GOKART, KART, LUIGI, Peer

TASKS = 8
WAYS = (
    ("compute", "serial", 1),
    ("compute", "processes", 2),
    ("sleep", "serial", 1),
    ("sleep", "threads", 2),
    ("sleep", "threads", 8),
)
ENGINES = {BARE: "bare", KART: "kart_runtime", GOKART: "gokart", LUIGI: "luigi"}
WITHOUT_THREADS = (GOKART, LUIGI)


def way(executor: str, workers: int) -> str:
    """Return how a way of running is called."""
    return "serial" if workers == 1 else f"{workers} {executor}"


def parallel(bench: Bench) -> None:
    """Measure every way with every engine that knows it; they time their builds themselves."""
    iterations = calibrate(bench)
    for peers in bench.each_round("parallel", bench.chosen(*ENGINES)):
        for peer in peers:
            for kind, executor, workers in WAYS:
                if kind == "compute" or peer not in WITHOUT_THREADS:
                    amount = iterations if kind == "compute" else bench.sizes.seconds
                    run(bench, peer, kind, (amount, executor, workers, 2 if peer is KART and workers > 1 else 1))


def calibrate(bench: Bench) -> int:
    """Return how many turns of the busy loop take as long as one task should; the same number for every program."""
    sample = bench.work("kart", "eight", "bare", "calibrate", bench.sizes.seconds, "serial", 1, 1)
    return int(sample.said.get("iterations", 0)) or int(30_000_000 * bench.sizes.seconds)


def run(bench: Bench, peer: Peer, kind: str, arguments: tuple[float, str, int, int]) -> None:
    """Measure one way once."""
    column = f"{kind}, {way(*arguments[1:3])}"
    if bench.wants("parallel", column, peer.name):
        sample = bench.work(peer.environment, "eight", ENGINES[peer], kind, *arguments)
        bench.cells.add("parallel", column, peer.name, TASKS, sample)
