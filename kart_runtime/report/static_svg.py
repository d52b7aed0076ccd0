"""Pictures of a run that need no script: the graph of its classes, and its timeline, as SVG.

They have no namespace and no style of their own: they are parts of the page, whose style sheet colors them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from kart_runtime.report.critical import Bar
from kart_runtime.report.data import FAILED, MARKS, RAN, Contents
from kart_runtime.report.layers import layers
from kart_runtime.report.texts import counted, escaped, seconds_text

_MOST_BOXES, _MOST_EDGES = 60, 240
_MOST_LANES = 16
_WIDTH = 920
_LABEL = 22
"""Characters of a box's label."""


def graph_svg(contents: Contents) -> str:
    """Return the graph of the classes of a run, of its modules if there are too many classes; "" without edges."""
    if not contents.has_graph:
        return ""
    classes = [(task.name.module, task.name.task) for task in contents.tasks]
    if len(set(classes)) > _MOST_BOXES:
        classes = [("", task.name.module) for task in contents.tasks]
    groups = list(dict.fromkeys(classes))
    if len(groups) > _MOST_BOXES:
        return ""
    numbers = {group: number for number, group in enumerate(groups)}
    of_task = [numbers[group] for group in classes]
    edges = Counter(
        (of_task[up], of_task[down])
        for down, upstream in enumerate(contents.requires)
        for up in upstream
        if of_task[up] != of_task[down]
    )
    return "".join(_drawing(contents, [name for _, name in groups], of_task, edges))


def _drawing(
    contents: Contents, names: Sequence[str], of_task: Sequence[int], edges: Mapping[tuple[int, int], int]
) -> Iterator[str]:
    ranks, places = layers(len(names), edges)
    height = Counter(ranks)
    tallest = max(height.values())
    at = [
        (12 + rank * 210, 10 + (place + (tallest - height[rank]) / 2) * 58)
        for rank, place in zip(ranks, places, strict=True)
    ]
    width = max(x for x, _ in at) + 182
    yield (
        f'<svg class="graph{" wide" if width > 640 else ""}" width="{width}" height="{20 + tallest * 58}" '
        f'viewBox="0 0 {width} {20 + tallest * 58}" role="img" '
        f'aria-label="Graph of {counted(len(names), "class").replace("classs", "classes")}">'
    )
    for (up, down), count in list(edges.items())[:_MOST_EDGES]:
        x, y, to_x, to_y = at[up][0] + 170, at[up][1] + 22, at[down][0], at[down][1] + 22
        middle = (x + to_x) / 2
        yield (
            f'<path class="edge" stroke-width="{min(1 + count.bit_length() / 2, 6):g}" '
            f'd="M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"/>'
        )
    for number, name in enumerate(names):
        yield _box(contents, name, [task for task, group in enumerate(of_task) if group == number], at[number])
    yield "</svg>"


def _box(contents: Contents, name: str, members: Sequence[int], at: tuple[float, float]) -> str:
    states = Counter(contents.tasks[task].state for task in members)
    marks = " ".join(f"{MARKS[state]}{count}" for state, count in sorted(states.items()))
    seconds = sum(_seconds(contents, task) for task in members)
    time = f" · {seconds_text(seconds)}" if any(contents.tasks[task].attempts for task in members) else ""
    kind = " failed" if FAILED in states else " ran" if RAN in states else ""
    x, y = at
    return (
        f'<g class="box{kind}"><title>{escaped(name, 200)}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="170" height="44" rx="5"/>'
        f'<text x="{x + 9:g}" y="{y + 18:g}">{escaped(name, _LABEL)}</text>'
        f'<text class="sub" x="{x + 9:g}" y="{y + 35:g}">{marks}{time}</text></g>'
    )


def _seconds(contents: Contents, number: int) -> float:
    task = contents.tasks[number]
    return float(task.record.seconds) if task.record is not None and task.attempts else 0.0


def timeline_svg(contents: Contents) -> str:
    """Return the timeline of a run; bars that would touch are one."""
    timeline = contents.timeline
    if not timeline.bars:
        return ""
    lanes: dict[int, list[tuple[int, Bar]]] = {}
    for number, bar in enumerate(timeline.bars):
        lanes.setdefault(bar.lane, []).append((number, bar))
    shown = list(lanes.items())[:_MOST_LANES]
    scale = _WIDTH / max(timeline.seconds, 0.001)
    path = set(contents.path)
    name = f"Timeline: {counted(len(timeline.bars), 'attempt')} in {counted(len(lanes), 'lane')}"
    size = f"0 0 {_WIDTH} {len(shown) * 22 + 22}"
    parts = [f'<svg class="timeline" viewBox="{size}" role="img" aria-label="{name}">']
    for row, (_, bars) in enumerate(shown):
        parts += _lane(bars, path, scale, row * 22 + 4)
    bottom = len(shown) * 22 + 17
    parts.append(f'<text class="sub" x="0" y="{bottom}">0 s</text>')
    end = f'<text class="sub" x="{_WIDTH}" y="{bottom}" text-anchor="end">{seconds_text(timeline.seconds)}</text></svg>'
    return "".join((*parts, end))


def _lane(bars: Sequence[tuple[int, Bar]], path: set[int], scale: float, y: int) -> Iterator[str]:
    """Yield a path for each kind of bar in a lane."""
    spans: dict[str, list[list[float]]] = {}
    for number, bar in bars:
        x, end = bar.start * scale, max(bar.end * scale, bar.start * scale + 1)
        kind = "failed" if bar.state == "failed" else "critical" if number in path else "ran"
        own = spans.setdefault(kind, [])
        if own and x - own[-1][1] < 1.5:
            own[-1][1] = max(own[-1][1], end)
        else:
            own.append([x, end])
    for kind, found in spans.items():
        shape = "".join(f"M{x:.0f} {y}h{max(end - x, 1):.0f}v14h-{max(end - x, 1):.0f}z" for x, end in found)
        yield f'<path class="bar {kind}" d="{shape}"/>'
