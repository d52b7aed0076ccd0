"""How the answer is shown: markdown tables of medians, and everything as JSON."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from bench_lib.peers import BARE, PEERS
from bench_lib.sections import Cells, Measurement

ORDER = [peer.name for peer in PEERS]
MEASURABLE = 0.01  # CPU ms per task: below it the difference of two processes is noise, and a ratio would mean nothing
BUSY = 0.5  # load average over the last minute: above it somebody else was working
MARKS = ("<!-- results of scripts/bench -->", "<!-- end of results -->")
GRAPHS = (
    ("first run", "First run: output and log files of every task"),
    ("no-op", "No-op: the same again in a new process, everything complete"),
)
PROCESSES = (
    ("hello world", "Hello world: one task, process start to end"),
    ("imports", "Imports, in a new process"),
)


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


def markdown(cells: Cells, machine: Mapping[str, object], heavy: Sequence[str], rounds: int) -> str:
    """Return when and where it was measured, and all tables."""
    where = ", ".join(str(machine[name]) for name in ("date", "processor", "system"))
    how = f"median of {rounds} interleaved rounds, files in {machine['files']}"
    parts = [f"{where}, {machine['cores']} cores, Python {machine['python']}; {how}."]
    if float(str(machine["load"])) > BUSY:
        parts.append(f"**The machine was busy (load {machine['load']}): take these numbers as provisional.**")
    parts += [graph_table(cells, section, title) for section, title in GRAPHS]
    parts += [process_table(cells, section, title) for section, title in PROCESSES]
    parts.append(f"Heavy libraries that importing kart_runtime loads: {', '.join(heavy) or 'none'}.")
    return "\n\n".join(part for part in parts if part)


def put_into(document: Path, text: str) -> None:
    """Replace what stands between the two marks of a document."""
    before, _, rest = document.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    document.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}", encoding="utf-8")


def graph_table(cells: Cells, section: str, title: str) -> str:
    """Return rows of peers, columns of shapes: CPU ms per task, whole process / less the imports / ratio to bare."""
    own = [cell for (name, _, _), cell in cells.items() if name == section]
    columns, rows = unique(cell.column for cell in own), sorted(unique(cell.row for cell in own), key=ORDER.index)
    header = ["CPU ms per task", *columns]
    body = [[row, *(graph_cell(cells, (section, column, row)) for column in columns)] for row in rows]
    tasks = own[0].tasks if own else 0
    note = f"{tasks:,} tasks; each cell: whole process · less the imports · × the bare loop (both less the imports)"
    return f"### {title}\n\n{note}\n\n{table(header, body)}" if own else ""


def graph_cell(cells: Cells, key: tuple[str, str, str]) -> str:
    """Return one cell's three numbers, or its failure."""
    section, column, _ = key
    cell, bare = cells.get(key), cells.get((section, column, BARE.name))
    if cell is None:
        return ""
    if cell.failure:
        return cell.failure
    own = per_task(cells, cell)
    text = f"{1000 * median_cpu(cell) / cell.tasks:.3f} · {own:.3f}"
    floor = per_task(cells, bare) if bare and not bare.failure else 0.0
    return f"{text} · {own / floor:.2f}×" if own > 0 and floor >= MEASURABLE else text


def per_task(cells: Cells, cell: Measurement) -> float:
    """Return CPU milliseconds per task, less what the same program costs when it only imports."""
    baseline = cells.get(("import", "process", cell.row))
    alone = median_cpu(baseline) if baseline and not baseline.failure else 0.0
    return 1000 * (median_cpu(cell) - alone) / cell.tasks


def process_table(cells: Cells, section: str, title: str) -> str:
    """Return rows of whole processes: CPU and wall milliseconds, memory."""
    rows = [cell for (name, _, _), cell in cells.items() if name == section]
    body = [[cell.row, *([cell.failure, "", ""] if cell.failure else process_cells(cell))] for cell in rows]
    return f"### {title}\n\n{table(['', 'CPU ms', 'wall ms', 'memory MB'], body)}" if rows else ""


def process_cells(cell: Measurement) -> list[str]:
    """Return the medians of one process."""
    wall = median(sample.wall for sample in cell.samples)
    memory = median(sample.memory for sample in cell.samples)
    return [f"{1000 * median_cpu(cell):.0f}", f"{1000 * wall:.0f}", f"{memory / 1e6:.0f}"]


def median_cpu(cell: Measurement) -> float:
    """Return the median CPU seconds of a cell's samples."""
    return median(sample.cpu for sample in cell.samples)


def unique(values: Iterable[str]) -> list[str]:
    """Return the values once each, in the order of their first appearance."""
    return list(dict.fromkeys(values))


def table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a markdown table, padded so that it can be read as it is; all columns but the first to the right."""
    rows = [list(header), *(list(row) for row in body)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    rows.insert(1, rule)
    return "\n".join("| " + " | ".join(pad(row, widths)) + " |" for row in rows)


def pad(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the cells of a row at the widths of their columns."""
    return [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]


def as_data(cells: Cells) -> list[dict[str, object]]:
    """Return every sample, for JSON."""
    return [asdict(cell) for cell in cells.values()]
