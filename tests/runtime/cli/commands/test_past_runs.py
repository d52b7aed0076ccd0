"""`kart runs`, `show`, `diff` and `compare`."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from kart_runtime.history import tables
from tests.runtime.history import past

RUNS = [past.run_id(number) for number in range(3)]
TREE = {depth: past.uid(f"tree {depth}") for depth in (2, 4, 8)}
EVALUATE = {depth: past.uid(f"evaluate {depth}") for depth in (2, 4, 8)}


@pytest.fixture
def project(small_project, monkeypatch):
    """A project in which three variants have run; it is an hour after the last one."""
    root = small_project()
    past.variants(root / "outputs")
    now = past.START.timestamp() + 3 * 3600
    monkeypatch.setattr(tables, "time", SimpleNamespace(time=lambda: now))
    return root


def table(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_runs_are_listed_newest_first(project, kart):
    typed = kart("runs")
    assert (typed.code, typed.err) == (0, "")
    assert typed.lines == [
        "run                        when         took  result  what",
        f"{RUNS[2][:25]}  1 hour ago   4.2s  4 ran   EvaluateModels  TrainModel.max_depth=8",
        f"{RUNS[1][:25]}  2 hours ago  4.2s  4 ran   EvaluateModels  TrainModel.max_depth=2",
        f"{RUNS[0][:25]}  3 hours ago  4.2s  4 ran   EvaluateModels  TrainModel.max_depth=4",
        "3 runs; 3 shown (--all, --failed, --task TASK, --since 7d, --label TEXT)",
    ]


def test_runs_are_chosen_by_options(project, kart):
    run = past.run_id(5)
    failed = past.attempt(run, "LoadData", past.uid("load"), state="failed", error="ValueError: no file")
    past.put(
        project / "outputs",
        run,
        past.header(run, label="shallow"),
        failed,
        past.end(run, state="failed", ran=2, failed=1, not_started=3),
    )

    def shown(*options):
        return [each["run"] for each in json.loads(kart("runs", "--json", *options).out)]

    assert shown() == [run, *RUNS[::-1]]
    assert shown("--failed") == shown("--label", "shallow") == shown("--task", "LoadData") == [run]
    assert shown("--task", "SplitData") == [RUNS[0]]
    assert shown("--label", "none") == shown("--since", "1m") == []
    assert shown("--since", "99999d") == shown("--all") == [run, *RUNS[::-1]]
    assert "2 ran, 1 failed, 3 not started" in kart("runs", "--failed").out
    assert "label=shallow" in kart("runs", "--failed").out


def test_a_run_that_had_nothing_to_do_is_not_shown_unless_it_is_named(project, kart):
    run = past.run_id(5)
    tasks = past.tasks(run, [("LoadData", past.uid("load"), ())]) | {"verdicts": "s"}
    past.put(project / "outputs", run, past.header(run), tasks, past.end(run, ran=0, complete=1))
    assert run[:25] in kart("runs").lines[1]
    assert kart("show", "--json").out == kart("show", RUNS[2], "--json").out
    assert kart("diff", "--json").out == kart("diff", RUNS[1], RUNS[2], "--json").out
    assert kart("diff", RUNS[0], "--json").out == kart("diff", RUNS[0], RUNS[2], "--json").out
    assert run in kart("show", "last").out


def test_runs_as_json_and_csv(project, kart):
    found = json.loads(kart("runs", "--json").out)
    assert found[0]["overrides"] == {"tasks.model.train.TrainModel.max_depth": "8"}
    assert (found[0]["roots"], found[0]["state"], found[0]["seconds"], found[0]["ran"]) == (
        ["EvaluateModels"],
        "done",
        4.25,
        4,
    )
    assert found[0]["started"] == "2026-03-01T14:00:00+00:00"
    rows = list(csv.DictReader(io.StringIO(kart("runs", "--csv").out)))
    assert [row["run"] for row in rows] == RUNS[::-1]
    assert rows[0]["overrides.tasks.model.train.TrainModel.max_depth"] == "8"


def test_a_run_is_shown_with_its_tasks(project, kart):
    lines = kart("show", "last").lines
    assert lines[:5] == [
        f"run       {RUNS[2]}",
        "result    4 ran in 4.2s, 1 hour ago",
        "what      EvaluateModels  TrainModel.max_depth=8",
        "git       2222222 (changed files)",
        "host      vm",
    ]
    assert lines[7:] == [
        "task                     id        state   took   CPU  waited  metrics",
        f"TrainModel(kind=tree)    {TREE[8][:8]}  done   10.0s  1.0s    0.0s",
        f"TrainModel(kind=forest)  {past.uid('forest 8')[:8]}  done   10.0s  1.0s    0.0s",
        f"EvaluateModels           {EVALUATE[8][:8]}  done    1.5s  1.0s    0.0s  auc 0.98  loss 0.125",
    ]
    assert kart("show").out == kart("show", RUNS[2][:18]).out == "\n".join([*lines, ""])


@pytest.mark.parametrize("words", [["last~1", "TrainModel"], ["last~1", "p.tasks.TrainModel"]])
def test_the_tasks_of_a_class_are_shown_in_full(project, kart, words):
    typed = kart("show", *words)
    assert typed.lines[:5] == [
        f"TrainModel(kind=tree)  {TREE[2][:8]}   done in 4.0s, CPU 1.0s, waited 0.0s, on vm:1, 2 hours ago",
        f"  run     {RUNS[1][:25]} (last~1)",
        "  why     its output does not exist",
        f"  params  rows=SplitData[{past.uid('split')[:8]}]  kind=tree  max_depth=2",
        "  code    c0de, git 1111111 (changed files)",
    ]
    assert typed.lines[6].startswith("TrainModel(kind=forest)")


def test_a_task_is_shown_by_its_id(project, kart):
    (project / "outputs" / f"metrics_{EVALUATE[4]}.json").write_text("{}")
    typed = kart("show", EVALUATE[4][:8])
    assert typed.lines[0].startswith(f"EvaluateModels  {EVALUATE[4][:8]}   done in 1.5s")
    assert "  metrics auc 0.94  loss 0.25" in typed.lines
    assert f"  output  outputs/metrics_{EVALUATE[4]}.json  12 bytes" in typed.lines
    assert f"  output  outputs/metrics_{EVALUATE[2]}.json  12 bytes  (gone)" in kart("show", EVALUATE[2][:8]).lines
    (found,) = json.loads(kart("show", EVALUATE[4], "--json").out)
    assert (found["metrics"], found["run"]) == ({"auc": 0.94, "loss": 0.25}, RUNS[0])


def test_the_log_of_a_task_is_printed(small_project, kart):
    chatty = """
        import logging
        from kart_runtime import TaskOnKart

        class Chatty(TaskOnKart[int]):
            def run(self):
                logging.getLogger(__name__).warning("one of the words")
                self.dump(1)
        """
    small_project({"src/PKG/tasks/chatty.py": chatty})
    kart("run", "Chatty")
    assert "log: 1 lines (--log)" in kart("show", "Chatty").out
    assert "one of the words" not in kart("show", "Chatty").out
    assert "one of the words" in kart("show", "Chatty", "--log").out
    assert "one of the words" in json.loads(kart("show", "Chatty", "--log", "--json").out)[0]["log"]


def test_differences_of_two_runs(project, kart):
    assert kart("diff", "last~2", "last~1").lines == [
        f"runs      {RUNS[0][:25]} (3 hours ago) → {RUNS[1][:25]} (2 hours ago)",
        "settings  TrainModel.max_depth  4 → 2",
        "code      git  0000000 → 1111111 (changed files)",
        "tasks     1 in both, 3 replaced (TrainModel ×2 → EvaluateModels follow)",
        "            TrainModel  max_depth  4 → 2",
        "time      4.2s → 4.2s",
        "metrics   EvaluateModels  auc 0.94 → 0.92 (-2.1 %, worse)   loss 0.25 → 0.5 (+100.0 %, worse)",
    ]
    assert kart("diff").out == kart("diff", "last~1", "last").out == kart("diff", "last~1").out
    assert kart("diff", "last", "last").lines[-1] == "Nothing else differs."


def test_a_changed_file_is_named_as_what_all_follow(small_project, kart):
    root = small_project()
    for number, content in enumerate(("one", "two", "two")):
        run = past.run_id(number)
        load, split, train = (past.uid(f"{task} {content}") for task in ("load", "split", "train"))
        graph = past.tasks(run, [("Load", load, []), ("Split", split, [load]), ("Train", train, [split])])
        inputs = {"/srv/p/data/a.csv": f"xxh3_128:{past.uid(content)}", "/srv/p/data/b.csv": "xxh3_128:1"}
        ran = [past.attempt(run, "Split", split, inputs=inputs), past.attempt(run, "Train", train)]
        lines = [*(ran if number < 2 else []), past.end(run, git={"commit": "1" * 40} if number < 2 else {})]
        past.put(root / "outputs", run, past.header(run), graph, *lines)
    lines = kart("diff", RUNS[0], RUNS[1]).lines
    assert f"inputs    data/a.csv  {past.uid('one')[:8]} → {past.uid('two')[:8]}" in lines
    assert "tasks     0 in both, 3 replaced (Load → Split, Train follow)" in lines
    assert "b.csv" not in "".join(lines)
    rows = json.loads(kart("diff", RUNS[0], RUNS[1], "--json").out)["differences"]
    assert [row["name"] for row in rows if row["section"] == "inputs"] == ["/srv/p/data/a.csv"]
    assert kart("diff", RUNS[1], RUNS[2]).lines[1:] == [  # nothing is known of the commit of a run that ran nothing
        "tasks     3 in both",
        "time      4.2s → 4.2s",
        "Nothing else differs.",
    ]


def test_a_label_with_an_equals_sign_names_a_run(project, kart):
    for number, label in enumerate(("lr=0.1", "Train.depth=3"), 5):
        run = past.run_id(number)
        past.put(project / "outputs", run, past.header(run, label=label), past.end(run))
        assert kart("show", label).lines[0] == f"run       {run}"
        assert run[:25] in kart("diff", RUNS[0], label).lines[0]
    failed = kart("show", "Train.depth=4")
    assert (failed.code, "values cannot be set" in failed.err) == (2, True)


def test_differences_as_json_and_csv(project, kart):
    found = json.loads(kart("diff", "last~2", "last~1", "--json").out)
    assert (found["before"], found["after"], found["same_tasks"]) == (RUNS[0], RUNS[1], 1)
    assert {"section": "settings", "task": "", "name": "TrainModel.max_depth", "before": "4", "after": "2"} in found[
        "differences"
    ]
    rows = list(csv.DictReader(io.StringIO(kart("diff", "last~2", "last~1", "--csv").out)))
    assert {row["section"] for row in rows} == {"settings", "code", "tasks", "params", "time", "metrics"}


def test_variants_are_compared(project, kart):
    assert kart("compare", "EvaluateModels", "--sort", "auc").lines == [
        "TrainModel.max_depth     auc     loss  run     when",
        "                   8  0.98 *  0.125 *  last    1 hour ago",
        "                   4  0.94     0.25    last~2  3 hours ago",
        "                   2  0.92      0.5    last~1  2 hours ago",
        "3 variants; columns that never differ are left out (--all-columns); * best",
    ]


@pytest.mark.parametrize(
    ("options", "depths"),
    [
        ([], ["8", "2", "4"]),
        (["--sort", "max_depth"], ["2", "4", "8"]),
        (["--sort", "loss"], ["8", "4", "2"]),
        (["--sort", "loss", "--max"], ["2", "4", "8"]),
        (["--sort", "auc", "--min"], ["2", "4", "8"]),
    ],
)
def test_variants_are_sorted(project, kart, options, depths):
    found = json.loads(kart("compare", "EvaluateModels", "--json", *options).out)
    assert [row["values"]["TrainModel.max_depth"] for row in found["rows"]] == depths


def test_variants_with_all_columns_and_by_id(project, kart):
    every = json.loads(kart("compare", "EvaluateModels", "--all-columns", "--json").out)
    assert every["columns"] == [
        "TrainModel.kind",
        "TrainModel.max_depth",
        "SplitData.test_fraction",
        "auc",
        "loss",
    ]
    assert every["rows"][0]["values"]["TrainModel.kind"] == "forest, tree"
    chosen = json.loads(kart("compare", EVALUATE[4][:8], EVALUATE[2][:8], "--json").out)
    assert [row["unique_id"] for row in chosen["rows"]] == [EVALUATE[4], EVALUATE[2]]
    rows = list(csv.DictReader(io.StringIO(kart("compare", "EvaluateModels", "--csv").out)))
    assert (rows[0]["TrainModel.max_depth"], rows[0]["auc"], rows[0]["run"]) == ("8", "0.98", RUNS[2])


@pytest.mark.parametrize("command", ["runs", "show", "diff", "compare"])
def test_an_empty_history_says_how_to_make_a_run(small_project, kart, command):
    small_project()
    typed = kart(command)
    assert (typed.code, typed.out, typed.err) == (0, "no run yet in outputs; kart run makes the first\n", "")
    assert json.loads(kart(command, "--json").out) == []


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["show", "lst"], ["no run and no task is called 'lst'", "did you mean 'last'?"]),
        (["show", "TrainModl"], ["did you mean 'TrainModel'?"]),
        (["show", "last", "TrainModl"], ["no task that has run is called 'TrainModl'", "did you mean 'TrainModel'?"]),
        (["show", "last", "SplitData"], ["did not run SplitData"]),
        (["show", "last~7"], ["'last~7' goes too far back: there are only 3"]),
        (["show", "20260301T"], ["is the start of 3 runs", RUNS[0], RUNS[2]]),
        (["show", "a", "b", "c"], ["too many arguments: c"]),
        (["diff", "last", "nope"], ["no run is called 'nope'"]),
        (["diff", "a", "b", "c"], ["too many arguments"]),
        (["compare"], ["name the task to compare, one of EvaluateModels, SplitData, TrainModel"]),
        (["compare", "evaluatemodels"], ["did you mean 'EvaluateModels'?"]),
        (["compare", "EvaluateModels", "--sort", "acu"], ["no column is called 'acu'", "did you mean 'auc'?"]),
        (["compare", "EvaluateModels", "--sort", "TrainModel.kind"], ["never differs"]),
        (["compare", "EvaluateModels", "--max"], ["--sort METRIC"]),
        (["compare", "EvaluateModels", "TrainModel"], ["several tasks by their ids"]),
        (["runs", "last"], ["kart show last"]),
        (["runs", "--since", "yesterday"], ["'yesterday' is not a duration", "7d"]),
        (["runs", "--task", "Nope"], ["no task that has run is called 'Nope'"]),
        (["runs", "TrainModel.max_depth=2"], ["for which values cannot be set"]),
    ],
)
def test_a_mistake_says_what_there_is(project, kart, words, texts):
    typed = kart(*words)
    assert (typed.code, typed.out) == (2, "")
    for text in texts:
        assert text in typed.err


@pytest.mark.parametrize("word", ["Slow", "p.tasks.Slow", past.uid("slow")[:8], f"Slow[{past.uid('slow')[:8]}]"])
@pytest.mark.parametrize("state", ["died?", "failed"])
def test_a_task_that_a_run_names_and_that_was_never_attempted_is_known(project, kart, word, state):
    run = past.run_id(4)
    lines = [past.header(run), past.tasks(run, [("Slow", past.uid("slow"), [])])]
    lines += [past.end(run, state=state)] if state == "failed" else []
    past.put(project / "outputs", run, *lines)
    os.utime(project / f"outputs/log/runs/{run}.jsonl", (past.START.timestamp(),) * 2)
    typed = kart("show", word)
    assert typed.code == 2
    assert "no attempt of Slow" in typed.err
    assert f"({state}) names it: kart show {run}" in typed.err
    assert run in kart("show", run).out


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"verdicts": "', '"verdicts": null, "x": "'),
        ('"verdicts": "', '"verdicts": ["r"], "x": "'),
        ('"requires": [', '"requires": 5, "x": ['),
        ('"seconds": 1.5', '"seconds": NaN'),
        ('"seconds": 1.5', '"seconds": -Infinity'),
        ('"seconds": 1.5', f'"seconds": 1{"0" * 400}'),
        ('"seconds": 4.25', '"seconds": NaN'),
        ('"seconds": 4.25', f'"seconds": 1{"0" * 400}'),
        ('"cpu": ', '"cpu": NaN, "x": '),
        ('"outputs": [', '"outputs": [5, '),
        ('"log_files": [', '"log_files": [5, '),
    ],
)
def test_a_damaged_value_of_a_run_breaks_no_command(project, kart, before, after):
    for path in (project / "outputs/log/runs").glob("*.jsonl"):
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
    names = (["runs"], ["show"], ["show", "EvaluateModels"], ["show", EVALUATE[2][:8]], ["diff"], ["clean"], ["report"])
    for words in (*names, ["compare", "EvaluateModels"], ["gc"]):
        typed = kart(*words)
        assert typed.code in (0, 2)
        assert "kart itself" not in typed.err


def test_another_workspace_can_be_read(project, kart, tmp_path):
    past.put(tmp_path / "other", past.run_id(8), past.header(past.run_id(8)), past.end(past.run_id(8)))
    assert json.loads(kart("runs", f"run.workspace={tmp_path}/other", "--json").out)[0]["run"] == past.run_id(8)


def test_the_workspace_is_that_of_the_environment_and_of_groups(small_project, kart):
    root = small_project(
        {
            "conf/ci/run.yaml": "workspace: of-ci\n",
            "conf/groups/place/far.yaml": "run: {workspace: far-away}\nRunAll: {}\n",
        }
    )
    past.put(root / "of-ci", past.run_id(1), past.header(past.run_id(1)), past.end(past.run_id(1)))
    past.put(root / "far-away", past.run_id(2), past.header(past.run_id(2)), past.end(past.run_id(2)))
    assert [run["run"] for run in json.loads(kart("runs", "--env", "ci", "--json").out)] == [past.run_id(1)]
    assert [run["run"] for run in json.loads(kart("runs", "place=far", "--json").out)] == [past.run_id(2)]
    assert kart("runs").lines == ["no run yet in outputs; kart run makes the first"]


def test_damaged_files_are_shown_as_far_as_they_go(project, kart):
    folder = project / "outputs" / "log" / "runs"
    whole = (folder / f"{RUNS[1]}.jsonl").read_text()
    (folder / f"{RUNS[1]}.jsonl").write_text(whole[: len(whole) // 2])
    strange = past.attempt(
        past.run_id(6),
        "Str\u202eange\n",
        past.uid("x"),
        params={"text": "</script>\t" + "x" * 10_000},
        error=5,
        metrics=[1],
    )
    (folder / f"{past.run_id(6)}.jsonl").write_text(
        past.text({"run": 5, "roots": 7, "overrides": [1]}, strange, [1], {"end": []}) + "{"
    )
    (folder / "foreign.jsonl").write_text('{"a": 1}\n[]\nno json')
    (folder / f"{past.run_id(7, past.START.replace(year=2099))}.jsonl").write_text(
        past.text(past.header(past.run_id(7)))
    )
    for words in (
        ["runs"],
        ["show"],
        ["show", "last~1"],
        ["show", past.uid("x")[:8]],
        ["diff", "last~2", "last~1"],
        ["compare", "TrainModel"],
    ):
        typed = kart(*words)
        assert (typed.code, typed.err) == (0, ""), words
        assert "\u202e" not in typed.out
        assert max(map(len, typed.lines)) < 1000
    assert kart("runs").lines[1].startswith("20990301")
    assert kart("runs").lines[-1].startswith("5 runs")


def test_variants_whose_parameters_are_the_same_have_ids(project, kart):
    """Another file from outside makes another task with the same parameters."""
    assert "  id  " not in kart("compare", "EvaluateModels").lines[0]
    run = past.run_id(9)
    models = [TREE[8], past.uid("forest 8")]
    graph = [("SplitData", past.uid("split"), []), *(("TrainModel", model, [past.uid("split")]) for model in models)]
    graph.append(("EvaluateModels", past.uid("other file"), models))
    again = past.attempt(run, "EvaluateModels", past.uid("other file"), metrics={"auc": 0.5})
    past.put(project / "outputs", run, past.header(run), past.tasks(run, graph), again, past.end(run))
    lines = [line.split() for line in kart("compare", "EvaluateModels").lines]
    assert lines[0][-3:] == ["id", "run", "when"]
    assert past.uid("other file")[:8] in lines[1]
    assert EVALUATE[8][:8] in lines[2]


def test_a_table_that_is_too_wide_is_turned(project, kart, monkeypatch):
    run = past.run_id(9)
    metrics = {f"metric_{number}": 0.123456 for number in range(8)}
    again = past.attempt(run, "EvaluateModels", EVALUATE[8], metrics=metrics)
    past.put(project / "outputs", run, past.header(run), again, past.end(run))
    wide = kart("compare", "EvaluateModels").lines
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    turned = kart("compare", "EvaluateModels").lines
    assert [line.split()[0] for line in turned[:-1]] == wide[0].split()
    assert max(map(len, turned)) <= 80
    assert "…" not in "".join(turned)


def test_a_narrow_terminal_gets_short_lines(project, kart, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "50")
    for words in (["runs"], ["compare", "EvaluateModels"], ["diff"], ["show"]):
        lines = [line for line in kart(*words).lines if "--" not in line]
        assert max(map(len, lines)) <= 50
    assert "\x1b" not in kart("runs").out


IMPORTED = """
import sys
from kart_runtime.cli import main
assert main(sys.argv[1:]) == 0
print(sorted({"luigi", "pandas", "numpy", "omegaconf"} & set(sys.modules)))
"""


@pytest.mark.parametrize("words", [["runs"], ["show"], ["diff"], ["compare", "EvaluateModels"]])
def test_neither_tasks_nor_luigi_are_imported(project, words):
    done = subprocess.run([sys.executable, "-c", IMPORTED, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
