"""Report: date and machine, all tables and goals as Markdown, every sample as JSON, and the page in docs."""

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
from bench_lib.bench import Bench, Cell, Cells
from bench_lib.peers import NAMED, versions
from bench_lib.sizes import FULL, Sizes

BUSY = 0.5  # load average over the last minute: above it, other programs were running
MARKS = ("<!-- results of scripts/bench -->", "<!-- end of results -->")
SMALLER = "The sizes of this run are smaller than those of the goals, so fixed costs weigh more here."


def machine(scratch: Path) -> dict[str, object]:
    """Return the date, the machine, its load, and the folder that tasks write to."""
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
    """Return the model of the processor, or its architecture if the system does not report the model."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def installed(bench: Bench) -> dict[str, dict[str, str]]:
    """Return the installed distributions of each environment that was used."""
    return {name: versions(python) for name, python in bench.pythons.items()}


def markdown(
    bench: Bench, machine: Mapping[str, object], packages: Mapping[str, Mapping[str, str]], heavy: Sequence[str] | None
) -> str:
    """Return date and machine, all tables, and the goals."""
    origin = ", ".join(str(machine[name]) for name in ("date", "processor", "system"))
    method = f"median of {bench.sizes.rounds} interleaved rounds ({patience(bench.sizes)}), files in {machine['files']}"
    parts = [f"{origin}, {machine['cores']} cores, Python {machine['python']}; {method}."]
    if float(str(machine["load"])) > BUSY:
        parts.append(f"**The machine was busy (load {machine['load']}): treat these numbers as provisional.**")
    parts.append(environments(packages))
    parts += tables.every_table(bench.cells, bench.sizes, bench.shapes)
    if heavy is not None:
        parts.append(f"Heavy libraries that importing kart_runtime loads: {', '.join(heavy) or 'none'}.")
    rated = goals.goals(bench.cells, bench.sizes, bench.shapes, heavy)
    parts.append(goals.goals_table(rated, "" if bench.sizes.rows >= FULL.rows else SMALLER))
    return "\n\n".join(part for part in parts if part)


def patience(sizes: Sizes) -> str:
    """Return a note about what is measured only once."""
    return f"once if it takes more than {sizes.patience:g} s"


def environments(packages: Mapping[str, Mapping[str, str]]) -> str:
    """Return the relevant versions of each environment."""
    named = {
        name: ", ".join(f"{package} {versions[package]}" for package in NAMED if package in versions)
        for name, versions in packages.items()
    }
    return "Environments: " + "; ".join(f"{name}: {text}" for name, text in named.items()) + "."


def replace_results(document: Path, text: str) -> None:
    """Replace the text between the two marks of a document."""
    before, _, rest = document.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    document.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}", encoding="utf-8")


def as_data(cells: Cells) -> list[dict[str, object]]:
    """Return every cell with its samples, medians and spreads, for JSON."""
    return [{**asdict(cell), "failure": cell.failure, "spread": spread(cell)} for cell in cells.values()]


def spread(cell: Cell) -> dict[str, dict[str, float]]:
    """Return median, minimum and maximum of each quantity, including those that the program reported."""
    quantities: dict[str, list[float]] = defaultdict(list)
    for sample in cell.samples:
        if sample.failure is None:
            own = {f"reported.{name}": value for name, value in sample.reported.items()}
            for name, value in ({"cpu": sample.cpu, "wall": sample.wall, "memory": sample.memory} | own).items():
                quantities[name].append(value)
    return {
        name: {"median": median(values), "min": min(values), "max": max(values)} for name, values in quantities.items()
    }
