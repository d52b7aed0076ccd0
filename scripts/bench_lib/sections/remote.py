"""What does a workspace elsewhere cost? Requests by kind and seconds of a fan-in; memory and seconds of a large value.

Servers of this machine stand for S3 and GCS; a proxy before them counts the requests, and lets each wait as long as a
network would. Requests are the same whatever they wait for, so they are those of the runs without a delay.
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

TURNS = ("first run", "no-op")
DELAYS = (0, 20)
"""Milliseconds that each request waits."""
FORMS = ("file", "model")
ENGINES = {KART: "kart_runtime", GOKART: "gokart"}
REQUESTS = "requests "
"""What the names of the counts begin with, beside what the program says itself."""
LITTLE = 1
"""Megabytes of the value with which the floor of memory is measured."""
SERVER = 5
"""How many times the size of a large value a server takes of memory for it."""


@dataclass(frozen=True)
class Way:
    """A row: a peer, and the options of ``build``."""

    row: str
    peer: Peer
    options: Mapping[str, object] = field(default_factory=dict)


WAYS = (
    Way(KART.name, KART),
    Way(f"{KART.name}, 8 threads", KART, {"executor": "threads", "workers": 8}),
    Way(f"{KART.name}, all read again", KART, {"hand_off": 0}),
    Way(GOKART.name, GOKART),
)


def column(name: str, turn: str, count: int, delay: int) -> str:
    """Return the name of a graph's column."""
    return f"{name}, {turn} of {count:,}, {delay} ms"


def remote(bench: Bench) -> None:
    """Measure both services: the graph of every size with and without a delay."""
    if not bench.chosen(*ENGINES):
        return
    for name in SERVICES:
        with service(bench, name) as reached:
            direct, through = reached.rates()
            rates = Sample(0.0, 0.0, 0, said={"direct": direct, "through": through})
            bench.cells.add("remote", name, "proxy", 0, rates)
            for peers in bench.each_round(f"remote, {name}", bench.chosen(*ENGINES)):
                for count, delay, peer in itertools.product(bench.sizes.remote, DELAYS, peers):
                    for way in (way for way in WAYS if way.peer is peer):
                        graph(bench, reached, way, count, delay)


def values(bench: Bench) -> None:
    """Measure a large value of each form on both services, each on a server of its own: they grow."""
    if not bench.chosen(*ENGINES):
        return
    for name in SERVICES:
        for peers in bench.each_round(f"value, {name}", bench.chosen(*ENGINES)):
            for form, peer in itertools.product(FORMS, peers):
                bench.tell(f"value, {name}: a {form} of {bench.sizes.megabytes:,} MB, {peer.name}", lasting=True)
                with service(bench, name) as reached:
                    value(bench, reached, peer, form)


def graph(bench: Bench, reached: Service, way: Way, count: int, delay: int) -> None:
    """Measure a first run and a run with all done, each in a process of its own."""
    columns = [column(reached.name, turn, count, delay) for turn in TURNS]
    if not bench.wants("remote", columns[0], way.row):
        return
    least = waiting(bench, reached.name, way, count, delay)
    if least > bench.sizes.timeout:
        bench.cells.add("remote", columns[0], way.row, count, Sample(0.0, least, 0, f"> {least:,.0f} s"))
        return
    reached.empty()
    for where, ran in zip(columns, (count, 0), strict=True):
        reached.begin(delay)
        arguments = (ENGINES[way.peer], reached.scheme, reached.address, count, json.dumps(way.options))
        sample = bench.work(way.peer.environment, "remote_graph", *arguments)
        if sample.failure is None and sample.said["ran"] != ran:
            sample = failed(sample, f"wrong ({sample.said['ran']} tasks ran)")
        counts = {f"{REQUESTS}{kind}": number for kind, number in reached.counts().items()}
        bench.cells.add("remote", where, way.row, count, replace(sample, said={**sample.said, **counts}))
        if sample.failure is not None:
            return


def kinds(cells: Cells, name: str, count: int) -> list[str]:
    """Return the kinds of requests that any way has sent, the commonest first."""
    sent: Counter[str] = Counter()
    for turn in TURNS:
        for way in WAYS:
            cell = cells.get(("remote", column(name, turn, count, 0), way.row))
            for what, number in cell.samples[0].said.items() if cell else ():
                if what.startswith(REQUESTS):
                    sent[what.removeprefix(REQUESTS)] += int(number)
    return [kind for kind, number in sent.most_common() if number]


def waiting(bench: Bench, name: str, way: Way, count: int, delay: int) -> float:
    """Return how many seconds the delays take at least; known of gokart, which sends one request after the other."""
    cell = bench.cells.get(("remote", column(name, TURNS[0], count, 0), way.row))
    if way.peer is not GOKART or cell is None or not delay:
        return 0.0
    said = cell.samples[0].said
    return sum(number for what, number in said.items() if what.startswith(REQUESTS)) * delay / 1000


def value(bench: Bench, reached: Service, peer: Peer, form: str) -> None:
    """Measure a large value once, after a little one through the same program."""
    column = f"{reached.name}, {form}"
    touch(SERVER * bench.sizes.megabytes)
    for megabytes, where in ((LITTLE, f"{column}, floor"), (bench.sizes.megabytes, column)):
        reached.empty()
        reached.begin(0)
        # What is handed on in memory would not be read.
        options = json.dumps({"hand_off": 0} if peer is KART else {})
        arguments = (ENGINES[peer], reached.scheme, reached.address, form, megabytes, options)
        sample = bench.work(peer.environment, "remote_value", *arguments)
        bench.cells.add("remote value", where, peer.name, megabytes, sample)
        if sample.failure is not None:
            return


def touch(megabytes: int) -> None:
    """Have the machine give so much memory to a process that ends at once.

    A virtual machine takes seconds for a gigabyte that nobody has used before, and the first to be measured would pay
    for it.
    """
    program = f"memory = bytearray({megabytes} * 10**6); memory[::4096] = bytes(len(range(0, len(memory), 4096)))"
    subprocess.run([sys.executable, "-c", program], check=False)  # one with less memory is measured all the same
