"""Cost of a large value: a data frame through five tasks, in each format, next to the raw writes and reads."""

from __future__ import annotations

from bench_lib.bench import Bench
from bench_lib.peers import BARE, GOKART, KART

PANDAS = ("pkl", "parquet", "feather", "csv")
POLARS = ("polars-parquet", "polars-feather")
FORMATS = (*PANDAS, *POLARS)
RAW = "raw write + read"
CACHED = "kart_runtime, value cache"
ENGINES = {
    BARE: ((RAW, "frames_raw", ()),),
    KART: ((KART.name, "frames", ("kart_runtime", "0")), (CACHED, "frames", ("kart_runtime",))),
    GOKART: ((GOKART.name, "frames", ("gokart",)),),
}
"""Peer to its rows, each with a program and its arguments."""


def frames(bench: Bench) -> None:
    """Measure each format; the programs time themselves, since creating the frame does not count."""
    for peers in bench.each_round("frames", bench.selected(*ENGINES)):
        for kind in FORMATS:
            for peer in peers:
                if peer is GOKART and kind in POLARS:
                    continue  # it needs a setting for the whole process
                for row, worker, arguments in ENGINES[peer]:
                    if bench.needs_sample("frames", kind, row):
                        sample = bench.work(peer.environment, worker, kind, bench.sizes.rows, *arguments)
                        bench.cells.add("frames", kind, row, 5, sample)
