"""Graphs of tasks as Mermaid, DOT and JSON: what is drawn, for any names, and at any size."""

from __future__ import annotations

import html
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime.history.graph_texts import MERMAID_EDGES, TaskGraph, TaskNode, text_of_graph

ODD = [
    'a"b',
    "a\nb",
    "</script>",
    "\u202eabc",
    "a\\nb",
    "`x`",
    "#35;",
    "%%{init}%%",
    "[x](y)",
    "é…",
    "|",
    "&lt;",
    "x" * 10_000,
]


def node(task, label="", module="shop.model", action="run", **others):
    return TaskNode(f"{task}-{label}", module, task, label or task, {}, action, **others)


def small():
    """Return a graph of two classes, of which one has two tasks."""
    nodes = [
        node("Load", module="shop.data", action="skip"),
        node("Train", "Train(kind=tree)", reason="its output does not exist: a.pkl"),
        node("Train", "Train(kind=forest)", state="done", seconds=1.5),
        node("Evaluate"),
    ]
    return TaskGraph(nodes, [(0, 1), (0, 2), (1, 3), (2, 3)])


TOKEN = re.compile(r"""\s*(?://[^\n]*\n\s*)?("(?:[^"\\]|\\.)*"|->|[\w.]+|[{}\[\]=;,])""")
"""One word, quoted text or sign of DOT, after a comment."""


def parsed(dot):
    """Return the attributes of each box, and the edges, of a text in DOT; fail if it is none."""
    words, place = [], 0
    while place < len(dot.rstrip()):
        match = TOKEN.match(dot, place)
        assert match, dot[place : place + 50]
        words.append(match[1])
        place = match.end()
    assert words[:3] == ["digraph", "kart", "{"]
    assert words[-1] == "}"
    boxes, edges = {}, []
    for statement in " \0 ".join(words[3:-1]).split(" \0 ; \0 ") if words[3:-1] else []:
        name, *rest = [word for word in statement.split(" \0 ") if word != ";"]
        if rest[0] == "->":
            edges.append((name, rest[1]))
        elif rest[0] == "[":
            assert rest[-1] == "]"
            pairs = " \0 ".join(rest[1:-1]).split(" \0 , \0 ")
            boxes[name] = dict(pair.split(" \0 = \0 ") for pair in pairs)
    boxes.pop("node")
    return boxes, edges


def shown_by_graphviz(quoted):
    """Return the first line of a quoted label as Graphviz shows it."""
    text = re.fullmatch(r"((?:[^\\]|\\[^n])*)\\n.*", quoted[1:-1])[1]
    return html.unescape(re.sub(r"\\(.)", r"\1", text))


def dot_label(label):
    """Return how Graphviz shows the label of a task."""
    boxes, _ = parsed(text_of_graph(TaskGraph([node("A", label)], []), "dot", "task")[0])
    return shown_by_graphviz(boxes["t0"]["label"])


def test_mermaid():
    text, level = text_of_graph(small(), "mermaid", "task")
    assert level == "task"
    assert (
        text
        == """\
%% kart graph: 4 tasks
flowchart LR
  t0["Load<br/>skip"]:::state_skip
  t1["Train(kind=tree)<br/>run"]:::state_run
  t2["Train(kind=forest)<br/>done"]:::state_done
  t3["Evaluate<br/>run"]:::state_run
  t0 --> t1
  t0 --> t2
  t1 --> t3
  t2 --> t3
  classDef state_run fill:#dbeafe,stroke:#1d4ed8,color:#111827
  classDef state_done fill:#dcfce7,stroke:#15803d,color:#111827
  classDef state_skip fill:#e5e7eb,stroke:#4b5563,color:#111827
"""
    )


def test_mermaid_of_classes():
    text, _ = text_of_graph(small(), "mermaid", "class")
    assert (
        text
        == """\
%% kart graph: 4 tasks
flowchart LR
  t0["Load<br/>skip"]:::state_skip
  t1["Train<br/>2 tasks: 1 run, 1 done"]:::state_run
  t2["Evaluate<br/>run"]:::state_run
  t0 -->|2| t1
  t1 -->|2| t2
  classDef state_run fill:#dbeafe,stroke:#1d4ed8,color:#111827
  classDef state_skip fill:#e5e7eb,stroke:#4b5563,color:#111827
"""
    )


def test_dot_of_modules():
    text, _ = text_of_graph(small(), "dot", "module")
    assert (
        text
        == """\
// kart graph: 4 tasks
digraph kart {
  rankdir=LR;
  node [shape=box, style="rounded,filled", fontname="Helvetica,Arial,sans-serif", fontcolor="#111827"];
  t0 [label="shop.data\\nskip", tooltip="shop.data", fillcolor="#e5e7eb", color="#4b5563"];
  t1 [label="shop.model\\n3 tasks: 2 run, 1 done", tooltip="shop.model", fillcolor="#dbeafe", color="#1d4ed8"];
  t0 -> t1 [label=2];
}
"""
    )


def test_dot_says_why_when_it_is_pointed_at():
    boxes, edges = parsed(text_of_graph(small(), "dot", "task")[0])
    assert boxes["t1"]["tooltip"] == '"Train-Train(kind=tree): its output does not exist: a.pkl"'
    assert edges == [("t0", "t1"), ("t0", "t2"), ("t1", "t3"), ("t2", "t3")]


def test_json_of_tasks():
    values = json.loads(text_of_graph(small(), "json", "task")[0])
    assert values.keys() == {"format", "level", "nodes", "edges"}
    assert (values["format"], values["level"]) == (1, "task")
    assert values["edges"] == [[0, 1], [0, 2], [1, 3], [2, 3]]
    assert values["nodes"][2] == {
        "id": "Train-Train(kind=forest)",
        "module": "shop.model",
        "task": "Train",
        "label": "Train(kind=forest)",
        "params": {},
        "action": "run",
        "reason": "",
        "state": "done",
        "seconds": 1.5,
    }


def test_json_of_classes_counts_tasks_and_edges():
    values = json.loads(text_of_graph(small(), "json", "class")[0])
    assert values["edges"] == [[0, 1], [1, 2]]
    assert values["counts"] == [2, 2]
    assert values["nodes"][1] == {
        "id": "shop.model.Train",
        "module": "shop.model",
        "task": "Train",
        "label": "Train",
        "tasks": 2,
        "states": {"run": 1, "done": 1},
        "seconds": 1.5,
    }


@pytest.mark.parametrize("kind", ["mermaid", "dot", "json"])
def test_a_graph_without_tasks_is_one_all_the_same(kind):
    text, _ = text_of_graph(TaskGraph([], []), kind, "task")
    assert "0 tasks" in text if kind != "json" else json.loads(text)["nodes"] == []


def test_classes_of_one_name_are_two_boxes():
    graph = TaskGraph([node("Load", module="a"), node("Load", module="b")], [(0, 1)])
    assert 't0["a.Load<br/>run"]' in text_of_graph(graph, "mermaid", "class")[0]


def test_tasks_of_one_class_that_require_each_other_make_no_circle():
    graph = TaskGraph([node("Step", f"Step(n={n})") for n in range(3)], [(0, 1), (1, 2)])
    assert "-->" not in text_of_graph(graph, "mermaid", "class")[0]


# -- any names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ODD)
def test_mermaid_takes_any_name(label):
    text, _ = text_of_graph(TaskGraph([node("A", label)], []), "mermaid", "task")
    (line,) = [line for line in text.split("\n") if line.startswith("  t0")]
    shown = re.fullmatch(r'  t0\["(.*)<br/>run"\]:::state_run', line)[1]
    assert not re.search(r'["<>`\\|{}%&\u202e]', shown)
    assert len(shown) < 1000


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=50))
def test_mermaid_gives_every_visible_character_back(label):
    text, _ = text_of_graph(TaskGraph([node("A", label or "x")], []), "mermaid", "task")
    assert text.count("\n") == 4
    shown = re.search(r'\["(.*)<br/>run"\]', text)[1]
    back = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), shown)
    assert back == "".join(c if c.isprintable() else ascii(c)[1:-1] for c in label or "x")


@pytest.mark.parametrize("label", ODD)
def test_dot_takes_any_name(label):
    shown = {"a\nb": "a\\nb", "\u202eabc": "\\u202eabc", "x" * 10_000: "x" * 99 + "…"}
    assert dot_label(label) == shown.get(label, label)


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=50))
def test_dot_gives_every_visible_character_back(label):
    assert dot_label(label) == "".join(c if c.isprintable() else ascii(c)[1:-1] for c in label)


@pytest.mark.parametrize("label", ODD)
def test_json_keeps_names_whole_and_cannot_end_a_script(label):
    text, _ = text_of_graph(TaskGraph([node("A", label)], []), "json", "task")
    assert json.loads(text)["nodes"][0]["label"] == label
    assert "<" not in text
    assert text.isascii()


# -- any size --------------------------------------------------------------------------------------------------------


def wide(classes, each):
    """Return a graph in which each task of a class requires all of the class before."""
    nodes = [node(f"C{cls}", f"C{cls}(n={n})", module=f"m{cls % 2}") for cls in range(classes) for n in range(each)]
    edges = [
        (cls * each + up, (cls + 1) * each + down)
        for cls in range(classes - 1)
        for up in range(each)
        for down in range(each)
    ]
    return TaskGraph(nodes, edges)


def test_what_mermaid_would_not_draw_is_drawn_by_class():
    graph = wide(3, 16)
    assert len(graph.edges) > MERMAID_EDGES
    text, level = text_of_graph(graph, "mermaid", "task")
    assert level == "class"
    assert "t0 -->|256| t1" in text
    assert text_of_graph(graph, "dot", "task")[1] == "task"


def test_too_many_classes_for_mermaid_are_drawn_by_module():
    nodes = [node(f"Class{n}{'x' * 100}", module=f"m{n % 3}") for n in range(500)]
    assert text_of_graph(TaskGraph(nodes, []), "mermaid", "task")[1] == "module"
