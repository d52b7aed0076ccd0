"""Goals, each with the value of this run. A goal that was not measured is neither reached nor missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from bench_lib import figures, tables
from bench_lib.bench import Cells
from bench_lib.peers import BARE, GOKART, JOBLIB, KART, KEDRO, LUIGI
from bench_lib.sections import display, dynamic, frames, history, parallel, remote
from bench_lib.sections.graphs import GROWING, column, growing_sizes
from bench_lib.sections.processes import IMPORTS
from bench_lib.services import SERVICES
from bench_lib.sizes import Sizes

Values = Mapping[str, float | None]


@dataclass(frozen=True)
class Goal:
    """A goal, the measured value, and whether it is reached (None: not measured)."""

    work: str
    limit: str
    measured: str
    reached: bool | None


def make_goal(
    work: str, limit: float, values: Values, *, least: bool = False, unit: str = "×", places: int = 2
) -> Goal:
    """Return a goal that is reached if no value is above the limit (with `least`: below it)."""
    known = {name: value for name, value in values.items() if value is not None}
    missed = any(value < limit if least else value > limit for value in known.values())
    complete = len(known) == len(values) and bool(values)
    reached = False if missed else True if complete else None
    shown = " · ".join(
        f"{name} {tables.number(value, places, f' {unit}' if unit.isalpha() else unit)}".strip()
        for name, value in values.items()
    )
    return Goal(work, f"{'≥' if least else '≤'} {limit:g} {unit}".rstrip(), shown if known else "-", reached)


def goals(cells: Cells, sizes: Sizes, shapes: Sequence[str], heavy: Sequence[str] | None) -> list[Goal]:
    """Return all goals for the engine's speed."""
    return [
        *graph_goals(cells, sizes, shapes),
        *growth_goals(cells, sizes),
        *memory_goals(cells, sizes),
        *process_goals(cells, heavy),
        *frame_goals(cells),
        *parallel_goals(cells),
        *dynamic_goals(cells, sizes),
        *history_goals(cells, sizes),
        *display_goals(cells, sizes),
        *remote_goals(cells, sizes),
    ]


def graph_goals(cells: Cells, sizes: Sizes, shapes: Sequence[str]) -> Iterator[Goal]:
    """Yield the goals for first runs against the bare loop and for no-ops against the peers."""
    # If all peers are measured with few tasks only, the sizes of the section growth are more meaningful.
    for count in sorted({*sizes.tasks, *(size for size in sizes.growth if size <= 3_000)}):
        measured = [shape for shape in shapes if ("first run", column(shape, count), KART.name) in cells]
        if measured and count >= 1_000:
            values = {shape: cpu_ratio(cells, "first run", shape, count, BARE.name) for shape in measured}
            yield make_goal(f"first run of {count:,}: CPU × the bare loop", 1.5, values)
    for count in sizes.tasks:
        own = {shape: figures.per_task(cells, "no-op", shape, count, KART.name) for shape in shapes}
        gokart = {shape: figures.gokart_per_task(cells, "no-op", shape, count) for shape in shapes}
        values = {shape: figures.ratio(gokart[shape], own[shape]) for shape in shapes}
        yield make_goal(f"no-op of {count:,}: gokart's CPU × kart's", 20, values, least=True, places=0)
        for peer in (JOBLIB, KEDRO):
            values = {shape: cpu_ratio(cells, "no-op", shape, count, peer.name) for shape in shapes}
            yield make_goal(f"no-op of {count:,}: CPU × {peer.name}", 1, values)


def cpu_ratio(cells: Cells, section: str, shape: str, count: int, row: str) -> float | None:
    """Return the ratio of kart_runtime's CPU per task to a peer's."""
    own, other = (figures.per_task(cells, section, shape, count, name) for name in (KART.name, row))
    return figures.ratio(own if own is None else max(own, 0.0), other)  # below 0: less than the noise


def growth_goals(cells: Cells, sizes: Sizes) -> Iterator[Goal]:
    """Yield the goals for linear growth and for the deep chain."""
    counts = growing_sizes(sizes)
    for section in ("first run", "no-op"):
        values = {shape: figures.exponent(cells, section, shape, counts, KART.name) for shape in GROWING}
        done = [count for count in counts if figures.per_task(cells, section, "chain", count, KART.name) is not None]
        most = max(done or counts)
        yield make_goal(f"{section}: exponent of growth up to {most:,} tasks", 1.05, values, unit="", places=3)
    cell = cells.get(("first run", column("chain", sizes.deep), KART.name))
    outcome = "-" if cell is None else cell.failure or "works"
    work = f"a chain of {sizes.deep:,} tasks, default recursion limit"
    yield Goal(work, "works", outcome, None if cell is None else cell.failure is None)


def memory_goals(cells: Cells, sizes: Sizes) -> Iterator[Goal]:
    """Yield the goals for memory."""
    count = max(sizes.tasks)
    own, other = (figures.memory_per_task(cells, count, peer.name) for peer in (KART, LUIGI))
    yield make_goal(f"memory, grid of {count:,}: KiB per task above the import", 8, {"": own}, unit="KiB", places=1)
    yield make_goal(f"memory, grid of {count:,}: × luigi's", 1, {"": figures.ratio(own, other)})


def process_goals(cells: Cells, heavy: Sequence[str] | None) -> Iterator[Goal]:
    """Yield the goals for imports and for one task."""
    for row in [row for row, _, _ in IMPORTS if "kart_runtime" in row]:
        pairs = ((what, figures.process(cells, "imports", row, what)) for what in ("cpu", "wall"))
        luigi = {what: figures.process(cells, "imports", "import luigi", what) for what in ("cpu", "wall")}
        yield make_goal(
            f"`{row}` × `import luigi`", 1.3, {what: figures.ratio(own, luigi[what]) for what, own in pairs}
        )
    yield Goal(
        "heavy libraries loaded by it", "none", "-" if heavy is None else ", ".join(heavy) or "none",
        None if heavy is None else not heavy,
    )  # fmt: skip
    values = {
        what: figures.ratio(
            figures.process(cells, "hello world", KART.name, what),
            figures.process(cells, "hello world", GOKART.name, what),
        )
        for what in ("cpu", "wall")
    }
    yield make_goal("hello world, process start to end: × gokart's", round(1 / 3, 3), values)


def history_goals(cells: Cells, sizes: Sizes) -> Iterator[Goal]:
    """Yield the goals for commands on a long history."""
    before = figures.process(cells, "history", history.VERSION, "cpu")
    for row, limit in ((history.FIRST, 5.0), (history.AGAIN, 0.3)):
        own = figures.process(cells, "history", row, "cpu")
        above = None if own is None or before is None else own - before
        work = f"`{row}` of {sizes.records:,} attempts, above {history.VERSION}"
        yield make_goal(work, limit, {"CPU": above}, unit="s")


def frame_goals(cells: Cells) -> Iterator[Goal]:
    """Yield the goals for data frames."""
    walls = {
        row: {kind: figures.reported(cells, "frames", kind, row, "wall") for kind in frames.FORMATS}
        for row in (KART.name, GOKART.name, frames.RAW, frames.CACHED)
    }
    own = walls[KART.name]
    yield make_goal(
        "data frame: gokart's wall × kart's", 2,
        {kind: figures.ratio(walls[GOKART.name][kind], own[kind]) for kind in frames.PANDAS}, least=True,
    )  # fmt: skip
    files = ("parquet", "feather")
    raw = walls[frames.RAW]
    yield make_goal(
        "data frame: × pyarrow's own write + read", 1.1, {kind: figures.ratio(own[kind], raw[kind]) for kind in files}
    )
    polars = {kind: figures.ratio(own[kind], raw[kind]) for kind in frames.POLARS}
    yield make_goal("data frame: × polars' own write + read", 1.2, polars)
    cached = walls[frames.CACHED]
    values = {kind: figures.ratio(cached[kind], raw[kind]) for kind in files}
    yield make_goal("data frame, value cache: × pyarrow's own", 1, values)


def parallel_goals(cells: Cells) -> Iterator[Goal]:
    """Yield the goals for several workers."""
    for kind, executor, workers, least in (
        ("compute", "processes", 2, 1.9),
        ("sleep", "threads", 2, 1.95),
        ("sleep", "threads", 8, 7.5),
    ):
        name = f"{kind}, {parallel.variant_name(executor, workers)}"
        builds = ("first", "second")
        values = {f"{build} build": tables.speed_up(cells, kind, name, KART.name, build) for build in builds}
        yield make_goal(f"eight tasks that {name}: × faster", least, values, least=True)


def display_goals(cells: Cells, sizes: Sizes) -> Iterator[Goal]:
    """Yield the goal for the display."""
    count = display.size(sizes.growth)
    values = {mode: figures.display_cost(cells, KART.name, mode, count) for mode in ("plain", "block")}
    yield make_goal(f"{count:,} tasks: CPU of the display", 20, values, unit="µs a task", places=1)


def dynamic_goals(cells: Cells, sizes: Sizes) -> Iterator[Goal]:
    """Yield the goals for dynamic requirements."""
    values = {
        f"{executor}, {mode}": figures.reported(cells, "dynamic", mode, dynamic.row(KART.name, executor), "entered")
        for executor in ("serial", "threads")
        for mode in dynamic.MODES
    }
    yield make_goal(f"{sizes.dynamic:,} requirements yielded: calls of run()", 1, values, unit="", places=0)


def remote_goals(cells: Cells, sizes: Sizes) -> Iterator[Goal]:
    """Yield the goals for remote workspaces.

    A task sends its output and five log files. A build lists the existing objects, 1,000 per request, and stores its
    record when it is planned, when it ends, and every 30 seconds of a long build. Nothing else: no request checks
    whether an object exists before, between or after.
    """
    for count in sizes.remote:
        lists = -(-count // 1000)
        for run, own, least in (("first run", KART.files, lists + 3), ("no-op", 0, lists + 1)):
            values = {name: extra_requests(cells, name, run, count, own * count) for name in SERVICES}
            beyond = f" beyond {own} per task" if own else ""
            yield make_goal(f"remote, {run} of {count:,}: requests{beyond}", least, values, unit="", places=0)
    values = {
        f"{name}, {form}": figures.value_memory(cells, f"{name}, {form}", KART.name)[1]
        for form in remote.FORMS
        for name in SERVICES
    }
    yield make_goal(f"remote, a value of {sizes.megabytes:,} MB: memory", 128, values, unit="MB", places=0)


def extra_requests(cells: Cells, name: str, run: str, count: int, own: int) -> float | None:
    """Return the number of requests that kart_runtime sent beyond those its tasks need."""
    sent = figures.requests(cells, remote.column(name, run, count, 0), remote.kinds(cells, name, count), KART.name)
    return None if sent is None else sum(sent) - own


def goals_table(rated: Sequence[Goal], note: str) -> str:
    """Return the goals as a table."""
    words = {True: "yes", False: "**no**", None: "not measured"}
    body = [[goal.work, goal.limit, goal.measured, words[goal.reached]] for goal in rated]
    return tables.titled("Goals", note, ["work", "goal", "in this run", "reached"], body)


def as_data(rated: Sequence[Goal]) -> list[dict[str, object]]:
    """Return the goals for JSON."""
    return [asdict(goal) for goal in rated]
