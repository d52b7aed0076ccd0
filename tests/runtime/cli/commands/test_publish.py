"""`kart publish`: a fixed name for an output, a list of what had it, and the way back."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pytest

from kart_runtime import load_published

MODEL = '''
    """A model, its score, and what uses it."""

    import luigi

    from kart_runtime import Published, TaskOnKart


    class Train(TaskOnKart[dict]):
        """Train."""

        depth: luigi.IntParameter = luigi.IntParameter(default=1)
        token: luigi.Parameter = luigi.Parameter(default="none")

        def run(self):
            self.task_log["accuracy"] = 0.9 + self.depth / 100
            self.dump({"depth": self.depth})


    class Report(TaskOnKart[dict]):
        """Two outputs."""

        def output(self):
            return {"table": self.make_target("table.json"), "text": self.make_target("text.txt")}

        def run(self):
            self.dump({"a": 1}, "table")
            self.dump("x", "text")


    class Predict(TaskOnKart[int]):
        """Use what is published."""

        def requires(self):
            return Published[dict]("models/current.pkl")

        def run(self):
            self.dump(self.load()["depth"] * 10)
'''
PATH = "models/current.pkl"


@pytest.fixture
def root(small_project):
    return small_project({"src/PKG/tasks/model.py": MODEL})


@pytest.fixture
def two(root, kart):
    """A project that has published depth 1 and then depth 2."""
    for depth in (1, 2):
        assert kart("publish", "Train", f"Train.depth={depth}", "--as", PATH, "--run").code == 0
    return root


def value(root, path=PATH):
    return load_published(str(root / "outputs"), path)


def test_an_output_is_published_and_gone_back_from(root, kart):
    kart("run", "Train")
    typed = kart("publish", "Train", "--as", PATH)
    assert typed.code == 0
    assert re.fullmatch(rf"Published Train\[\w{{8}}\] \(\w{{8}}, \d+ bytes\) as {PATH}: outputs/{PATH}", typed.lines[0])
    assert value(root) == {"depth": 1}
    again = kart("publish", "Train", "--as", PATH)
    assert (again.code, again.lines[0].startswith(f"{PATH} has this content already: Train[")) == (0, True)
    typed = kart("publish", "Train", "Train.depth=2", "--as", PATH, "--run")
    assert typed.code == 0
    assert typed.lines[-1].startswith("Before it was Train[")
    assert typed.lines[-1].endswith(f"To go back: kart publish --back {PATH}")
    typed = kart("publish", "--back", PATH)
    assert typed.code == 0
    assert value(root) == {"depth": 1}
    undo = re.search(r"To undo this: kart (.*)", typed.out)[1]
    assert kart(*undo.split()).code == 0
    assert value(root) == {"depth": 2}


def test_a_promotion_runs_what_uses_it_and_a_step_back_finds_it_again(two, kart):
    assert kart("run", "Predict").lines[-2].startswith("2 tasks: 1 ran")
    kart("publish", "--back", PATH)
    assert re.search(rf"Published\({PATH}: Train\[\w{{8}}\]\)", kart("plan", "Predict").out)
    assert kart("plan", "Predict").lines[-1] == "2 tasks: 1 to run, 1 complete"
    kart("run", "Predict")
    kart("publish", "--back", PATH, "--to", kart("publish", "--list", PATH).lines[1].split()[1])
    assert kart("plan", "Predict").lines[-1] == "2 tasks: 0 to run, 2 complete"
    assert re.search(rf"Published\({PATH}: Train\[\w{{8}}\]\)  done", kart("tree", "Predict").out)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_publications_are_not_written_through_a_linked_folder_of_log_files(root, kart, tmp_path):
    assert kart("run", "Train").code == 0
    (tmp_path / "out").mkdir()
    (root / "outputs/log/published").symlink_to(tmp_path / "out")

    typed = kart("publish", "Train", "--as", PATH)

    assert (typed.code, list((tmp_path / "out").iterdir())) == (2, [])
    assert "run.outside_paths" in typed.err
    assert kart("publish", "Train", "--as", PATH, "run.outside_paths=allow").code == 0


def test_the_list_says_which_one_counts(two, kart):
    kart("publish", "Report", "--key", "table", "--as", "table.json", "--run")
    typed = kart("publish", "--list")
    assert [line for line in typed.lines if not line.startswith(" ")] == [f"outputs/{PATH}", "", "outputs/table.json"]
    newest, oldest = typed.lines[1:3]
    assert re.fullmatch(r"  \*  \w{8}  Train\[\w{8}\]  [\d-]{10} [\d:]{5} UTC  \d+ bytes  accuracy=0\.92", newest)
    assert oldest.split()[-1] == "accuracy=0.91"
    kart("publish", "--back", PATH)
    newest, oldest = kart("publish", "--list", PATH).lines[1:]
    assert (newest.split()[0], oldest.split()[0]) == ("-", "*")
    (two / "outputs" / PATH).write_bytes(b"by hand")
    assert kart("publish", "--list", PATH).lines[1].split()[:1] == ["*"]
    assert "not by kart" in kart("publish", "--list", PATH).lines[1]
    (two / "outputs" / PATH).unlink()
    assert "no file" in kart("publish", "--list", PATH).lines[1]


def test_the_record_holds_no_secret(root, kart, monkeypatch):
    monkeypatch.setenv("TOKEN", "very-secret")
    (root / "conf/base/tasks/model.yaml").write_text("Train:\n  token: ${oc.env:TOKEN}\n")
    assert kart("publish", "Train", "--as", PATH, "--run").code == 0
    records = [path.read_text() for path in (root / "outputs/log/published").rglob("*.json")]
    assert records
    assert not any("very-secret" in text for text in records)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["Train", "--as", PATH], "Train is not complete: its output does not exist"),
        (["Train"], "no name is given, and Train has no attribute publish. Write: kart publish Train --as PATH"),
        ([], "name the task whose output to publish"),
        (["Trin", "--as", PATH], "Trin"),
        (["Train", "--as", "x.zip"], "Train stores .pkl"),
        (["Train", "--as", "../x.pkl"], "stays in the workspace"),
        (["Train", "--as", "/tmp/x.pkl"], "not a path below the workspace"),
        (["Train", "--as", "log/x.pkl"], "belongs to kart"),
        (["Report", "--as", "x.json"], "Report has several: its outputs are table, text. Name one of them: --key"),
        (["Report", "--as", "x.json", "--key", "tabel"], "Report has no output 'tabel'; its outputs are table, text"),
        (["Train", "Report", "--as", "x.pkl"], "Train Report stands for 2 tasks: Train, Report. Name one"),
        (["--back", PATH], f"nothing is published as '{PATH}' in outputs"),
        (["--list", PATH], f"nothing is published as '{PATH}' in outputs"),
        (["--list", "--as", PATH], "--list cannot be combined with --as"),
        (["--to", "1"], "Write: --back PATH --to ID"),
    ],
)
def test_what_cannot_be_published_is_refused_with_the_reason(root, kart, words, error):
    typed = kart("publish", *words)
    assert (typed.code, typed.out) == (2, "")
    assert error in typed.err
    assert "othing was run or changed" in typed.err
    assert not (root / "outputs").exists() or not list((root / "outputs").rglob("*.pkl"))


def test_a_step_that_is_too_far_is_refused(two, kart):
    assert f"{PATH} has only 1 earlier publication to go back to" in kart("publish", "--back", PATH, "2").err
    assert "'0' is not a number of steps" in kart("publish", "--back", PATH, "0").err
    assert "none of its publications has an id that begins with 'zzzz'" in kart("publish", "--back", PATH, "zzzz").err
    assert "too many arguments" in kart("publish", "--back", PATH, "1", "2").err
    assert f"did you mean '{PATH}'?" in kart("publish", "--back", "models/curent.pkl").err
    assert value(two) == {"depth": 2}
    kart("publish", "--back", PATH)
    assert f"{PATH} has no earlier publications to go back to" in kart("publish", "--back", PATH).err
    assert kart("publish", "--list", "run.workspace=elsewhere").lines == ["Nothing is published in elsewhere."]


def test_what_is_missing_is_explained_by_plan_and_run(root, kart):
    hint = f"Nothing is published as {PATH} in the workspace outputs"
    plan, run = kart("plan", "Predict"), kart("run", "Predict")
    assert (plan.code, run.code) == (1, 1)
    for text in (plan.out, run.err):
        assert hint in text
        assert f"kart publish TASK --as {PATH}" in text


def test_the_attribute_publishes_and_a_failure_is_told(root, kart):
    module = next(root.rglob("tasks/model.py"))
    module.write_text(module.read_text().replace('"""Train."""', '"""Train."""\n\n    publish = "models/current.pkl"'))
    typed = kart("run", "Train")
    assert re.match(rf"Train\[\w{{8}}\] published as {PATH} \(\w{{8}}\)", typed.lines[-3])
    assert kart("publish", "Train").lines[0].startswith(f"{PATH} has this content already")
    taken = root / "outputs/log/published" / PATH
    assert taken.is_dir()
    for path in sorted(taken.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    taken.rmdir()
    taken.write_text("a file where a folder should be")
    (root / "outputs" / PATH).unlink()
    typed = kart("run", "Train")
    assert typed.code == 1
    assert "Train was not published; its output is stored." in typed.err
    assert "1 not published" in typed.out


def test_clean_gc_and_verify_leave_publications_alone(two, kart):
    assert kart("clean", "--yes").code == 0
    assert value(two) == {"depth": 2}
    for path in (two / "outputs/log/runs").glob("*.jsonl"):
        path.unlink()
    assert kart("gc", "--yes", "--keep-days", "0").code == 0
    assert kart("publish", "--back", PATH).code == 0
    assert value(two) == {"depth": 1}
    assert kart("verify").lines[-1] == "Checked 2 publications: 0 damaged"


def test_verify_restores_a_damaged_publication(two, kart):
    stored = next(path for path in (two / "outputs/log/published").rglob("content.pkl") if b"\x02" in path.read_bytes())
    current = (two / "outputs" / PATH).read_bytes()
    for path in (two / "outputs/log/published").rglob("content.pkl"):
        if path.read_bytes() == current:
            stored = path
    stored.write_bytes(b"damaged")
    typed = kart("verify")
    assert typed.code == 1
    assert typed.lines[-1] == ("Checked 2 publications: 1 damaged. Pass --fix to restore them from their other copies.")
    typed = kart("verify", "--fix")
    assert (typed.code, typed.lines[-1]) == (0, "Checked 2 publications: 1 damaged, 1 restored from their other copies")
    assert stored.read_bytes() == current


def test_two_processes_that_publish_at_once_leave_one_whole_winner(two, kart, kart_process):
    commands = [
        kart_process("publish", "Train", f"Train.depth={depth}", "--as", PATH, "--run", cwd=two) for depth in (3, 4)
    ]
    for command in commands:
        assert command.wait(60) == 0, command.communicate()
    for command in commands:
        command.communicate()
    depth = value(two)["depth"]
    line = next(line for line in kart("publish", "--list", PATH).lines if line.lstrip().startswith("*"))
    assert line.split()[-1] == f"accuracy={0.9 + depth / 100:.4g}"
    assert depth in (3, 4)
    assert len(kart("publish", "--list", PATH).lines) == 5


def test_the_record_is_json_for_others(two):
    records = [json.loads(path.read_text()) for path in Path(two / "outputs/log/published").rglob("record.json")]
    assert {record["params"]["depth"] for record in records} == {"1", "2"}
    assert all(record["task"] == "Train" and record["metrics"]["Train"]["accuracy"] > 0.9 for record in records)
    assert time.strftime("%Y") <= max(record["published"] for record in records)


# -- the guide -------------------------------------------------------------------------------------------------------

GUIDE = Path(__file__).parents[4] / "docs" / "how-to" / "publish-results.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def same(text):
    """Return a text without what is another one each time: ids, times, seconds and the widths that follow from them."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "TIME", text)
    text = re.sub(r"\(\d+\.\d s\)", "(SECONDS)", text)
    text = re.sub(r"\d+ bytes", "SIZE", text)
    return re.sub(r" +", " ", re.sub(r"(?<![0-9a-z])[0-9a-f]{8}(?:[0-9a-f]{24})?(?![0-9a-z])", "ID", text))


def test_the_guide_shows_what_the_commands_print(tmp_path, monkeypatch, kart, capsys):
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    tasks = tmp_path / "src" / "shop" / "tasks"
    tasks.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.kart]\npackage = "shop"\n')
    (tmp_path / "conf" / "base").mkdir(parents=True)
    (tmp_path / "conf" / "base" / "run.yaml").write_text("workspace: outputs/\n")
    *modules, service = blocks("python")
    (tasks.parent / "__init__.py").write_text("")
    (tasks / "model.py").write_text("\n\n".join(modules))
    [transcript] = blocks("console")
    shown = re.findall(r"^\$ kart (.*)\n((?:(?!\$ ).*\n)*)", transcript, re.MULTILINE)
    printed = "".join(f"$ kart {words}\n{kart(*words.split()).out}" for words, _ in shown)
    assert same(printed) == same(transcript), printed
    assert kart("run", "TrainAndReport", "--quiet").code == 0
    exec(compile(service, str(GUIDE), "exec"), {})
    assert capsys.readouterr().out.startswith("0.93 TrainAndReport ")
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]
