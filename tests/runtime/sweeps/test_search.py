"""`kart search`: what it tries, prints and remembers."""

from __future__ import annotations

import builtins
import json
import shlex
import shutil
import sys

import pytest

from kart_runtime.history.runs import list_runs, read_runs

GOAL = ("search", "Evaluate", "--metric", "score", "--max")


def trials(typed):
    """Return the numbers of the trials that were run."""
    return [int(line.split()[1].partition("/")[0]) for line in typed.lines if line.startswith("trial ") and "/" in line]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_best_value_is_found_and_its_command_repeats_it(model_project, kart, sampler):
    model_project()
    typed = kart(*GOAL, "Train.depth=2..8", "--trials", "7", "--sampler", sampler, "--seed", "3")
    assert typed.code == 0, typed.err
    assert typed.lines[0] == (
        f"search: highest score of Evaluate; Train.depth 2..8; sampler {sampler}; label search-Evaluate"
    )
    assert trials(typed) == [1, 2, 3, 4, 5, 6, 7]
    assert "7 trials: 7 done" in typed.lines
    table = [line.split() for line in typed.lines[typed.lines.index("7 trials: 7 done") + 1 : -1]]
    assert table[0] == ["trial", "Train.depth", "score"]
    assert table[1][1:] == ["6", "10.5", "*"]
    assert sorted(row[1] for row in table[1:]) == ["2", "3", "4", "5", "6", "7", "8"]
    assert typed.lines[-1] == "best: kart run Evaluate Train.depth=6"
    again = kart(*shlex.split(typed.lines[-1].removeprefix("best: kart ")))
    assert any("0 ran" in line for line in again.lines)


def test_the_same_command_resumes_from_the_records(model_project, kart):
    root = model_project()
    command = (*GOAL, "Train.depth=2..40", "--sampler", "random", "--seed", "1")
    first = kart(*command, "--trials", "3")
    assert trials(first) == [1, 2, 3]
    second = kart(*command, "--trials", "5")
    assert second.lines[1] == "3 trials of this label known"
    assert trials(second) == [4, 5]
    assert trials(kart(*command, "--trials", "5")) == []
    once = kart(*command, "--trials", "5", "--label", "other", f"run.workspace={root}/other/", "--json")
    assert [trial["number"] for trial in json.loads(once.out)["trials"]] == [1, 2, 3, 4, 5]
    values = [set(trial["values"].values()) for trial in json.loads(once.out)["trials"]]
    resumed = json.loads(kart(*command, "--trials", "5", "--json").out)["trials"]
    assert sorted(map(sorted, values)) == sorted(sorted(trial["values"].values()) for trial in resumed)


def test_trials_of_another_configuration_do_not_count(model_project, kart):
    model_project()
    command = (*GOAL, "Train.depth=2..8", "--sampler", "random")
    kart(*command, "--trials", "3")
    typed = kart(*command, "--trials", "3", "Train.note=changed")
    assert typed.lines[1] == "3 left out: of another configuration, or without the metric"
    assert trials(typed) == [1, 2, 3]


def test_a_failed_trial_is_told_and_the_search_goes_on(model_project, kart):
    model_project()
    typed = kart(*GOAL, "Train.depth=12,13,14", "--trials", "5", "--sampler", "tpe")
    assert typed.code == 0
    assert "3 trials: 2 done, 1 failed; all values were tried" in typed.lines
    assert any(line.endswith("Train.depth=13  failed: ValueError: unlucky") for line in typed.lines)
    assert "unlucky" in typed.err
    assert typed.lines[-1] == "best: kart run Evaluate Train.depth=12"


@pytest.mark.parametrize("options", [("threads", "3"), ("processes", "2")], ids=lambda options: options[0])
def test_several_trials_run_at_once(model_project, kart, options):
    model_project()
    executor, workers = options
    words = ("Train.depth=2..8", "Train.rate=0..1", "Train.kind=*", "--trials", "8", "--seed", "1")
    typed = kart(*GOAL, *words, "--executor", executor, "--workers", workers)
    assert typed.code == 0, typed.err
    assert sorted(trials(typed)) == list(range(1, 9))
    (run,) = read_runs("outputs", list_runs("outputs"))
    assert run.header["label"] == "search-Evaluate"
    assert sum(record.task == "Load" for record in run.records) == 1
    evaluated = {name.unique_id for name in run.graph.tasks if name.task == "Evaluate"}
    assert len(evaluated) == 8
    assert run.end["state"] == "done"


def test_a_complete_trial_is_measured_by_its_record(model_project, kart):
    model_project()
    kart("run", "Evaluate", "Train.depth=2..4", "--quiet")
    typed = kart(*GOAL, "Train.depth=2..4", "--trials", "9", "--sampler", "random")
    assert typed.lines[-1] == "best: kart run Evaluate Train.depth=4"
    assert "3 trials: 3 done; all values were tried" in typed.lines


def test_a_complete_trial_without_a_record_does_not_end_the_search(model_project, kart):
    root = model_project()
    kart("run", "Evaluate", "Train.depth=2", "--quiet")
    shutil.rmtree(root / "outputs" / "log" / "runs")
    typed = kart(*GOAL, "Train.depth=2..4", "--trials", "9", "--sampler", "random")
    assert typed.code == 0
    assert "3 trials: 2 done, 1 failed; all values were tried" in typed.lines
    assert sum("no record has its metrics" in line for line in typed.lines) == 1
    assert typed.lines[-1] == "best: kart run Evaluate Train.depth=4"


def test_lower_is_better_with_min_and_logarithms(model_project, kart):
    model_project()
    words = ("Train.rate=1e-4..1e-1 log", "--trials", "6", "--sampler", "random", "--seed", "5", "--json")
    found = json.loads(kart("search", "Evaluate", "--metric", "score", "--min", *words).out)
    rates = [float(value) for trial in found["trials"] for value in trial["values"].values()]
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    assert sum(rate < 1e-2 for rate in rates) >= 2
    assert found["best"]["score"] == min(trial["score"] for trial in found["trials"])
    assert found["best"]["command"][:3] == ["kart", "run", "Evaluate"]


def test_an_unknown_metric_is_refused_after_the_first_trial(model_project, kart):
    model_project()
    typed = kart("search", "Evaluate", "--metric", "scor", "--max", "Train.depth=2..8", "--trials", "5")
    assert typed.code == 2
    assert "Evaluate has no metric scor" in typed.err
    assert "did you mean 'score'" in typed.err
    assert "expected: score, steps, five" in typed.err
    (run,) = read_runs("outputs", list_runs("outputs"))
    assert sum(record.task == "Evaluate" for record in run.records) == 1


REFUSED = [
    (["Train.depth=3"], "no key has several values"),
    (["Load", "Train.depth=2..3"], "its values change nothing of Load"),
    (["Train.depth=8..2"], "ends before it begins"),
    (["Train.depth=0..8 log"], "begins at 0 or below"),
    (["Train.depth=2..8..2 log"], "cannot have a step"),
    (["Train.kind=tree,fores"], "did you mean 'forest'"),
    (["Train.depth=2..3", "Train.depth=4"], "set twice"),
    (["Evaluate", "Train", "Train.depth=2..3"], "measures one task"),
    (["Train.depth=2..3", "--trials", "0"], "at least 1"),
    (["Train.depth=2..3", "--sampler", "tp"], "did you mean 'tpe'"),
    (["run.workers=1,2"], "cannot differ within one run"),
    (["Train.dept=2..3"], "Train has no parameter 'dept'"),
]


def test_what_cannot_be_searched_is_refused(model_project, kart):
    root = model_project()
    for words, message in REFUSED:
        typed = kart("search", "--metric", "score", "--max", *words)
        assert (typed.code, typed.out) == (2, ""), words
        assert message in typed.err, (words, typed.err)
    assert not (root / "outputs").exists()


def test_without_optuna_random_still_works(model_project, kart, monkeypatch):
    model_project()
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "optuna":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    typed = kart(*GOAL, "Train.depth=2..3", "--sampler", "tpe")
    assert typed.code == 2
    assert "kart-runtime[search]" in typed.err
    assert kart(*GOAL, "Train.depth=2..3", "--trials", "1").lines[0].endswith("sampler random; label search-Evaluate")


INTERRUPTED = """
    import os
    import signal

    import luigi
    from kart_runtime import TaskOnKart


    class Measure(TaskOnKart[float]):
        number: int = luigi.IntParameter(default=1)

        def run(self):
            if os.path.exists("interrupt"):
                os.remove("interrupt")
                signal.raise_signal(signal.SIGINT)
            self.log_metric("number", self.number)
            open("interrupt", "w").close() if self.number % 2 and not os.path.exists("once") else None
            self.dump(1.0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_keeps_the_trials_that_have_ended(model_project, kart):
    root = model_project({"src/PKG/tasks/measure.py": INTERRUPTED, "conf/base/run.yaml": "workspace: outputs/\n"})
    command = ("search", "Measure", "--metric", "number", "--max", "Measure.number=1,3,5,7", "--sampler", "random")
    typed = kart(*command)
    assert typed.code == 130
    assert typed.lines.count("1 trial: 1 done") == 1
    assert typed.lines[-1].startswith("best: kart run Measure Measure.number=")
    (root / "once").touch()
    again = kart(*command)
    assert again.code == 0
    assert again.lines[1] == "1 trial of this label known"
    assert trials(again) == [2, 3, 4]
    assert again.lines[-1] == "best: kart run Measure Measure.number=7"


def test_a_search_resumes_from_a_bucket(model_project, kart, bucket):
    model_project({"conf/base/run.yaml": f"workspace: {bucket.url}/w/\n"})
    command = (*GOAL, "Train.depth=2..8", "--sampler", "random", "--seed", "3")
    assert trials(kart(*command, "--trials", "2")) == [1, 2]
    again = kart(*command, "--trials", "3")
    assert again.lines[1] == "2 trials of this label known"
    assert trials(again) == [3]
    swept = kart("run", "Report", "Train.depth=2,4", "--workers", "2", "--executor", "threads", "--quiet")
    assert swept.code == 0
    table = [line.split()[:2] for line in swept.lines[1:]]
    assert table == [["Train.depth", "score"], ["2", "6.5"], ["4", "8.5"], ["*", "best"]]
