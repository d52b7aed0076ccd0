"""Start-up costs of whole processes: imports, and one task from start to end."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench_lib.bench import Bench
from bench_lib.child import environment, measure
from bench_lib.peers import GOKART

HEAVY = ("pandas", "boto3", "google", "redis", "dask", "rich", "omegaconf", "numpy", "pyarrow", "yaml")
IMPORTS = (
    ("python alone", "kart", "pass"),
    ("import luigi", "kart", "import luigi"),
    ("import kart_runtime", "kart", "import kart_runtime"),
    ("from kart_runtime import TaskOnKart, build", "kart", "from kart_runtime import TaskOnKart, build"),
    ("import gokart", "gokart", "import gokart"),
)


def hello(bench: Bench) -> None:
    """Measure one task, process start to end."""
    for peers in bench.each_round("hello"):
        for peer in peers * bench.sizes.repeats:
            if peer.instead_of is None:
                sample = bench.run(peer, "chain", 1, bench.fresh())
                bench.cells.add("hello world", "process", peer.name, 0, sample)


def imports(bench: Bench) -> None:
    """Measure imports in kart_runtime's environment, and gokart's in its own."""
    folder = bench.fresh()
    programs = [program for program in IMPORTS if program[1] == "kart" or bench.selected(GOKART)]
    for number, _ in enumerate(bench.each_round("imports")):
        for row, name, code in programs * (bench.sizes.repeats + (not number)):
            bench.progress(row)
            sample = measure((bench.python(name), "-c", code), folder, bench.sizes.timeout)
            bench.cells.add("imports", "process", row, 0, sample)
    for row, _, _ in programs:
        del bench.cells["imports", "process", row].samples[0]  # the first sample only warms the caches


def heavy_modules(python: Path) -> list[str]:
    """Return the heavy libraries that importing the engine's public names loads; there should be none."""
    code = "import sys, kart_runtime; from kart_runtime import TaskOnKart, build; print(*sys.modules)"
    answer = subprocess.run([python, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    if answer.returncode:
        return [f"(unknown: {answer.stderr.strip().splitlines()[-1]})"]
    # "google" alone is only a namespace that .pth files of some distributions create.
    loaded = {name.split(".")[0] for name in answer.stdout.split() if name != "google"}
    return [name for name in HEAVY if name in loaded]
