"""The record of `kart run` says what was asked for and what came of it, and shows no secret."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from kart_runtime import build, open_project
from kart_runtime.history.runs import list_runs, read_runs

LEAKS = """
    import logging
    import luigi
    from kart_runtime import SecretParameter, TaskOnKart


    class Leaks(TaskOnKart[int]):
        token: str = luigi.Parameter(default="none")
        names = luigi.ListParameter(default=())
        key = SecretParameter(default="${oc.env:LEAK_KEY}")
        url: str = luigi.Parameter(default="postgresql://me:url-password@host/db")
        retries = 1

        def run(self):
            text = f"{self.token} {self.names[0]} {self.key} {self.url}"
            logging.getLogger("leaks").warning("with %s", text)
            self.log_metric(self.token, 1.0, step=1)
            try:
                raise KeyError(text)
            except KeyError:
                logging.getLogger("leaks").exception("no")
                raise ValueError(text)


    class Names(TaskOnKart[int]):
        key = SecretParameter(default="${oc.env:LEAK_KEY}")

        def run(self):
            self.log_metric(f"of {self.key}!", 1.0)
"""
SECRETS = ("first-token-1", "second/token=2", 'the "third" \\ küy', "url-password")


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_no_secret_is_shown_or_stored(executor, small_project, kart_process, monkeypatch):
    for name, value in zip(("LEAK_TOKEN", "LEAK_NAME", "LEAK_KEY"), SECRETS, strict=False):
        monkeypatch.setenv(name, value)
    root = small_project(
        {
            "src/PKG/tasks/leaks.py": LEAKS,
            "conf/base/tasks/leaks.yaml": "Leaks:\n  token: ${oc.env:LEAK_TOKEN}\n  names: ['${oc.env:LEAK_NAME}']\n",
        }
    )
    workers = "1" if executor == "serial" else "2"
    settings = [f"run.executor={executor}", f"run.workers={workers}", "logging.level=INFO"]
    with kart_process("run", "Leaks", "Names", *settings) as process:
        printed = "".join(process.communicate(timeout=60))
    assert process.returncode == 1
    assert "ValueError: ***" in printed
    files = {path: path.read_text(errors="replace") for path in (root / "outputs").rglob("*") if path.is_file()}
    assert [path.parent.name for path in files].count("lines") == 1
    assert [path.parent.name for path in files].count("series") == 1
    for secret in SECRETS:
        for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
            assert form not in printed
            assert not [path for path, text in files.items() if form in text]
    (run,) = runs(root)
    assert [dict(record.metrics) for record in run.records if record.task == "Leaks"] == [{"***": 1.0}] * 2
    assert all("***" in record.trace and record.error.count("***") >= 1 for record in run.records)


@pytest.mark.parametrize("layer", ["command line", "conf/local"])
def test_what_replaces_a_secret_is_one_too(layer, small_project, kart_process, monkeypatch):
    monkeypatch.setenv("LEAK_TOKEN", SECRETS[0])
    monkeypatch.setenv("LEAK_KEY", SECRETS[1])
    typed = "typed-token-1"
    files = {
        "src/PKG/tasks/leaks.py": LEAKS.replace("{self.names[0]}", "first-token-1"),
        "conf/base/tasks/leaks.yaml": "Leaks:\n  token: ${oc.env:LEAK_TOKEN}\n",
    }
    if layer == "conf/local":
        files["conf/local/tasks/leaks.yaml"] = f"Leaks:\n  token: {typed}\n"
    root = small_project(files)
    words = [f"Leaks.token={typed}"] if layer == "command line" else []
    for command in (["run", "Leaks", *words], ["runs"], ["show", "--log"], ["why", "Leaks", *words], ["plan", *words]):
        with kart_process(*command) as process:
            printed = "".join(process.communicate(timeout=60))
        assert command[0] != "run" or "ValueError: *** ***" in printed
        assert not [secret for secret in (typed, SECRETS[0]) if secret in printed]
    files = [path.read_text(errors="replace") for path in (root / "outputs").rglob("*") if path.is_file()]
    assert not [text for text in files if typed in text or SECRETS[0] in text]


def runs(root):
    return list(read_runs(f"{root}/outputs", list_runs(f"{root}/outputs")))


def test_the_record_says_what_was_asked_for(small_project, kart, monkeypatch):
    monkeypatch.setenv("SMALL_TOKEN", "hunter2secret")
    words = ["run", "Numbers.size=5", "Total.options.a=[1, 2]", "label=cheap", "run.workers=2", "--env", "ci"]
    monkeypatch.setattr(sys, "argv", ["kart", *words, "--label", "first try"])
    root = small_project({"conf/base/tasks/numbers.yaml": "Total:\n  token: ${oc.env:SMALL_TOKEN}\n"})
    assert (
        kart("run", "Total", *words[1:3], "Total.label=cheap", *words[4:], "--executor=threads", "--label=x y").code
        == 0
    )
    (run,) = runs(root)
    header = run.header
    assert {key: header[key] for key in ("env", "label", "workspace", "folder", "format")} == {
        "env": "ci",
        "label": "x y",
        "workspace": "outputs/",
        "folder": str(root),
        "format": 2,
    }
    assert header["overrides"] == {
        "tasks.numbers.Numbers.size": "5",
        "tasks.numbers.Total.options": '{"a": [1, 2]}',
        "tasks.numbers.Total.label": "cheap",
        "run.workers": "2",
        "run.executor": "threads",
    }
    assert header["settings"] == {
        "run.executor": "threads",
        "run.workers": "2",
        "run.task": "RunAll",
        "run.workspace": "outputs/",
        "run.seed": "1",
    }
    assert header["roots"] == [record.unique_id for record in run.records if record.task == "Total"]
    assert "Numbers.size=5" in header["command"]
    assert "first try" in header["command"]
    assert run.end is not None
    assert run.end["state"] == "done"
    assert (run.end["total"], run.end["ran"]) == (2, 2)
    (file,) = run.end["modules"]
    assert file.endswith("/tasks/numbers.py")


def test_a_build_in_a_session_says_so_too(small_project):
    root = small_project()
    with open_project(overrides=["Numbers.size=6"]) as session:
        build(session.task("Total")())
    (run,) = runs(root)
    assert run.header["overrides"] == {"tasks.numbers.Numbers.size": "6"}
    assert run.header["env"] == "dev"
    with open_project() as session:
        build(session.task("Numbers")(), workers=2, executor="threads")
    header = runs(root)[-1].header
    assert header["overrides"] == {}
    assert header["settings"]["run.executor"] == "threads"


@pytest.mark.parametrize("label", ["", "a\nb", " a", "last", "last~2", "20261126T233340Z-d388f480", "x" * 101])
def test_a_label_that_cannot_be_one_is_refused(label, small_project, kart):
    small_project()
    typed = kart("run", "--label", label)
    assert typed.code == 2
    assert "is not a label; expected 1 to 100 printable characters" in typed.err


def git(root, *words):
    command = ["git", "-c", "user.name=n", "-c", "user.email=n@x.example", *words]
    subprocess.run(command, cwd=root, check=True, capture_output=True)


def test_the_end_says_which_commit_ran(small_project, kart):
    root = small_project({".gitignore": "outputs/\n__pycache__/\n"})
    kart("run", "Numbers")
    assert "git" not in runs(root)[-1].end
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    kart("run", "Numbers", "Numbers.size=7")
    state = runs(root)[-1].end["git"]
    assert re.fullmatch("[0-9a-f]{40}", state["commit"])
    assert state["dirty"] is False
    (root / "conf/base/run.yaml").write_text("task: RunAll\nworkspace: outputs/\nseed: 3\n")
    kart("run", "Numbers", "Numbers.size=8")
    assert runs(root)[-1].end["git"] == {"commit": state["commit"], "dirty": True}
    kart("run", "Numbers", "Numbers.size=8")  # nothing to run: git is not asked
    assert "git" not in runs(root)[-1].end


SLOW = """
    import time
    from pathlib import Path
    from kart_runtime import TaskOnKart


    class Slow(TaskOnKart[int]):
        def run(self):
            Path("started").touch()
            time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "state"), [(signal.SIGINT, "interrupted"), (signal.SIGKILL, None)])
def test_ctrl_c_is_recorded_and_a_killed_run_has_no_end(number, state, small_project, kart_process):
    root = small_project({"src/PKG/tasks/slow.py": SLOW, "tests/tasks/test_slow.py": ""})
    with kart_process("run", "Numbers", "Slow") as process:
        while not (root / "started").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        process.communicate(timeout=30)
    (run,) = runs(root)
    assert run.graph is not None
    assert [record.task for record in run.records] == ["Numbers"]
    assert (run.end or {}).get("state") == state


def test_versions_of_what_tasks_import_are_in_the_end(small_project, kart_process):
    lazy = """
        from kart_runtime import TaskOnKart


        class Lazy(TaskOnKart[int]):
            def run(self):
                import scipy

                self.dump(1)
    """
    root = small_project({"src/PKG/tasks/lazy.py": lazy})
    with kart_process("run", "Lazy") as process:
        process.communicate(timeout=60)
    (run,) = runs(root)
    assert "scipy" not in run.header["versions"]
    assert "scipy" in run.end["versions"]
