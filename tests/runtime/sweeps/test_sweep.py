"""`kart run` and `kart plan` with several values of a key: variants, shared tasks, refusals, failures and records."""

from __future__ import annotations

import json

import pytest

from kart_runtime import TaskOnKart
from kart_runtime.history.runs import list_runs, read_runs


def planned(typed):
    """Return the line about variants, without the tasks."""
    (line,) = [line for line in typed.lines if " variants: " in line]
    return line.partition(";")[0]


GRAMMAR = [
    ("Train.depth=2,4,8", "3 variants: Train.depth 2, 4, 8"),
    ("Train.depth=1..9..4", "3 variants: Train.depth 1, 5, 9"),
    ("Train.depth=1..3,7", "4 variants: Train.depth 1, 2, 3, 7"),
    ("Train.rate=0..1..0.5", "3 variants: Train.rate 0, 0.5, 1"),
    ("Train.kind=*", "2 variants: Train.kind forest, tree"),
    ("Train.kind=tree, forest", "2 variants: Train.kind tree, forest"),
    ("Train.size=*", "2 variants: Train.size SMALL, LARGE"),
    ("Train.flag=*", "2 variants: Train.flag false, true"),
    ("Train.flag=true,false", "2 variants: Train.flag true, false"),
    ("Train.note=a,b", "2 variants: Train.note a, b"),
    ('Train.note="a,b",c', "2 variants: Train.note a,b, c"),
    ('Train.note="",x', '2 variants: Train.note "", x'),
    ("Train.layers=[1,2],[3]", "2 variants: Train.layers [1,2], [3]"),
    ("Train.options={a: 1, b: 2},{a: 2}", "2 variants: Train.options {a: 1, b: 2}, {a: 2}"),
    ("Train.options.a=1,2", "2 variants: Train.options.a 1, 2"),
    ("Train.day=2026-01-01,2026-01-03", "2 variants: Train.day 2026-01-01, 2026-01-03"),
    ("run.seed=1..3", "3 variants: run.seed 1, 2, 3"),
    ("Train.depth=1..40", "40 variants: Train.depth 1, 2, 3, 4, 5, 6, 7, 8, ..., 40"),
]


def test_each_form_of_several_values_makes_its_variants(model_project, kart):
    model_project()
    for word, line in GRAMMAR:
        assert planned(kart("plan", word)) == line


def test_combinations_share_what_is_upstream_of_all(model_project, kart):
    model_project()
    typed = kart("plan", "Train", "Train.depth=2,4", "Train.kind=tree,forest", "Train.note=x")
    assert typed.lines[-2:] == [
        "4 variants: Train.depth 2, 4 × Train.kind tree, forest; 5 tasks, 1 shared",
        "5 tasks: 5 to run, 0 complete",
    ]


ONE_VALUE = [
    'Train.note="a,b"',
    "Train.note=../data",
    "Train.note=*",
    "Train.layers=[1,2]",
    "Train.options={a: 1, b: 2}",
]


def test_protected_commas_make_no_variants(model_project, kart):
    model_project()
    for word in ONE_VALUE:
        typed = kart("plan", "Train", word)
        assert typed.code == 0, typed.err
        assert typed.lines[-1].startswith("2 tasks: ")
    assert kart("run", "Train", ONE_VALUE[0], "--quiet").code == 0
    (run,) = read_runs("outputs", list_runs("outputs"))
    assert [record.params["note"] for record in run.records if record.task == "Train"] == ["a,b"]


REFUSED = [
    (["Train.depth=1,,2"], "has an empty value", "expected: Train.depth=1,2"),
    (["Train.depth=1,"], "has an empty value", "expected: Train.depth=1"),
    (["Train.note=a,"], "has an empty value", "or Train.note='\"a,\"' for one text"),
    (["Train.depth=2,4,2"], "2 is there twice", "expected: Train.depth=2,4"),
    (["Train.rate=1,1.0"], "1 and 1.0 are one value", "Train.rate=1"),
    (
        ["Train.depth=2", "model.Train.depth=4"],
        "set twice: Train.depth=2 and model.Train.depth=4",
        "Train.depth=2,4",
    ),
    (["run.workers=2", "--workers", "3"], "it is set twice", "one of them"),
    (["Train.note=a, b"], "has a blank beside a comma", "'Train.note=a,b' for 2 values, or Train.note='\"a, b\"'"),
    (["Train.layers=1,2"], "is no list", "Train.layers='[1,2]', or Train.layers='[1],[2]' to run each"),
    (["Train.layers=[1,2"], "has no closing ]", ""),
    (["Train.depth={2,4}"], "is one list or map", "Train.depth=2,4 to run each"),
    (["Train.depth=[2,4]"], "is one list or map", "Train.depth=2,4 to run each"),
    (["Train.depth=*"], "no list of values", "Train.depth=1..9"),
    (["Train.depth=9..1"], "ends before it begins; write 1..9", ""),
    (["Train.rate=0..0.5"], "needs a step", ""),
    (["Train.depth=1..9 log"], "'log' is for kart search", ""),
    (["Train.day=2026-01-01..2026-01-03"], "range of dates", "--range day=2026-01-01..2026-01-03"),
    (["run.workspace=a/,b/"], "cannot differ within one run", ""),
    (["run.workers=1,2"], "cannot differ within one run", ""),
    (["Train.quiet=*"], "not significant", ""),
    (["Load", "Train.depth=1,2"], "its values change nothing of Load", ""),
    (["Train.depth=1..101"], "101 variants, more than 100", "--max-variants 101"),
    (["Train.depth=1..20", "Train.kind=*", "--max-variants", "39"], "40 variants (20 x 2), more than 39", "40"),
    (["--max-variants", "5"], "no key has any", ""),
]


def test_what_cannot_be_meant_is_refused_with_what_to_write(model_project, kart):
    root = model_project()
    for words, message, expected in REFUSED:
        for command in ("run", "plan"):
            if "--workers" in words and command == "plan":
                continue
            typed = kart(command, *words)
            assert (typed.code, typed.out) == (2, ""), words
            assert message in typed.err
            assert expected in typed.err
            assert "nothing was run or changed" in typed.err
    assert not (root / "outputs").exists()


def test_every_bad_value_of_each_list_is_told_at_once(model_project, kart):
    model_project()
    typed = kart("run", "Train.depth=2,x,4,y", "Train.kind=tree,fores", "Train.rat=1,2")
    assert typed.code == 2
    for message in ("got str 'x'", "got str 'y'", "did you mean 'forest'", "has no parameter 'rat'"):
        assert typed.err.count(message) == 1, typed.err


def test_other_commands_take_one_value(model_project, kart):
    model_project()
    typed = kart("tree", "Train.depth=2,4")
    assert typed.code == 2
    assert "kart tree takes one value for each key" in typed.err


def test_a_comma_in_a_file_is_a_part_of_the_text(model_project, kart):
    model_project({"conf/base/tasks/model.yaml": "Train:\n  note: a,b\n"})
    assert not any("variants" in line for line in kart("plan").lines)


def test_references_and_options_of_groups_follow_the_variant(model_project, kart):
    model_project(
        {
            "conf/base/shared.yaml": "size: 1\n",
            "conf/base/tasks/model.yaml": "Train:\n  depth: ${shared.size}\n",
            "conf/groups/model/big.yaml": "Train:\n  note: big\n  rate: 9\n",
            "conf/groups/model/small.yaml": "Train:\n  note: small\n",
        }
    )
    typed = kart("run", "Train", "shared.size=2,3", "model=*")
    assert "4 variants: shared.size 2, 3 × model big, small; 5 tasks, 1 shared" in typed.lines
    (run,) = read_runs("outputs", list_runs("outputs"))
    trained = [each.params for each in run.records if each.task == "Train"]
    found = {tuple(params[name] for name in ("depth", "note", "rate")) for params in trained}
    assert found == {("2", "big", "9.0"), ("2", "small", "0.5"), ("3", "big", "9.0"), ("3", "small", "0.5")}


def test_a_group_that_changes_settings_of_the_run_is_refused(model_project, kart):
    model_project({f"conf/groups/size/{name}.yaml": f"run:\n  workers: {n}\n" for n, name in enumerate(("a", "b"), 1)})
    typed = kart("run", "size=a,b")
    assert typed.code == 2
    assert "change settings of run or logging" in typed.err


def test_a_failed_variant_stops_only_what_is_downstream_of_it(model_project, kart):
    model_project()
    typed = kart("run", "Train.depth=2,13,4")
    assert typed.code == 1
    assert "3 variants: 2 done, 1 failed:" in typed.lines, typed.lines
    assert "  Train.depth=13" in typed.lines
    again = kart("run", "Train.depth=2,13,4")
    assert any("0 ran" in line and "1 failed" in line for line in again.lines)


def test_the_header_names_keys_values_and_roots(model_project, kart):
    model_project()
    kart("run", "Train.depth=2,4", "Train.kind=tree,forest", "--quiet")
    (run,) = read_runs("outputs", list_runs("outputs"))
    sweep = run.header["sweep"]
    full = next(name for name in run.graph.tasks if name.task == "Train").module
    assert [key.rpartition(".")[0] for key in sweep["keys"]] == [f"{full.partition('.')[2]}.Train"] * 2
    assert sweep["variants"] == [["2", "tree"], ["2", "forest"], ["4", "tree"], ["4", "forest"]]
    reports = [[name.unique_id] for name in run.graph.tasks if name.task == "Report"]
    assert sorted(sweep["roots"]) == sorted(reports)
    assert [root for roots in sweep["roots"] for root in roots] == run.header["roots"]


def test_a_run_without_several_values_has_no_sweep_in_its_header(model_project, kart):
    model_project()
    kart("run", "Train", "Train.depth=2", "--quiet")
    (run,) = read_runs("outputs", list_runs("outputs"))
    assert "sweep" not in run.header


AMBIGUOUS = """
    import threading

    from kart_runtime import TaskOnKart
    from PKG.tasks.model import Train


    class Threaded(TaskOnKart[str]):
        def requires(self):
            return Train()

        def run(self):
            found = []

            def ask():
                try:
                    found.append(f"{Train(depth=1).depth} {Train(depth=1).rate}")
                    found.append(str(Train().depth))
                except Exception as error:
                    found.append(f"{type(error).__name__}: {error}")

            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
            self.dump(" | ".join(found))
"""


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_a_thread_of_the_user_does_not_guess_the_variant(model_project, kart, executor):
    root = model_project({"src/PKG/tasks/threaded.py": AMBIGUOUS, "conf/base/run.yaml": "workspace: outputs/\n"})
    typed = kart("run", "Threaded", "Train.depth=2,4", "run.suffix_by_type=true", "--executor", executor, "--quiet")
    assert typed.code == 0, typed.err
    texts = [path.read_text() for path in root.glob("outputs/**/Threaded_*") if "log" not in path.parts]
    assert len(texts) == 2
    for text in texts:
        assert "1 0.5 | AmbiguousVariant: Train.depth has several values in this run" in text


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_seeds_are_variants_although_a_seed_is_in_no_other_id(model_project, kart, executor):
    root = model_project()
    typed = kart("run", "Train", "run.seed=1..3", "--executor", executor)
    assert typed.code == 0, typed.err
    assert typed.lines[0] == "3 variants: run.seed 1, 2, 3; 6 tasks"
    assert any(line.startswith("6 tasks: 6 ran") for line in typed.lines)
    assert any("0 ran, 6 already complete" in line for line in kart("run", "Train", "run.seed=1..3").lines)
    for seed in ("1", "2"):
        kart("run", "Train", f"run.seed={seed}", "--quiet")
    assert len([path for path in root.glob("outputs/**/Train_*.pkl") if "log" not in path.parts]) == 4


def test_the_table_at_the_end_has_the_metrics_of_each_variant(model_project, kart):
    model_project()
    typed = kart("run", "Train.depth=2,4", "Train.note=a,b", "--quiet")
    assert [line.split() for line in typed.lines[1:]] == [
        ["Train.depth", "Train.note", "score", "steps", "five"],
        ["2", "a", "6.5", "10", "10"],
        ["2", "b", "6.5", "10", "10"],
        ["4", "a", "8.5", "*", "20", "*", "20", "*"],
        ["4", "b", "8.5", "20", "20"],
        ["*", "best"],
    ]


# -- a file ----------------------------------------------------------------------------------------------------------


def test_a_file_holds_the_same_values(model_project, kart):
    root = model_project()
    (root / "sweep.yaml").write_text("Train.depth: [2, 4]\nTrain:\n  kind: [tree, forest]\n  note: ['a,b', '1..3']\n")
    line = planned(kart("plan", "--sweep", "sweep.yaml"))
    assert line == "8 variants: Train.depth 2, 4 × Train.kind tree, forest × Train.note a,b, 1..3"
    assert planned(kart("plan", "--sweep", "sweep.yaml", "Train.rate=1,2")).startswith("16 variants: Train.rate 1, 2 ×")


def test_a_file_may_list_the_variants(model_project, kart):
    root = model_project()
    combinations = [{"Train.depth": 2, "Train.kind": "tree"}, {"Train.depth": 4, "Train.kind": "forest"}]
    (root / "sweep.yaml").write_text(json.dumps(combinations))
    typed = kart("run", "Train", "--sweep", "sweep.yaml")
    assert typed.code == 0, typed.err
    assert typed.lines[0] == "2 variants: (Train.depth, Train.kind) (2, tree), (4, forest); 3 tasks, 1 shared"


BAD_FILES = [
    ("", "is empty"),
    ("just text\n", "holds str 'just text'"),
    ("Train.depth: 2\n", "expected a list, got int 2"),
    ("Train.depth: []\n", "the list is empty"),
    ("Train.dept: [1, 2]\n", "has no parameter 'dept'"),
    ("Train.depth: [1, x]\n", "got str 'x'"),
    ("Train.note: [1, 2]\n", "expected text, got int 1"),
    ("Train.depth: [2, 2]\n", "2 is there twice"),
    ("run.workers: [1, 2]\n", "cannot differ within one run"),
    ("- Train.depth: 1\n- Train.kind: tree\n", "it lacks Train.depth"),
    ("- {Train.depth: 1}\n- {Train.depth: 1}\n", "it is the same as entry 1"),
    ("- 1\n", "expected a map, got int 1"),
    ("a: [1\n", "not valid YAML"),
]


def test_a_wrong_file_is_refused(model_project, kart):
    root = model_project()
    for text, message in BAD_FILES:
        (root / "sweep.yaml").write_text(text)
        typed = kart("plan", "--sweep", "sweep.yaml")
        assert typed.code == 2, (text, typed.out)
        assert message in typed.err, (text, typed.err)
    assert "cannot be read" in kart("plan", "--sweep", "other.yaml").err
    (root / "sweep.yaml").write_text("Train.depth: [1, 2]\n")
    assert "it is in sweep.yaml, too" in kart("plan", "--sweep", "sweep.yaml", "Train.depth=3").err


# -- a range of dates -------------------------------------------------------------------------------------------------


def test_a_range_runs_for_each_variant(model_project, kart):
    model_project()
    typed = kart("run", "Train", "--range", "day=2026-01-01..2026-01-03", "Train.depth=2,4", "--workers", "1")
    assert typed.code == 0, typed.err
    assert typed.lines[0] == "2 variants: Train.depth 2, 4; 7 tasks, 1 shared"
    assert "7 tasks: 7 ran" in "\n".join(typed.lines)


def test_the_cost_of_a_variant_does_not_grow_with_their_number(model_project, kart, monkeypatch):
    model_project()
    equals, calls = TaskOnKart.__eq__, []
    monkeypatch.setattr(TaskOnKart, "__eq__", lambda self, other: calls.append(1) or equals(self, other))
    numbers = []
    for last in (30, 90):
        calls.clear()
        assert kart("plan", f"Train.depth=1..{last}").code == 0
        numbers.append(len(calls) / last)
    assert numbers[1] < 1.5 * numbers[0]
