"""`kart graph`: of the plan and of past runs, to the terminal and to a file."""

from __future__ import annotations

import json

import pytest

FAILING = """
    import luigi
    from kart_runtime import TaskOnKart
    from PKG.tasks.numbers import Numbers


    class Fails(TaskOnKart[int]):
        def requires(self):
            return Numbers(size=7)

        def run(self):
            raise ValueError("no")


    class Last(TaskOnKart[int]):
        def requires(self):
            return [Fails(), Numbers(size=8)]
    """


@pytest.fixture
def graph(kart):
    """Return a function that returns the nodes by label, and the edges as pairs of labels, of `kart graph`."""

    def read(*words):
        typed = kart("graph", "--format", "json", *words)
        assert typed.code == 0, typed.err
        values = json.loads(typed.out)
        labels = [node["label"] for node in values["nodes"]]
        return dict(zip(labels, values["nodes"], strict=True)), {
            (labels[up], labels[down]) for up, down in values["edges"]
        }

    return read


def test_the_plan_is_drawn(small_project, kart):
    small_project()
    kart("run", "Numbers")
    typed = kart("graph")
    assert (typed.code, typed.err) == (0, "")
    assert typed.lines[:8] == [
        "%% kart graph: 3 tasks",
        "flowchart LR",
        '  t0["Numbers<br/>skip"]:::state_skip',
        '  t1["Total<br/>run"]:::state_run',
        '  t2["RunAll<br/>run"]:::state_run',
        "  t0 --> t1",
        "  t0 --> t2",
        "  t1 --> t2",
    ]


def test_a_task_is_drawn_with_what_it_requires_and_with_overrides(small_project, kart, graph):
    small_project()
    nodes, edges = graph("Total", "Numbers.size=6")
    assert edges == {("Numbers", "Total")}
    assert nodes["Numbers"]["params"] == {"size": "6"}
    assert nodes["Numbers"]["action"] == "run"
    assert nodes["Numbers"]["reason"].startswith("its output does not exist")


def test_tasks_of_one_class_have_the_names_that_the_plan_has(small_project, kart, several):
    small_project({"src/PKG/tasks/several.py": several})
    out = kart("graph", "Compare").out
    assert "Model(kind=tree)" in out
    assert "Model(kind=forest)" in out


def test_a_past_run_is_drawn_with_what_came_of_each_task(small_project, kart, graph):
    small_project({"src/PKG/tasks/failing.py": FAILING})
    assert kart("run", "Last").code == 1
    nodes, edges = graph("--run", "last")
    assert {label: (node["action"], node["state"]) for label, node in nodes.items()} == {
        "Numbers(size=7)": ("run", "done"),
        "Numbers(size=8)": ("run", "done"),
        "Fails": ("run", "failed"),
        "Last": ("run", "not started"),
    }
    assert edges == {("Numbers(size=7)", "Fails"), ("Fails", "Last"), ("Numbers(size=8)", "Last")}
    assert nodes["Fails"]["seconds"] is not None
    assert nodes["Last"]["seconds"] is None


def test_a_past_run_keeps_its_names_when_the_code_is_gone(small_project, kart, graph, several):
    root = small_project({"src/PKG/tasks/several.py": several})
    assert kart("run", "Compare").code == 0
    (root / "src").joinpath(next((root / "src").iterdir()).name, "tasks", "several.py").unlink()
    nodes, _ = graph("--run", "last")
    assert nodes.keys() == {"Numbers", "Total", "Model(kind=tree)", "Model(kind=forest)", "Compare"}


def test_a_part_of_a_past_run_is_drawn(small_project, kart, graph):
    small_project()
    kart("run")
    nodes, edges = graph("Total", "--run", "last")
    assert edges == {("Numbers", "Total")}
    unique_id = nodes["Total"]["id"]
    assert graph(unique_id[:8], "--run", "last")[1] == edges


def test_a_run_that_had_nothing_to_do_is_drawn_with_all_its_tasks(small_project, kart, graph):
    small_project()
    kart("run")
    kart("run")
    nodes, edges = graph("--run", "last")
    assert {node["action"] for node in nodes.values()} == {"skip"}
    assert edges == {("Numbers", "Total"), ("Numbers", "RunAll"), ("Total", "RunAll")}
    assert nodes["Numbers"]["params"] == {"size": "4"}


def test_tasks_that_were_complete_have_their_parameters_too(small_project, kart, graph):
    small_project()
    kart("run", "Numbers")
    kart("run")
    nodes, _ = graph("--run", "last")
    assert nodes["Numbers"]["params"] == {"size": "4"}
    assert nodes["Numbers"]["action"] == "skip"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run", "nope"], "no run is called 'nope'"),
        (["--run", "last~7"], "'last~7' goes too far back"),
        (["Totl", "--run", "last"], "did you mean 'Total'"),
        (["RunAll", "--run", "last"], "has no task RunAll"),
    ],
)
def test_an_unknown_run_or_task_is_refused(small_project, kart, words, message):
    small_project()
    kart("run")
    kart("run", "Total")
    typed = kart("graph", *words)
    assert typed.code == 2
    assert message in typed.err
    assert typed.out == ""


def test_a_picture_is_left_to_graphviz(small_project, kart):
    root = small_project()
    typed = kart("graph", "-o", "graph.SVG")
    assert typed.code == 2
    assert "kart graph --format dot | dot -Tsvg -o graph.SVG" in typed.err
    assert not (root / "graph.SVG").exists()


def test_without_any_run_the_first_is_suggested(small_project, kart):
    small_project()
    typed = kart("graph", "--run", "last")
    assert (typed.code, typed.out) == (0, "")
    assert "kart run makes the first" in typed.err


def test_what_is_too_large_for_mermaid_is_drawn_by_class_and_said(small_project, kart):
    small_project(
        {
            "src/PKG/tasks/many.py": """\
                from kart_runtime import TaskOnKart
                from PKG.tasks.numbers import Numbers

                class Many(TaskOnKart[int]):
                    def requires(self):
                        return [Numbers(size=size) for size in range(501)]
                """
        }
    )
    typed = kart("graph", "Many")
    assert typed.code == 0
    assert "Numbers<br/>501 tasks, run" in typed.out
    assert "t0 -->|501| t1" in typed.out
    assert typed.err.startswith("Mermaid draws at most 500 lines")
    assert "this is the graph of the classes" in typed.err


# -- to a file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "start"),
    [("g.mmd", "%% kart graph"), ("g.dot", "// kart"), ("g.gv", "// kart"), ("g.json", "{"), ("g", "%%")],
)
def test_the_name_of_the_file_says_the_format(small_project, kart, tmp_path, name, start):
    small_project()
    path = tmp_path / name
    typed = kart("graph", "-o", str(path))
    assert typed.out == f"Wrote the graph of 3 tasks to {path}.\n"
    assert path.read_text(encoding="utf-8").startswith(start)


def test_a_graph_is_replaced_and_another_file_only_by_force(small_project, kart, tmp_path):
    small_project()
    path = tmp_path / "graph.json"
    assert kart("graph", "-o", str(path)).code == 0
    assert kart("graph", "-o", str(path), "--format", "dot").code == 0
    path.write_text("{}")
    typed = kart("graph", "-o", str(path))
    assert typed.code == 2
    assert "--force" in typed.err
    assert path.read_text() == "{}"
    assert kart("graph", "-o", str(path), "--force").code == 0
    assert path.read_text() != "{}"


def test_a_file_that_cannot_be_written_is_refused(small_project, kart, tmp_path):
    small_project()
    assert "create it first" in kart("graph", "-o", str(tmp_path / "none" / "g.dot")).err
    assert "is a folder" in kart("graph", "-o", str(tmp_path)).err
