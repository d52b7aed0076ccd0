"""Labels of tasks: what they show, that each is of one task only, and what they cost."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime.history.labels import LabelNode, labels


def uid(number):
    return f"{random.Random(number).getrandbits(128):032x}"


class Tasks:
    """Tasks under construction: `add` returns what another task's parameter holds."""

    def __init__(self):
        self.nodes, self.upstream, self.numbers = [], [], {}

    def add(self, task, *upstream, module="project.tasks.model", **params):
        number = len(self.nodes)
        self.nodes.append(LabelNode(module, task, params, uid(number)))
        self.upstream.append([self.numbers[reference] for reference in upstream])
        reference = f"{task}[{uid(number)[:8]}]"
        self.numbers[reference] = number
        return reference

    @property
    def labels(self):
        return labels(self.nodes, self.upstream)


@pytest.fixture
def tasks():
    return Tasks()


def test_the_only_task_of_a_class_is_called_by_its_class(tasks):
    tasks.add("Load", day="1")
    tasks.add("Train", depth="3")
    assert tasks.labels == ["Load", "Train"]


def test_only_the_parameters_that_are_needed_are_shown(tasks):
    for kind in ("tree", "forest"):
        for depth in ("2", "4"):
            tasks.add("Train", kind=kind, depth=depth, copy=kind, seed="0")
    assert tasks.labels == [
        "Train(kind=tree, depth=2)",
        "Train(kind=tree, depth=4)",
        "Train(kind=forest, depth=2)",
        "Train(kind=forest, depth=4)",
    ]


def test_one_parameter_is_shown_rather_than_two(tasks):
    for number in range(4):
        tasks.add("Train", low=str(number % 2), high=str(number // 2), fold=str(number))
    assert tasks.labels == [f"Train(fold={number})" for number in range(4)]


def test_a_task_is_named_by_what_differs_in_the_task_that_it_holds(tasks):
    models = [tasks.add("Train", kind=kind) for kind in ("tree", "forest")]
    for model in models:
        tasks.add("Importance", model, model=model)
    assert tasks.labels[2:] == ["Importance(model=tree)", "Importance(model=forest)"]


def test_parameters_of_a_held_task_are_named_if_several_are_needed(tasks):
    models = [tasks.add("Train", kind=kind, depth=depth) for kind in ("tree", "forest") for depth in "24"]
    for model in models:
        tasks.add("Importance", model, model=model)
    assert tasks.labels[4] == "Importance(model.kind=tree, model.depth=2)"


def test_a_held_task_of_another_class_is_named_by_its_class(tasks):
    held = [tasks.add("Train"), tasks.add("Baseline")]
    for model in held:
        tasks.add("Importance", model, model=model)
    assert tasks.labels[2:] == ["Importance(model=Train)", "Importance(model=Baseline)"]


def test_a_task_that_holds_none_says_so(tasks):
    model = tasks.add("Train")
    tasks.add("Importance", model, model=model)
    tasks.add("Importance", model="None")
    assert tasks.labels[1:] == ["Importance(model=Train)", "Importance(model=None)"]


def test_a_difference_further_up_in_held_tasks_is_found(tasks):
    for day in ("1", "2"):
        held = tasks.add("Load", day=day)
        for name in ("Clean", "Split", "Train"):
            held = tasks.add(name, held, source=held)
    assert tasks.labels[::4] == ["Load(day=1)", "Load(day=2)"]
    assert tasks.labels[1::4] == ["Clean(source=1)", "Clean(source=2)"]
    assert tasks.labels[3::4] == ["Train(Load.day=1)", "Train(Load.day=2)"]


def test_lists_of_held_tasks_with_one_value_show_it_once(tasks):
    """As in a sweep, where each variant has all models with another depth."""
    for depth in "35":
        models = [tasks.add("Train", kind=kind, depth=depth) for kind in ("tree", "forest")]
        folds = [tasks.add("Score", model, fold=fold, model=model) for fold in "01" for model in models]
        tasks.add("Evaluate", *models, models=f"[{', '.join(models)}]")
        tasks.add("Validate", *folds, folds=f"[{', '.join(folds)}]")
    assert tasks.labels[6:8] == ["Evaluate(models.depth=3)", "Validate(Train.depth=3)"]
    assert tasks.labels[2] == "Score(fold=0, model.kind=tree, model.depth=3)"


def test_lists_of_held_tasks_show_what_differs_in_each(tasks):
    parts = [tasks.add("Part", n=str(n)) for n in range(9)]
    tasks.add("Sum", *parts[:2], parts=f"[{', '.join(parts[:2])}]")
    tasks.add("Sum", *parts, parts=f"[{', '.join(parts)}]")
    tasks.add("Sum", parts="[]")
    assert tasks.labels[9:] == ["Sum(parts=[0, 1])", "Sum(parts=[0, 1, … 6 more, 8])", "Sum(parts=[])"]


def test_a_value_upstream_that_differs_is_named_with_its_class_nearest_first(tasks):
    for depth in ("2", "4"):
        load = tasks.add("Load", day=depth)
        models = [tasks.add("Train", load, kind=kind, depth=depth) for kind in ("tree", "forest")]
        evaluate = tasks.add("Evaluate", *models)
        tasks.add("RunAll", evaluate)
    assert tasks.labels[3:5] == ["Evaluate(Train.depth=2)", "RunAll(Train.depth=2)"]
    assert tasks.labels[8:] == ["Evaluate(Train.depth=4)", "RunAll(Train.depth=4)"]


def test_own_and_upstream_values_together_tell_tasks_apart(tasks):
    for size in ("1", "2"):
        load = tasks.add("Load", size=size)
        for kind in ("tree", "forest"):
            tasks.add("Train", load, kind=kind)
    assert tasks.labels[1:3] == ["Train(kind=tree, Load.size=1)", "Train(kind=forest, Load.size=1)"]


def test_the_id_is_shown_where_nothing_differs_that_can_be_shown(tasks):
    tasks.add("Train", token="***")
    tasks.add("Train", token="***")
    assert tasks.labels == [f"Train[{uid(number)[:8]}]" for number in (0, 1)]


def test_the_id_is_added_to_what_differs_where_that_is_not_enough(tasks):
    tasks.add("Train", kind="tree")
    tasks.add("Train", kind="tree")
    tasks.add("Train", kind="forest")
    assert tasks.labels == [f"Train(kind=tree)[{uid(0)[:8]}]", f"Train(kind=tree)[{uid(1)[:8]}]", "Train(kind=forest)"]


def test_ids_that_begin_alike_are_shown_in_full():
    nodes = [LabelNode("m", "Train", {}, "12345678" + end * 24) for end in "ab"]
    assert labels(nodes, [[], []]) == [f"Train[{node.unique_id}]" for node in nodes]


def test_classes_of_one_name_are_told_apart_by_their_modules(tasks):
    tasks.add("Load", module="project.tasks.shops.load")
    tasks.add("Load", module="project.tasks.staff.load")
    tasks.add("Load", module="project.tasks.other")
    assert tasks.labels == ["shops.load.Load", "staff.load.Load", "tasks.other.Load"]


def test_long_values_are_shortened_to_what_differs(tasks):
    for name in ("a", "b"):
        tasks.add("Read", path=f"s3://bucket/{'folder/' * 20}{name}.csv")
        tasks.add("Query", sql=f"{name}{'x' * 10_000}{name}")
    assert tasks.labels[0] == "Read(path=…a.csv)"
    assert tasks.labels[1] == f"Query(sql=a{'x' * 26}…{'x' * 11}a)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", '""'), (" a", '" a"'), ("a\nb", r'"a\nb"'), ("\u202etxt", r'"\u202etxt"'), ("größer", "größer")],
)
def test_values_that_would_not_be_seen_are_quoted(tasks, text, shown):
    tasks.add("Read", sep=text)
    tasks.add("Read", sep="|")
    assert tasks.labels[0] == f"Read(sep={shown})"


def test_a_file_is_always_named_by_its_path(tasks):
    tasks.add("InputFile", module="kart_runtime.task.input_file", path="data/rows.csv")
    assert tasks.labels == ["InputFile(path=data/rows.csv)"]


# -- any tasks -------------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw):
    """Return tasks of few classes and values, in any graph, of which some hold what they require."""
    tasks = Tasks()
    references = []
    for _ in range(draw(st.integers(1, 25))):
        params = {
            name: draw(st.sampled_from(["1", "2", "", "A[1]", "x" * 50]))
            for name in draw(st.sets(st.sampled_from("pq")))
        }
        upstream = draw(st.lists(st.sampled_from(references), max_size=3, unique=True)) if references else []
        held = draw(st.sampled_from([None, "one", "list"]))
        if held == "one" and upstream:
            params["held"] = upstream[0]
        elif held == "list":
            params["held"] = f"[{', '.join(upstream)}]"
        references.append(
            tasks.add(draw(st.sampled_from("AB")), *upstream, module=draw(st.sampled_from(["m", "n.m"])), **params)
        )
    return tasks


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_labels_are_unique(tasks):
    assert len(set(tasks.labels)) == len(tasks.nodes)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_labels_do_not_depend_on_the_order_of_the_tasks(tasks, rng):
    order = list(range(len(tasks.nodes)))
    rng.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    shuffled = labels(
        [tasks.nodes[old] for old in order], [[place[each] for each in tasks.upstream[old]] for old in order]
    )
    assert shuffled == [tasks.labels[old] for old in order]


# -- cost ------------------------------------------------------------------------------------------------------------


def wide(number):
    return [LabelNode("m", "A", {"n": str(n), "kind": "tree", "path": "x" * 60}, uid(n)) for n in range(number)], [
        []
    ] * number


def held(number):
    """Return four classes, of which each holds a task of the one before."""
    part = number // 4
    tasks = Tasks()
    for n in range(part):
        reference = tasks.add("A", n=str(n))
        for name in "BCD":
            reference = tasks.add(name, reference, held=reference)
    return tasks.nodes, tasks.upstream


def chained(number):
    """Return tasks of one class that each hold the one before, and differ in nothing else."""
    tasks = Tasks()
    reference = tasks.add("A")
    for _ in range(number - 1):
        reference = tasks.add("A", reference, held=reference)
    return tasks.nodes, tasks.upstream


def dense(number):
    """Return tasks that differ in which of a hundred tasks they require."""
    rng = random.Random(0)
    first = [LabelNode("m", "A", {"n": str(n)}, uid(n)) for n in range(100)]
    rest = [LabelNode("m", "B", {}, uid(n)) for n in range(100, number)]
    return [*first, *rest], [[]] * 100 + [rng.sample(range(100), 50) for _ in rest]


@pytest.mark.parametrize("make", [wide, held, chained, dense])
def test_the_cost_grows_with_the_number_of_tasks_and_not_with_its_square(make):
    small, large = make(2_000), make(10_000)
    seconds = []
    for nodes, upstream in (small, large):
        tries = []
        for _ in range(3):  # a busy machine costs processor time as well
            began = time.process_time()
            assert len(set(labels(nodes, upstream))) == len(nodes)
            tries.append(time.process_time() - began)
        seconds.append(min(tries))
    assert seconds[1] < 15 * max(seconds[0], 0.05)  # 25 if it were the square
