"""`kart why`, and the same causes in `kart plan`, `kart run` and the records."""

from __future__ import annotations

import csv
import importlib
import io
import json
import linecache
import re
import signal
import subprocess
import sys

import pytest

from kart_runtime.history.records import forget_records
from kart_runtime.history.runs import read_records
from tests.runtime.run_files import put_cut_and_foreign

MODEL = """
    import os

    import luigi

    from kart_runtime import InputFile, TaskInstanceParameter, TaskOnKart, WrapperTask
    from PKG.lib import score


    class Load(TaskOnKart[int]):
        path: str = luigi.Parameter(default="data/rows.json")

        def requires(self):
            return InputFile[list[int]](path=self.path)

        def run(self):
            self.dump(sum(self.load()))


    class Train(TaskOnKart[int]):
        kind: str = luigi.Parameter(default="tree")
        depth: int = luigi.IntParameter(default=3)
        rate: float = luigi.FloatParameter(default=0.1)
        rows = TaskInstanceParameter(default=Load())

        def run(self):
            if self.depth == 66:
                raise ValueError("too deep")
            if self.depth == 77:
                os.kill(os.getpid(), 9)
            self.dump(self.load("rows") + self.depth)


    class Evaluate(TaskOnKart[int]):
        def requires(self):
            return [Train(kind="tree"), Train(kind="forest")]

        def run(self):
            self.dump(score(sum(self.load())))


    class All(WrapperTask):
        def requires(self):
            return Evaluate()


    class Dated(TaskOnKart[int]):
        number: int = luigi.IntParameter()

        def run(self):
            self.dump(self.number)


    class Lonely(TaskOnKart[int]):
        day: str = luigi.Parameter()

        def run(self):
            self.dump(1)
"""

FILES = {
    "src/PKG/tasks/numbers.py": None,
    "src/PKG/tasks/pipeline.py": None,
    "src/PKG/tasks/model.py": MODEL,
    "src/PKG/lib.py": "def score(value):\n    return value * 2\n",
    "conf/base/run.yaml": "task: All\nworkspace: outputs/\ncode_changed: warn\n",
    "conf/base/tasks/numbers.yaml": None,
    "conf/base/tasks/pipeline.yaml": None,
    "conf/base/tasks/model.yaml": "Train:\n  depth: 4\n",
    "data/rows.json": "[1, 2]",
    "data/more.json": "[7]",
}


@pytest.fixture
def project(small_project):
    """A project with two trained models of some rows, and their evaluation."""
    return small_project(FILES)


@pytest.fixture
def typed(project, kart, monkeypatch):
    """Return a function that types a command with the code that the files have now."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # which Python tells from old ones by the second

    def run(*words):
        for name in [name for name in sys.modules if name.partition(".")[0] == module_of(project).parts[-3]]:
            del sys.modules[name]
        importlib.invalidate_caches()
        linecache.checkcache()
        done = kart(*words)
        assert done.code == 0, done.err
        return done.out + done.err

    return run


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def module_of(project):
    return next(project.glob("src/*/tasks/*.py"))


def reasons(workspace="outputs"):
    """Return the recorded reason of the newest attempt of each class."""
    return {record.task: record.reason for record in read_records(workspace)}


def answer(kart, *words):
    """Return the causes of `kart why --json`, by label."""
    done = kart("why", *words, "--json")
    assert done.code == 0, done.err
    return {task["label"]: task for task in json.loads(done.out)["tasks"]}


# -- parameters ------------------------------------------------------------------------------------------------------


def test_a_parameter_that_differs_is_named_with_both_origins(project, kart):
    assert kart("run", "--quiet").code == 0
    done = kart("why", "Train", "Train.depth=2")
    first, nearest, row, *_ = done.lines
    assert re.fullmatch(r"Train\(kind=tree\)\[[0-9a-f]{8}\] would run: it has never run with these parameters\.", first)
    assert re.fullmatch(r"Nearest earlier: [0-9a-f]{8}, done just now \(run \d{8}T\d{6}Z-\w+\)\. Differs:", nearest)
    assert re.split(r" {2,}", row.strip()) == ["Train(kind=tree)", "depth", "4 → 2", "command line"]

    assert kart("run", "Train.depth=2", "--quiet").code == 0
    (project / "conf/base/tasks/model.yaml").write_text("Train:\n  # deeper\n  depth: 5\n")
    difference = answer(kart, "Train")["Train(kind=tree)"]["cause"]["differences"][0]
    assert difference == {
        "task": "Train(kind=tree)",
        "name": "depth",
        "before": "2",
        "after": "5",
        "origin_before": "command line",
        "origin": "conf/base/tasks/model.yaml:3",
        "steps": 0,
    }


def test_plan_run_and_the_record_say_the_same_in_a_few_words(project, kart):
    assert kart("run", "--quiet").code == 0
    planned = kart("plan", "Train.depth=2").out
    assert re.search(r"run +Train\(kind=tree\) +[0-9a-f]{8} +depth 4 → 2 \(command line\)\n", planned)
    assert re.search(r"run +Evaluate +[0-9a-f]{8} +upstream: Train ×2 \(depth 4 → 2\)\n", planned)
    ran = kart("run", "Train.depth=2")
    assert "Train (2 tasks): depth 4 → 2 (command line)\n" in ran.out
    assert "Evaluate: upstream: Train ×2 (depth 4 → 2)\n" in ran.out
    assert reasons()["Train"] == "depth 4 → 2 (command line)"
    assert reasons()["Evaluate"] == "upstream: Train ×2 (depth 4 → 2)"


def test_the_nearest_has_the_fewest_different_parameters(project, kart):
    for words in (["Train.depth=2", "Train.rate=0.5"], ["Train.depth=8", "Train.rate=0.9"]):
        assert kart("run", *words, "--quiet").code == 0
    cause = answer(kart, "Train", "Train.depth=9", "Train.rate=0.5")["Train(kind=tree)"]["cause"]
    assert [(one["name"], one["before"], one["after"]) for one in cause["differences"]] == [("depth", "2", "9")]
    assert "rate 0.5 → 0.7 (command line" in kart("plan", "Train.depth=2", "Train.rate=0.7").out


def test_the_walk_goes_up_to_the_first_task_whose_own_parameters_differ(project, kart):
    assert kart("run", "--quiet").code == 0
    done = kart("why", "Evaluate", "Train.depth=2")
    assert done.lines[0].endswith("would run: it has never run with these inputs.")
    assert done.lines[1].endswith("Differs upstream, 1 step away:")
    rows = [re.split(r" {2,}", line.strip()) for line in done.lines[2:]]
    assert rows == [[f"Train(kind={kind})", "depth", "4 → 2", "command line"] for kind in ("tree", "forest")]


def test_a_chain_is_compared_with_one_earlier_chain(project, kart):
    assert kart("run", "--quiet").code == 0
    assert kart("run", "Train.depth=2", "--quiet").code == 0
    (project / "data/rows.json").write_text("[1, 2, 3]")
    for label, task in answer(kart).items():
        if label != "All":
            assert task["cause"]["text"] == "data/rows.json changed", label
            assert task["cause"]["kind"] == "input"


def test_several_causes_at_once_are_told_beside_the_first(project, kart):
    assert kart("run", "--quiet").code == 0
    (project / "data/rows.json").write_text("[1, 2, 3]")
    cause = answer(kart, "Train", "Train.depth=2")["Train(kind=tree)"]["cause"]
    assert cause["text"] == "depth 4 → 2 (command line)"
    assert cause["notes"] == ["data/rows.json changed, 2 steps upstream."]


def test_the_variants_of_a_sweep_are_compared_each(project, kart):
    assert kart("run", "--quiet").code == 0
    told = kart("why", "Train.depth=2,8", "Train.kind=tree", "--json")
    changes = {
        (one["before"], one["after"], one["origin"])
        for task in json.loads(told.out)["tasks"]
        for one in task["cause"]["differences"]
        if one["name"] == "depth"
    }
    assert changes == {("4", "2", "command line"), ("4", "8", "command line")}
    assert kart("run", "Train.depth=2,8", "--quiet").code == 0
    (project / "conf/base/tasks/model.yaml").write_text("Train:\n  depth: 9\n")
    planned = kart("plan").out
    assert re.search(r"depth (2|8) → 9 \(conf/base/tasks/model.yaml:2; before: command line\)", planned)


def test_the_answer_as_csv_has_a_row_for_each_difference(project, kart):
    kart("run")
    rows = list(csv.DictReader(io.StringIO(kart("why", "Evaluate", "Train.depth=9", "--csv").out)))
    differing = [(row["differs.name"], row["differs.before"], row["differs.after"]) for row in rows]
    expected = answer(kart, "Evaluate", "Train.depth=9")
    assert differing == [
        (each["name"], each["before"], each["after"])
        for task in expected.values()
        for each in task["cause"]["differences"]
    ]
    assert differing


def test_a_secret_is_named_and_not_shown(project, kart, monkeypatch):
    (project / "conf/base/tasks/model.yaml").write_text("Train:\n  kind: ${oc.env:KIND_OF_TREE}\n")
    monkeypatch.setenv("KIND_OF_TREE", "hunter-one")
    edit(module_of(project), 'luigi.Parameter(default="tree")', "SecretParameter()")
    edit(module_of(project), "TaskOnKart, WrapperTask", "SecretParameter, TaskOnKart, WrapperTask")
    edit(module_of(project), '[Train(kind="tree"), Train(kind="forest")]', "[Train()]")
    done = kart("run", "--quiet")
    assert done.code == 0, done.err
    monkeypatch.setenv("KIND_OF_TREE", "hunter-two")
    told = kart("plan").out + kart("why", "Train").out + kart("why", "Train", "--json").out
    assert "hunter" not in told
    if re.search(r"run +Train", told):
        assert "kind changed, which is secret" in told


def test_each_partition_of_a_range(project, kart):
    assert kart("run", "Lonely", "day=1", "--quiet").code == 0
    labels = answer(kart, "Dated", "--range", "number=1..2")
    assert [task["cause"]["text"] for task in labels.values()] == ["never run before"] * 2
    assert kart("run", "Dated", "number=1", "--quiet").code == 0
    causes = {label: task["cause"]["kind"] for label, task in answer(kart, "Dated", "--range", "number=1..2").items()}
    assert causes == {"Dated(number=1)": "complete", "Dated(number=2)": "parameters"}


@pytest.mark.parametrize("options", [[], ["--executor", "threads", "--workers", "2"], ["--executor", "processes"]])
def test_every_executor_records_the_same_reason(project, kart, options):
    assert kart("run", "--quiet").code == 0
    assert kart("run", "Train.depth=2", "--quiet", *options).code == 0
    assert reasons()["Train"] == "depth 4 → 2 (command line)"


def test_in_a_bucket_with_few_requests(project, kart, s3_bucket):
    workspace = f"run.workspace={s3_bucket.url}/ws"
    assert kart("run", workspace, "--quiet").code == 0

    def requests(*words):
        forget_records()
        s3_bucket.proxy.reset()
        done = kart(*words, workspace, "Train.depth=2")
        return done.out, len(s3_bucket.proxy.requests)

    kart("plan", workspace, "Train.depth=2")
    told, number = requests("plan")
    assert "depth 4 → 2 (command line)" in told
    without = requests("plan", "--no-history")[1]
    assert number <= without + 1, "one list of the runs"
    assert "depth  4 → 2  command line" in requests("why", "Train")[0]


# -- inputs ----------------------------------------------------------------------------------------------------------


def test_a_changed_file_from_outside_is_named_with_checksums_size_and_time(project, kart):
    assert kart("run", "--quiet").code == 0
    (project / "data/rows.json").write_text("[1, 2, 3]")
    assert re.search(r"run +Load +[0-9a-f]{8} +data/rows.json changed\n", kart("plan").out)
    (difference,) = answer(kart, "Load")["Load"]["cause"]["differences"]
    assert (difference["task"], difference["name"], difference["steps"]) == ("data/rows.json", "content", 1)
    assert re.fullmatch(r"[0-9a-f]{8}", difference["before"])
    assert re.fullmatch(r"[0-9a-f]{8} \(9 bytes, written \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)", difference["after"])
    assert answer(kart, "Load", "Load.path=data/more.json")["Load"]["cause"]["text"].startswith("path data/rows.json →")


def test_an_input_that_was_loaded_and_has_changed(project, kart):
    """An output of another task, which is replaced: with code_changed=rerun what has loaded it runs again."""
    assert kart("run", "--quiet").code == 0
    (path,) = project.glob("outputs/small_*/**/Load_*.pkl")
    path.write_bytes(path.read_bytes()[:-3] + b"K\x09.")
    tasks = answer(kart, "Train", "run.code_changed=rerun", "run.on_corrupt=recompute")
    cause = tasks["Train(kind=tree)"]["cause"]
    assert cause["kind"] in ("input", "maybe")
    assert kart("why", "Load", "run.on_corrupt=recompute").lines[0].endswith(".pkl.")


# -- code ------------------------------------------------------------------------------------------------------------


def git(*words):
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=n@example.com", *words], check=True, capture_output=True
    )


def test_changed_code_is_named_with_its_file_and_commits(project, typed):
    git("init", "-q")
    (project / ".gitignore").write_text("outputs\n__pycache__\n")
    git("add", "-A")
    git("commit", "-qm", "first")
    typed("run", "--quiet")
    lib = next(project.glob("src/*/lib.py"))
    edit(lib, "* 2", "* 3")
    git("commit", "-qam", "second")
    told = typed("why", "Evaluate")
    assert re.search(r"Evaluate\[\w+\] is up to date: run \S+ made its output just now, in 0\.\d s\.", told)
    changed = r"its code changed: \w+/lib.py: score \(git [0-9a-f]{7} → [0-9a-f]{7}\); kart does not run again for that"
    assert re.search(changed, told)
    reruns = typed("why", "Evaluate", "run.code_changed=rerun")
    assert re.search(r"Evaluate\[\w+\] would run: its code changed: \w+/lib.py: score\.", reruns)
    assert re.search(r"Besides: git [0-9a-f]{7} → [0-9a-f]{7}", reruns)
    both = typed("why", "Evaluate", "Train.depth=2")
    assert "depth  4 → 2  command line" in both
    assert re.search(r"Besides: the code has changed since: \w+/lib.py: score \(git \w{7} → \w{7}\)\.", both)


def test_code_in_the_id(project, typed):
    edit(project / "conf/base/tasks/model.yaml", "depth: 4", "depth: 4\n  serialized_task_definition_check: true")
    typed("run", "--quiet")
    edit(module_of(project), "+ self.depth", "- self.depth")
    told = typed("plan")
    assert "its code changed, which is a part of its id (serialized_task_definition_check)" in told
    assert re.search(r"run +Evaluate +\w+ +upstream: Train ×2 \(its code changed, which is a part of its id", told)


def test_a_class_that_moved_and_one_that_was_renamed(project, typed):
    typed("run", "--quiet")
    before = module_of(project)
    after = before.with_name("train.py")
    before.rename(after)
    conf = project / "conf/base/tasks"
    (conf / "model.yaml").rename(conf / "train.yaml")
    assert re.search(r"run +Evaluate +\w+ +its class was in \w+\.tasks\.model, and its output is stored", typed("plan"))
    after.rename(before)
    (conf / "train.yaml").rename(conf / "model.yaml")
    edit(before, "Evaluate", "Judge")
    told = typed("plan")
    assert re.search(r"run +Judge +\w+ +its class was \w+\.tasks\.model\.Evaluate\n", told)


def test_a_new_parameter_and_a_new_requirement(project, typed):
    typed("run", "--quiet")
    edit(module_of(project), "    rate: float", "    width: int = luigi.IntParameter(default=1)\n    rate: float")
    assert "width 1 is new (default)" in typed("plan")
    edit(module_of(project), "    width: int = luigi.IntParameter(default=1)\n", "")
    edit(module_of(project), 'Train(kind="forest")]', 'Train(kind="forest"), Load()]')
    assert re.search(r"run +Evaluate +\w+ +requires Load now\n", typed("plan"))
    edit(module_of(project), ', Train(kind="forest"), Load()]', "]")
    assert re.search(r"run +Evaluate +\w+ +no longer requires Train\n", typed("plan"))


# -- what happened before --------------------------------------------------------------------------------------------


def test_a_file_that_is_gone_and_who_wrote_it(project, kart):
    assert kart("run", "--quiet").code == 0
    (path,) = project.glob("outputs/small_*/**/Evaluate_*.pkl")
    size = path.stat().st_size
    path.unlink()
    assert re.search(r"Evaluate +\w+ +its output is gone, which run \S+ wrote: outputs/\S+\.pkl\n", kart("plan").out)
    told = kart("why", "Evaluate").out
    assert re.search(rf"Run \S+ wrote it just now, in 0\.\d s: outputs/\S+\.pkl, {size} bytes\.", told)
    assert "not kart: its log files are still there" in told
    assert kart("run", "--quiet").code == 0
    assert kart("clean", "Evaluate", "--yes").code == 0
    assert "what has deleted it is `kart clean` or `kart gc`." in kart("why", "Evaluate").out


def test_the_message_of_a_failure_is_one_line_without_codes_for_terminals(small_project, kart):
    fails = """
        from kart_runtime import TaskOnKart


        class Bad(TaskOnKart[int]):
            def run(self):
                raise ValueError("\\x1b[2J\\u202e" + "x" * 500)
    """
    small_project({"src/PKG/tasks/failing.py": fails})
    assert kart("run", "Numbers", "--quiet").code == 0
    (failed,) = [line for line in kart("run", "Bad").lines if "FAILED" in line]
    assert "ValueError: \\x1b[2J\\u202exxx" in failed
    (planned,) = [line for line in kart("plan", "Bad").lines if "it failed in run" in line]
    assert "ValueError: \\x1b[2J\\u202exxx" in planned
    assert planned.endswith("x…")


def test_a_failure_before(project, kart):
    assert kart("run", "--quiet").code == 0
    assert kart("run", "Train.depth=66", "--quiet").code == 1
    tasks = answer(kart, "Train", "Evaluate", "Train.depth=66")
    failed = tasks["Train(kind=tree)"]["cause"]
    assert re.fullmatch(r"it failed in run \S+: ValueError: too deep", failed["text"])
    assert failed["notes"] == ["compared with the nearest run that was done: depth 4 → 66 (command line)."]
    assert "ended before it, since a task upstream failed" in tasks["Evaluate"]["cause"]["text"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_run_that_was_killed(project, kart, kart_process):
    assert kart("run", "--quiet").code == 0
    killed = kart_process("run", "Train.depth=77", "--quiet")
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    told = kart("plan", "Train.depth=77").out
    assert re.search(r"Train\(kind=tree\) +\w+ +run \S+ died before it was done", told)  # its process is gone


def test_rerun_says_who_asked(project, kart):
    assert kart("run", "--quiet").code == 0
    told = kart("why", "Evaluate", "--rerun").out
    assert "Evaluate" in told
    assert "would run: rerun is set." in told
    assert "Besides: --rerun was given." in told
    assert "rerun is set in: command line" in kart("why", "Evaluate", "Evaluate.rerun=true").out


# -- what does not run -----------------------------------------------------------------------------------------------


def test_a_task_that_is_up_to_date_says_which_run_made_it_and_with_what(project, kart):
    assert kart("run", "--quiet").code == 0
    first, *rows = kart("why", "Train").out.partition("\n\n")[0].splitlines()
    assert re.fullmatch(
        r"Train\(kind=tree\)\[\w+\] is up to date: run \S+ made its output just now, in 0\.\d s\.", first
    )
    told = [re.split(r" {2,}", row.strip()) for row in rows]
    assert told[:3] == [
        ["kind", "tree", "default"],
        ["depth", "4", "conf/base/tasks/model.yaml:2"],
        ["rate", "0.1", "default"],
    ]
    assert kart("why", "InputFile").lines[0].split("]")[1].startswith(" is up to date: it comes from outside")


def test_tasks_in_a_parameter_are_told_apart(small_project, kart):
    both = """
        import luigi
        from kart_runtime import ListTaskInstanceParameter, TaskOnKart

        class Model(TaskOnKart[int]):
            kind: str = luigi.Parameter()

            def run(self):
                self.dump(1)

        class Both(TaskOnKart[int]):
            models = ListTaskInstanceParameter(default=[Model(kind="tree"), Model(kind="forest")])

            def run(self):
                self.dump(2)
        """
    small_project({"src/PKG/tasks/both.py": both})
    assert kart("run", "Both", "--quiet").code == 0
    assert re.search(r"models +\[Model\(kind=tree\), Model\(kind=forest\)\]", kart("why", "Both").out)


def test_a_wrapper_is_complete_when_what_it_requires_is(project, kart):
    assert re.search(r"run +All +\w+ +not all that it requires is complete\n", kart("plan").out)
    assert kart("run", "--quiet").code == 0
    assert re.search(r"skip +All +\w+ +all that it requires is complete\n", kart("plan").out)
    told = kart("why", "All", "Train.depth=2").lines
    assert told[0].endswith("would run: not all that it requires is complete.")
    assert re.fullmatch(r"  Evaluate +\w{8} +upstream: Train ×2 \(depth 4 → 2\)", told[1])


# -- words -----------------------------------------------------------------------------------------------------------


def test_a_task_is_named_by_class_module_or_the_beginning_of_its_id(project, kart):
    assert kart("run", "--quiet").code == 0
    task = answer(kart, "Train")["Train(kind=forest)"]
    for word in (task["id"], task["id"][:6]):
        assert [one["id"] for one in answer(kart, word).values()] == [task["id"]]
    assert answer(kart, "model.Train") == answer(kart, "tasks.model.Train") == answer(kart, "Train")
    assert answer(kart, "Train", "depth=2") == answer(kart, "Train", "Train.depth=2")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["Trian"], "did you mean 'Train'?"),
        (["abc"], "at least 6 characters of an id"),
        (["abcdef0123"], "no task of the plan has an id that begins with abcdef0123"),
        (["Lonely"], "day"),
        (["Train.depth"], "Train.depth=VALUE"),
        (["Train.dpeth=2"], "depth"),
    ],
)
def test_what_is_no_task_is_refused(project, kart, words, text):
    assert kart("run", "--quiet").code == 0
    done = kart("why", *words)
    assert done.code == 2
    assert text in done.err
    assert "Traceback" not in done.err


def test_a_task_that_the_plan_of_run_task_has_not(project, kart):
    assert kart("run", "--quiet").code == 0
    first, *_ = kart("why", "Lonely", "day=monday").lines
    assert first.endswith("would run: never run before. No earlier run of Lonely is recorded in outputs/.")


# -- histories -------------------------------------------------------------------------------------------------------


def test_without_a_history_the_plan_says_what_it_said(project, kart):
    assert "Evaluate" in kart("plan").out
    assert "its output does not exist: outputs/" in kart("plan").out
    told = kart("why", "Evaluate").out
    assert "would run: its output does not exist: outputs/" in told
    assert "No earlier run of Evaluate is recorded in outputs/." in told
    assert kart("run", "--quiet").code == 0
    assert "depth 4 → 2" in kart("plan", "Train.depth=2").out
    without = kart("plan", "Train.depth=2", "--no-history").out
    assert "depth 4 → 2" not in without
    assert "its output does not exist: outputs/" in without


def test_a_damaged_history_is_a_warning_at_most(project, kart, monkeypatch):
    assert kart("run", "--quiet").code == 0
    put_cut_and_foreign(project / "outputs")
    for words in (["plan"], ["why"], ["why", "Train"], ["run", "--quiet"]):
        done = kart(*words, "Train.depth=2")
        assert done.code == 0, done.err
        assert "Traceback" not in done.err

    def broken(workspace):
        raise ValueError("no such table")

    monkeypatch.setattr("kart_runtime.history.index.open_index", broken)
    for words in (["plan"], ["why"], ["why", "Train"], ["run", "--quiet"]):
        done = kart(*words, "Train.depth=5")
        assert done.code == 0, done.err
        assert "Traceback" not in done.err


def test_records_of_versions_without_edges_and_parameters_of_tasks(project, kart):
    """Those of earlier versions: no line of what tasks require, and tasks as long texts."""
    assert kart("run", "--quiet").code == 0
    (path,) = (project / "outputs/log/runs").glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.pop("requires", None)
        line.pop("verdicts", None)
        if line.get("params", {}).get("rows"):
            line["params"]["rows"] = "425a68" + "0" * 300
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    planned, asked = kart("plan", "Train.depth=2"), kart("why", "Train.depth=2")
    assert "depth 4 → 2 (command line)" in planned.out
    assert not re.search(r"requires \w+ now", planned.out + asked.out)  # it did before, too
    assert "Traceback" not in asked.err
