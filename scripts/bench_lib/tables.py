"""Markdown tables: one function per section, from cells to a table; "" if nothing was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench_lib import figures
from bench_lib.bench import Cells
from bench_lib.peers import BARE, GOKART, KART, PEERS
from bench_lib.sections import display, dynamic, frames, history, parallel, recording, remote
from bench_lib.sections.graphs import COMPARED, GROWING, column, growing_sizes
from bench_lib.services import SERVICES
from bench_lib.sizes import Sizes

ORDER = [peer.name for peer in PEERS]
GRAPHS = (
    ("first run", "First run: output and log files of every task"),
    ("no-op", "No-op: the same again in a new process, everything complete"),
)


def table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, padded for reading as text; all columns but the first are right-aligned."""
    rows = [list(header), *(list(row) for row in body)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    rows.insert(1, rule)
    return "\n".join("| " + " | ".join(pad(row, widths)) + " |" for row in rows)


def pad(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the cells of a row, padded to the widths of their columns."""
    return [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]


def number(value: float | None, places: int = 2, unit: str = "") -> str:
    """Return a number as text, or a dash."""
    return "-" if value is None else f"{value:,.{places}f}{unit}"


def titled(title: str, note: str, header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a table with its title and a note, or "" without rows."""
    rows = list(body)
    return "\n\n".join(part for part in (f"### {title}", note, table(header, rows)) if part) if rows else ""


def rows_of(cells: Cells, section: str, columns: Sequence[str] = ()) -> list[str]:
    """Return the rows of a section in order of appearance, restricted to those with one of `columns`."""
    return list(dict.fromkeys(row for (name, col, row) in cells if name == section and (not columns or col in columns)))


def failure(cells: Cells, section: str, name: str, row: str) -> str | None:
    """Return why a cell has no number: "" if it was not measured, None if it has one."""
    cell = cells.get((section, name, row))
    return "" if cell is None else cell.failure


def graphs(cells: Cells, sizes: Sizes, shapes: Sequence[str]) -> str:
    """Return a table for each size, first runs before no-ops: rows of peers, columns of shapes."""
    return "\n\n".join(
        text
        for section, title in GRAPHS
        for count in sizes.tasks
        if (text := graph(cells, (section, title), count, shapes))
    )


def graph(cells: Cells, of: tuple[str, str], count: int, shapes: Sequence[str]) -> str:
    """Return CPU ms per task: whole process / less the imports / ratio to the bare loop."""
    section, title = of
    columns = [column(shape, count) for shape in shapes]
    rows = sorted(rows_of(cells, section, columns), key=ORDER.index)
    body = [[row, *(graph_cell(cells, section, shape, count, row) for shape in shapes)] for row in rows]
    note = f"{count:,} tasks; each cell: whole process · less the imports · × the bare loop (both less the imports)"
    return titled(f"{title} ({count:,} tasks)", note, ["CPU ms per task", *shapes], body)


def graph_cell(cells: Cells, section: str, shape: str, count: int, row: str) -> str:
    """Return one cell's three numbers, or its failure."""
    why = failure(cells, section, column(shape, count), row)
    if why is not None:
        return why
    cell = cells[section, column(shape, count), row]
    own = figures.per_task(cells, section, shape, count, row)
    text = f"{1000 * figures.median_of(cell, 'cpu') / count:.3f} · {number(own, 3)}"
    bare = figures.per_task(cells, section, shape, count, BARE.name)
    times = figures.ratio(own, bare, figures.MEASURABLE)
    return f"{text} · {times:.2f}×" if times is not None and times > 0 else text


def growth(cells: Cells, counts: Sequence[int]) -> str:
    """Return cost per task over N, with the exponent."""
    body = []
    for section, _ in GRAPHS:
        for shape in GROWING:
            for row in (BARE.name, KART.name):
                costs = [figures.per_task(cells, section, shape, count, row) for count in counts]
                if sum(cost is not None for cost in costs) > 1:
                    slope = figures.exponent(cells, section, shape, counts, row)
                    body.append([f"{row}, {section}, {shape}", *(number(cost, 4) for cost in costs), number(slope, 3)])
    note = (
        "CPU ms per task less the imports; the exponent is the slope of log cost over log N (1: linear, 2: quadratic); "
        "runs of less than 50 ms do not count"
    )
    return titled("Growth", note, ["", *(f"{count:,}" for count in counts), "exponent"], body)


def memory(cells: Cells, sizes: Sizes) -> str:
    """Return peak memory per task of the largest grid."""
    count = max(sizes.tasks)
    header = ["KiB per task", "above the import", "above a run of one task", "peak MB"]
    body = []
    for peer in COMPARED:
        cell = figures.valid_cell(cells, "first run", column("grid", count), peer.name)
        if cell:
            kib = [figures.memory_per_task(cells, count, peer.name, than) for than in ("import", "one task")]
            peak = figures.median_of(cell, "memory") / 1e6
            body.append([peer.name, *(number(value, 1) for value in kib), number(peak, 0)])
    return titled("Memory", f"Peak resident memory of a first run, grid of {count:,}", header, body)


def processes(cells: Cells, section: str, title: str, reference: str) -> str:
    """Return whole processes: CPU and wall milliseconds, memory, and the ratio of CPU and wall to a reference."""
    body = []
    for row in rows_of(cells, section):
        why = failure(cells, section, "process", row)
        values = [figures.process(cells, section, row, what) for what in ("cpu", "wall", "memory")]
        others = [figures.process(cells, section, reference, what) for what in ("cpu", "wall")]
        times = [figures.ratio(value, other) for value, other in zip(values, others, strict=False)]
        shown = [number(value and value * by, 0) for value, by in zip(values, (1e3, 1e3, 1e-6), strict=True)]
        shown += [number(value, 2, "×") for value in times]
        body.append([row, *([why, *[""] * 4] if why else shown)])
    return titled(title, "", ["", "CPU ms", "wall ms", "memory MB", f"CPU × {reference}", f"wall × {reference}"], body)


def data_frames(cells: Cells, sizes: Sizes) -> str:
    """Return wall and CPU seconds of each format, with the ratio to the raw writes and reads."""
    body = [
        [row, *(frame_cell(cells, kind, row) for kind in frames.FORMATS)]
        for row in rows_of(cells, "frames")
    ]  # fmt: skip
    note = "Each cell: wall seconds · CPU seconds · × the raw write + read (wall); five writes, four reads"
    return titled(f"A data frame of {sizes.rows:,} × 8 through five tasks", note, ["", *frames.FORMATS], body)


def frame_cell(cells: Cells, kind: str, row: str) -> str:
    """Return one cell's three numbers, or its failure."""
    why = failure(cells, "frames", kind, row)
    if why is not None:
        return why
    wall, cpu = (figures.reported(cells, "frames", kind, row, what) for what in ("wall", "cpu"))
    times = figures.ratio(wall, figures.reported(cells, "frames", kind, frames.RAW, "wall"))
    return f"{number(wall, 3)} · {number(cpu, 3)} · {number(times, 2, '×')}"


def workers(cells: Cells, sizes: Sizes) -> str:
    """Return wall seconds of eight tasks in each variant, with the ratio to one worker."""
    body = []
    for kind, executor, count in parallel.VARIANTS:
        name = f"{kind}, {parallel.variant_name(executor, count)}"
        for row in rows_of(cells, "parallel", [name]):
            why = failure(cells, "parallel", name, row)
            body.append([f"{name}: {row}", *([why, "", "", ""] if why else worker_cells(cells, (kind, name), row))])
    note = (
        f"Wall seconds of a build of eight tasks, each {sizes.seconds:g} s; × faster than one worker. The second build "
        "runs in the same process. The bare loop is the same work without an engine, the limit of the machine."
    )
    return titled("Several workers", note, ["", "first build", "×", "second build", "×"], body)


def worker_cells(cells: Cells, names: tuple[str, str], row: str) -> list[str]:
    """Return the seconds and ratios of both builds."""
    kind, name = names
    shown = []
    for build in ("first", "second"):
        shown += [
            number(figures.reported(cells, "parallel", name, row, build)),
            number(speed_up(cells, kind, name, row, build)),
        ]
    return shown


def speed_up(cells: Cells, kind: str, name: str, row: str, build: str) -> float | None:
    """Return how many times faster a variant is than one worker of the same engine."""
    serial = figures.reported(cells, "parallel", f"{kind}, serial", row, "first")
    return figures.ratio(serial, figures.reported(cells, "parallel", name, row, build))


def dynamic_requirements(cells: Cells, sizes: Sizes) -> str:
    """Return the number of calls of `run`, and the build's CPU seconds."""
    body = [
        [row, *(dynamic_cell(cells, mode, row) for mode in dynamic.MODES)]
        for row in rows_of(cells, "dynamic")
    ]  # fmt: skip
    note = "Each cell: number of calls of the yielding task's run() · CPU seconds of the build"
    title = f"{sizes.dynamic:,} dynamic requirements yielded by one task"
    return titled(title, note, ["yielded", *dynamic.MODES], body)


def displays(cells: Cells, sizes: Sizes) -> str:
    """Return the CPU seconds of a build under each display, the ratio to none, and what it adds to a task."""
    count = display.size(sizes.growth)
    off = figures.reported(cells, "display", "off", KART.name, "cpu")
    body = []
    for mode in display.MODES:
        cpu = figures.reported(cells, "display", mode, KART.name, "cpu")
        if cpu is not None and off:
            added = figures.display_cost(cells, KART.name, mode, count)
            body.append([mode, number(cpu, 2), number(cpu / off, 2), number(added, 1)])
    return titled(f"Display ({count:,} tasks)", "", ["", "CPU seconds", "× off", "µs a task"], body)


def recordings(cells: Cells, sizes: Sizes) -> str:
    """Return the CPU seconds of a first run and a no-op, with and without records."""
    body = [
        [mode, *(number(figures.reported(cells, "recording", mode, KART.name, what), 3) for what in ("first", "again"))]
        for mode in recording.MODES
        if ("recording", mode, KART.name) in cells
    ]
    return titled(f"Records of runs ({max(sizes.tasks):,} tasks)", "", ["CPU seconds", "first run", "no-op"], body)


def dynamic_cell(cells: Cells, mode: str, row: str) -> str:
    """Return one cell's two numbers, or its failure."""
    why = failure(cells, "dynamic", mode, row)
    if why is not None:
        return why
    entered, cpu = (figures.reported(cells, "dynamic", mode, row, what) for what in ("entered", "cpu"))
    return f"{number(entered, 0)} · {number(cpu, 3)}"


def requests(cells: Cells, name: str, count: int) -> str:
    """Return the requests per task of a graph on a service, by kind, and the seconds with and without a delay."""
    kinds = remote.kinds(cells, name, count)
    body = []
    for run in remote.RUNS:
        of = [remote.column(name, run, count, delay) for delay in remote.DELAYS]
        for row in rows_of(cells, "remote", of[:1]):
            why = failure(cells, "remote", of[0], row)
            counted = [why, *[""] * len(kinds)] if why else request_cells(cells, of[0], row, kinds, count)
            seconds = [
                failure(cells, "remote", where, row) or number(figures.reported(cells, "remote", where, row, "wall"), 1)
                for where in of
            ]
            body.append([f"{run}: {row}", *counted, *seconds])
    rates = [number(figures.reported(cells, "remote", name, "proxy", what), 0) for what in ("direct", "through")]
    note = (
        f"Requests per task, total requests, and seconds of the build. One client gets {rates[0]} answers per second "
        f"from the server, and {rates[1]} through the proxy. > means not run: the delays alone take that long."
    )
    header = ["", *kinds, "all", *("s" if not delay else f"s, {delay} ms a request" for delay in remote.DELAYS)]
    return titled(f"{name}, {count:,} tasks, a fan-in whose root reads the others", note, header, body)


def request_cells(cells: Cells, name: str, row: str, kinds: Sequence[str], count: int) -> list[str]:
    """Return the requests per task of each kind, and the total of all kinds."""
    sent = figures.requests(cells, name, kinds, row) or []
    return [*(f"{value / count:.3g}" for value in sent), number(sum(sent), 0)]


def large_value(cells: Cells, sizes: Sizes) -> str:
    """Return the memory that a large value takes above a small one, the total peak, and seconds."""
    of = [(name, form) for form in remote.FORMS for name in SERVICES]
    body = [
        [row, *(value_cell(cells, f"{name}, {form}", row) for name, form in of)]
        for row in rows_of(cells, "remote value", [f"{name}, {form}, small" for name, form in of])
    ]
    note = (
        f"Each cell: peak memory in MB above the same program with {remote.SMALL} MB · total peak · seconds of the "
        "build. A file has a format that writes and reads 1 MB at a time; a model is packed into a zip file."
    )
    title = f"A value of {sizes.megabytes:,} MB from one task to the next"
    return titled(title, note, ["", *(f"{name}, {form}" for name, form in of)], body)


def value_cell(cells: Cells, name: str, row: str) -> str:
    """Return one cell's three numbers, or its failure."""
    why = failure(cells, "remote value", name, row)
    if why is not None:
        return why or failure(cells, "remote value", f"{name}, small", row) or ""
    peak, above = figures.value_memory(cells, name, row)
    wall = figures.reported(cells, "remote value", name, row, "wall")
    return f"{number(above, 0)} · {number(peak, 0)} · {number(wall, 1)}"


def every_table(cells: Cells, sizes: Sizes, shapes: Sequence[str]) -> list[str]:
    """Return the tables of all measured sections."""
    texts = (
        graphs(cells, sizes, shapes),
        growth(cells, growing_sizes(sizes)),
        memory(cells, sizes),
        processes(cells, "imports", "Imports, in a new process", "import luigi"),
        processes(cells, "hello world", "Hello world: one task, process start to end", GOKART.name),
        data_frames(cells, sizes),
        workers(cells, sizes),
        dynamic_requirements(cells, sizes),
        processes(cells, "history", f"A history of {sizes.records:,} attempts", history.VERSION),
        displays(cells, sizes),
        recordings(cells, sizes),
        *(requests(cells, name, count) for name in SERVICES for count in sizes.remote),
        large_value(cells, sizes),
    )
    return [text for text in texts if text]
