"""Remote workspaces: requests by kind and seconds of a fan-in; memory and seconds of a large value.

Local servers stand in for S3 and GCS. A proxy in front of them counts the requests, and delays each like a network. The
number of requests does not depend on the delay, so it is that of the runs without one.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bench_lib.bench import Bench, Cells
from bench_lib.child import Sample
from bench_lib.peers import GOKART, KART, Peer
from bench_lib.sections.graphs import failed
from bench_lib.services import SERVICES, Service, service

RUNS = ("first run", "no-op")
DELAYS = (0, 20)
"""Delay of each request, in milliseconds."""
FORMS = ("file", "model")
ENGINES = {KART: "kart_runtime", GOKART: "gokart"}
REQUESTS = "requests "
"""Prefix of the request counts among the values that a program reported."""
SMALL = 1
"""Megabytes of the small value whose memory is subtracted."""
SERVER_MEMORY = 5
"""Memory that a server needs for a large value, as a multiple of its size."""


@dataclass(frozen=True)
class Variant:
    """A row: a peer, and the options of `build`."""

    row: str
    peer: Peer
    options: Mapping[str, object] = field(default_factory=dict)


VARIANTS = (
    Variant(KART.name, KART),
    Variant(f"{KART.name}, 8 threads", KART, {"executor": "threads", "workers": 8}),
    Variant(f"{KART.name}, no value cache", KART, {"value_cache_mb": 0}),
    Variant(GOKART.name, GOKART),
)


def column(name: str, run: str, count: int, delay: int) -> str:
    """Return the name of a graph's column."""
    return f"{name}, {run} of {count:,}, {delay} ms"


def remote(bench: Bench) -> None:
    """Measure the graphs of every size on both services, with and without a delay."""
    if not bench.selected(*ENGINES):
        return
    for name in SERVICES:
        with service(bench, name) as server:
            direct, through = server.rates()
            rates = Sample(0.0, 0.0, 0, reported={"direct": direct, "through": through})
            bench.cells.add("remote", name, "proxy", 0, rates)
            for peers in bench.each_round(f"remote, {name}", bench.selected(*ENGINES)):
                for count, delay, peer in itertools.product(bench.sizes.remote, DELAYS, peers):
                    for variant in (variant for variant in VARIANTS if variant.peer is peer):
                        graph(bench, server, variant, count, delay)


def values(bench: Bench) -> None:
    """Measure a large value of each form on both services, each on a new server, because their memory grows."""
    if not bench.selected(*ENGINES):
        return
    for name in SERVICES:
        for peers in bench.each_round(f"value, {name}", bench.selected(*ENGINES)):
            for form, peer in itertools.product(FORMS, peers):
                bench.progress(f"value, {name}: a {form} of {bench.sizes.megabytes:,} MB, {peer.name}", lasting=True)
                with service(bench, name) as server:
                    value(bench, server, peer, form)


def graph(bench: Bench, server: Service, variant: Variant, count: int, delay: int) -> None:
    """Measure a first run and a no-op, each in a process of its own."""
    columns = [column(server.name, run, count, delay) for run in RUNS]
    if not bench.needs_sample("remote", columns[0], variant.row):
        return
    least = waiting(bench, server.name, variant, count, delay)
    if least > bench.sizes.timeout:
        bench.cells.add("remote", columns[0], variant.row, count, Sample(0.0, least, 0, f"> {least:,.0f} s"))
        return
    server.clear()
    for where, ran in zip(columns, (count, 0), strict=True):
        server.begin(delay)
        arguments = (ENGINES[variant.peer], server.scheme, server.address, count, json.dumps(variant.options))
        sample = bench.work(variant.peer.environment, "remote_graph", *arguments)
        if sample.failure is None and sample.reported["ran"] != ran:
            sample = failed(sample, f"wrong ({sample.reported['ran']} tasks ran)")
        counts = {f"{REQUESTS}{kind}": number for kind, number in server.counts().items()}
        bench.cells.add("remote", where, variant.row, count, replace(sample, reported={**sample.reported, **counts}))
        if sample.failure is not None:
            return


def kinds(cells: Cells, name: str, count: int) -> list[str]:
    """Return the kinds of requests that any variant sent, the most frequent first."""
    sent: Counter[str] = Counter()
    for run in RUNS:
        for variant in VARIANTS:
            cell = cells.get(("remote", column(name, run, count, 0), variant.row))
            for what, number in cell.samples[0].reported.items() if cell else ():
                if what.startswith(REQUESTS):
                    sent[what.removeprefix(REQUESTS)] += int(number)
    return [kind for kind, number in sent.most_common() if number]


def waiting(bench: Bench, name: str, variant: Variant, count: int, delay: int) -> float:
    """Return the minimum total delay in seconds; only known for gokart, which sends its requests sequentially."""
    cell = bench.cells.get(("remote", column(name, RUNS[0], count, 0), variant.row))
    if variant.peer is not GOKART or cell is None or not delay:
        return 0.0
    reported = cell.samples[0].reported
    return sum(number for what, number in reported.items() if what.startswith(REQUESTS)) * delay / 1000


def value(bench: Bench, server: Service, peer: Peer, form: str) -> None:
    """Measure a large value once, after a small one with the same program."""
    column = f"{server.name}, {form}"
    touch(SERVER_MEMORY * bench.sizes.megabytes)
    for megabytes, where in ((SMALL, f"{column}, small"), (bench.sizes.megabytes, column)):
        server.clear()
        server.begin(0)
        # A cached value would not be read.
        options = json.dumps({"value_cache_mb": 0} if peer is KART else {})
        arguments = (ENGINES[peer], server.scheme, server.address, form, megabytes, options)
        sample = bench.work(peer.environment, "remote_value", *arguments)
        bench.cells.add("remote value", where, peer.name, megabytes, sample)
        if sample.failure is not None:
            return


def touch(megabytes: int) -> None:
    """Allocate this much memory in a process that ends at once.

    A virtual machine takes seconds for a gigabyte that nobody has used before, and the first program to be measured
    would pay for it.
    """
    program = f"memory = bytearray({megabytes} * 10**6); memory[::4096] = bytes(len(range(0, len(memory), 4096)))"
    subprocess.run([sys.executable, "-c", program], check=False)  # a machine with less memory is measured all the same
