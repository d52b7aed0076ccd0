"""Text forms of a graph of tasks: Mermaid, DOT and JSON; of tasks, or of their classes or modules."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

FORMAT = 1
"""Version of the JSON form: a key may be added; if one goes or means something else, this number grows."""

LEVELS = ("task", "class", "module")

MERMAID_EDGES, MERMAID_CHARACTERS = 500, 50_000
"""What Mermaid draws at most, unless a page configures it otherwise."""

MARKS = {"mermaid": "%% kart graph", "dot": "// kart graph", "json": '{"format": '}
"""What each text begins with; a file that begins so was made by `kart graph`."""

_LONGEST = 100
"""Characters of a label."""

_STATES = {
    "failed": ("#fecaca", "#b91c1c"),
    "missing": ("#fee2e2", "#b91c1c"),
    "not started": ("#fef3c7", "#b45309"),
    "run": ("#dbeafe", "#1d4ed8"),
    "maybe": ("#e0e7ff", "#4338ca"),
    "done": ("#dcfce7", "#15803d"),
    "complete": ("#e5e7eb", "#4b5563"),
    "skip": ("#e5e7eb", "#4b5563"),
    "not needed": ("#f9fafb", "#6b7280"),
}
"""State to the colors of its boxes, fill and line; a group has those of its first state in this order."""


class TaskNode(NamedTuple):
    """A task as it is drawn.

    Attributes
    ----------
    id, module, task
        Unique id, and module and name of the class.
    label
        Name that tells it from the other tasks.
    params
        Significant parameters as text, secrets masked.
    action
        What was planned: "run", "maybe", "skip", "not needed" or "missing".
    reason
        Why, in words.
    state
        What came of it in a past run: "done", "failed", "complete" (another process ran it) or "not started".
    seconds
        How long it ran.
    """

    id: str
    module: str
    task: str
    label: str
    params: Mapping[str, str]
    action: str
    reason: str = ""
    state: str = ""
    seconds: float | None = None


class TaskGraph(NamedTuple):
    """Tasks, and pairs of their indexes: upstream, downstream."""

    nodes: Sequence[TaskNode]
    edges: Sequence[tuple[int, int]]


class _Box(NamedTuple):
    """A task, or a group of tasks."""

    id: str
    label: str
    nodes: Sequence[TaskNode]

    @property
    def states(self) -> Counter[str]:
        counts = Counter(node.state or node.action for node in self.nodes)
        return Counter({state: counts[state] for state in sorted(counts, key=_order)})

    @property
    def state(self) -> str:
        return next(iter(self.states))

    @property
    def below(self) -> str:
        """Return the line below the label: the state, or the numbers of tasks."""
        if len(self.nodes) == 1:
            return self.state
        parts = [f"{number} {state}" for state, number in self.states.items()]
        if len(parts) == 1:
            return f"{len(self.nodes)} tasks, {self.state}"
        return f"{len(self.nodes)} tasks: {', '.join(parts)}"

    @property
    def seconds(self) -> float | None:
        seconds = [node.seconds for node in self.nodes if node.seconds is not None]
        return round(sum(seconds), 3) if seconds else None


class _Drawing(NamedTuple):
    """Boxes of one level, and the number of edges between each two."""

    level: str
    boxes: Sequence[_Box]
    edges: Mapping[tuple[int, int], int]
    number: int


def text_of_graph(graph: TaskGraph, kind: str, level: str) -> tuple[str, str]:
    """Return a graph as text, and the level that it shows: a higher one if Mermaid would refuse to draw this one.

    Parameters
    ----------
    graph
        The graph.
    kind
        "mermaid", "dot" or "json".
    level
        What a box is: "task", "class" or "module".
    """
    if kind != "mermaid":
        return (_dot if kind == "dot" else _json)(_drawing(graph, level)), level
    text = ""
    for shown in LEVELS[LEVELS.index(level) :]:
        drawing = _drawing(graph, shown)
        text = _mermaid(drawing)
        if len(drawing.edges) <= MERMAID_EDGES and len(text) <= MERMAID_CHARACTERS:
            return text, shown
    return text, LEVELS[-1]


def _drawing(graph: TaskGraph, level: str) -> _Drawing:
    if level == "task":
        boxes = [_Box(node.id, node.label, [node]) for node in graph.nodes]
        return _Drawing(level, boxes, Counter(graph.edges), len(graph.nodes))
    groups: dict[tuple[str, ...], list[TaskNode]] = defaultdict(list)
    keys = [(node.module, node.task) if level == "class" else (node.module,) for node in graph.nodes]
    for key, node in zip(keys, graph.nodes, strict=True):
        groups[key].append(node)
    numbers = {key: number for number, key in enumerate(groups)}
    names = Counter(key[-1] for key in groups)
    boxes = [
        _Box(".".join(key), key[-1] if names[key[-1]] == 1 else ".".join(key), nodes) for key, nodes in groups.items()
    ]
    pairs = ((numbers[keys[up]], numbers[keys[down]]) for up, down in graph.edges)
    return _Drawing(level, boxes, Counter(pair for pair in pairs if pair[0] != pair[1]), len(graph.nodes))


def _order(state: str) -> int:
    return list(_STATES).index(state) if state in _STATES else len(_STATES)


def _counted(number: int) -> str:
    return f"{number} task{'' if number == 1 else 's'}"


# -- Mermaid ---------------------------------------------------------------------------------------------------------


def _mermaid(drawing: _Drawing) -> str:
    lines = [f"{MARKS['mermaid']}: {_counted(drawing.number)}", "flowchart LR"]
    lines += [
        f'  t{number}["{_in_mermaid(box.label)}<br/>{_in_mermaid(box.below)}"]:::{_class_of(box.state)}'
        for number, box in enumerate(drawing.boxes)
    ]
    lines += [
        f"  t{up} -->{f'|{count}|' if count > 1 else ''} t{down}" for (up, down), count in sorted(drawing.edges.items())
    ]
    for state in sorted({box.state for box in drawing.boxes}, key=_order):
        fill, stroke = _STATES.get(state, _STATES["skip"])
        lines.append(f"  classDef {_class_of(state)} fill:{fill},stroke:{stroke},color:#111827")
    return "\n".join(lines) + "\n"


def _class_of(state: str) -> str:
    return f"state_{state.replace(' ', '_')}"


def _in_mermaid(text: str) -> str:
    """Return a text for between quotes in Mermaid: what could end it, or be taken for markup, as its code."""
    return "".join(
        character if character.isalnum() or character in " _-.,:()=[]/…" else f"#{ord(character)};"
        for character in _on_one_line(text)
    )


def _on_one_line(text: str) -> str:
    """Return a shortened text with what is not visible, such as marks that turn the direction, written out."""
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


# -- DOT -------------------------------------------------------------------------------------------------------------


def _dot(drawing: _Drawing) -> str:
    lines = [
        f"{MARKS['dot']}: {_counted(drawing.number)}",
        "digraph kart {",
        "  rankdir=LR;",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica,Arial,sans-serif", fontcolor="#111827"];',
    ]
    for number, box in enumerate(drawing.boxes):
        fill, stroke = _STATES.get(box.state, _STATES["skip"])
        label = f"{_in_dot(box.label)}\\n{_in_dot(box.below)}"
        reason = box.nodes[0].reason if len(box.nodes) == 1 else ""
        tooltip = _in_dot(f"{box.id}: {reason}" if reason else box.id)
        lines.append(f'  t{number} [label="{label}", tooltip="{tooltip}", fillcolor="{fill}", color="{stroke}"];')
    for (up, down), count in sorted(drawing.edges.items()):
        lines.append(f"  t{up} -> t{down}{f' [label={count}]' if count > 1 else ''};")
    return "\n".join([*lines, "}"]) + "\n"


def _in_dot(text: str) -> str:
    """Return a text for between quotes in DOT, which takes backslashes and the entities of HTML for its own."""
    escaped = _on_one_line(text).replace("\\", "\\\\").replace('"', '\\"')
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# -- JSON ------------------------------------------------------------------------------------------------------------


def _json(drawing: _Drawing) -> str:
    """Return JSON with a node or edge on each line."""
    edges = sorted(drawing.edges.items())
    parts = [f'{{"format": {FORMAT}, "level": "{drawing.level}"']
    parts.append(_json_list("nodes", [_values(box, drawing.level) for box in drawing.boxes]))
    parts.append(_json_list("edges", [list(pair) for pair, _ in edges]))
    if drawing.level != "task":
        parts.append(f'"counts": {json.dumps([count for _, count in edges])}')
    return ",\n".join(parts) + "}\n"


def _json_list(name: str, values: Sequence[Any]) -> str:
    # Where it is put into a script of a page, no value may end that.
    lines = ",\n".join(f"  {json.dumps(value)}" for value in values).replace("<", "\\u003c")
    return f'"{name}": [\n{lines}\n]' if values else f'"{name}": []'


def _values(box: _Box, level: str) -> dict[str, Any]:
    if level == "task":
        return box.nodes[0]._asdict()
    group = {"id": box.id, "module": box.nodes[0].module} | ({"task": box.nodes[0].task} if level == "class" else {})
    return group | {"label": box.label, "tasks": len(box.nodes), "states": dict(box.states), "seconds": box.seconds}
