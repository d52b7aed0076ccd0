"""How is the answer shown? When and where, all tables and the goals; everything as JSON; a page kept up to date."""

from __future__ import annotations

import datetime
import os
import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from bench_lib import goals, tables
from bench_lib.bench import Bench, Cells, Measurement
from bench_lib.peers import NAMED, versions
from bench_lib.sizes import FULL, Sizes

BUSY = 0.5  # load average over the last minute: above it somebody else was working
MARKS = ("<!-- results of scripts/bench -->", "<!-- end of results -->")
SMALLER = "The sizes of this run are smaller than the goals': fixed costs weigh more here than in those."


def machine(scratch: Path) -> dict[str, object]:
    """Return the date, the machine, how busy it is, and where tasks write."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "files": str(scratch),
    }


def processor() -> str:
    """Return the model of the processor, where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def installed(bench: Bench) -> dict[str, dict[str, str]]:
    """Return what is installed in each environment that was used."""
    return {name: versions(python) for name, python in bench.pythons.items()}


def markdown(
    bench: Bench, machine: Mapping[str, object], packages: Mapping[str, Mapping[str, str]], heavy: Sequence[str] | None
) -> str:
    """Return when and where it was measured, all tables, and the goals."""
    where = ", ".join(str(machine[name]) for name in ("date", "processor", "system"))
    how = f"median of {bench.sizes.rounds} interleaved rounds ({patience(bench.sizes)}), files in {machine['files']}"
    parts = [f"{where}, {machine['cores']} cores, Python {machine['python']}; {how}."]
    if float(str(machine["load"])) > BUSY:
        parts.append(f"**The machine was busy (load {machine['load']}): take these numbers as provisional.**")
    parts.append(environments(packages))
    parts += tables.every_table(bench.cells, bench.sizes, bench.shapes)
    if heavy is not None:
        parts.append(f"Heavy libraries that importing kart_runtime loads: {', '.join(heavy) or 'none'}.")
    found = goals.goals(bench.cells, bench.sizes, bench.shapes, heavy)
    parts.append(goals.shown(found, "" if bench.sizes.rows >= FULL.rows else SMALLER))
    return "\n\n".join(part for part in parts if part)


def patience(sizes: Sizes) -> str:
    """Say what is measured only once."""
    return f"what takes more than {sizes.patience:g} s, once"


def environments(packages: Mapping[str, Mapping[str, str]]) -> str:
    """Return the versions that matter, environment by environment."""
    named = {
        name: ", ".join(f"{package} {versions[package]}" for package in NAMED if package in versions)
        for name, versions in packages.items()
    }
    return "Environments: " + "; ".join(f"{name}: {text}" for name, text in named.items()) + "."


def put_into(document: Path, text: str) -> None:
    """Replace what stands between the two marks of a document."""
    before, _, rest = document.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    document.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}", encoding="utf-8")


def as_data(cells: Cells) -> list[dict[str, object]]:
    """Return every cell with its samples, and the median and spread of what they hold, for JSON."""
    return [{**asdict(cell), "failure": cell.failure, "spread": spread(cell)} for cell in cells.values()]


def spread(cell: Measurement) -> dict[str, dict[str, float]]:
    """Return median, least and most of each quantity, also of those that the program has measured itself."""
    quantities: dict[str, list[float]] = defaultdict(list)
    for sample in cell.samples:
        if sample.failure is None:
            own = {f"said.{name}": value for name, value in sample.said.items()}
            for name, value in ({"cpu": sample.cpu, "wall": sample.wall, "memory": sample.memory} | own).items():
                quantities[name].append(value)
    return {
        name: {"median": median(values), "min": min(values), "max": max(values)} for name, values in quantities.items()
    }
