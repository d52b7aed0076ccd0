"""Ctrl-C and SIGTERM on a real terminal: what is said at once, what is stored, and how the program ends."""

from __future__ import annotations

import json
import re
import signal
import sys
import time

import pytest

from tests.runtime.terminal import Terminal

TASKS = """
    import signal
    import subprocess
    import sys
    import threading
    import time
    from pathlib import Path

    import luigi
    from kart_runtime import TaskOnKart


    if Path("deaf").exists():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


    class Held(TaskOnKart[int]):
        kind: str = luigi.Parameter(default="wait")

        def run(self):
            Path(f"began-{self.kind}").touch()
            if self.kind == "swallow":
                while not Path("go").exists():
                    try:
                        time.sleep(0.05)
                    except BaseException:
                        Path("swallowed").touch()
            elif self.kind == "lock":
                threading.Lock().acquire() and threading.Event().wait(60)
            elif self.kind == "child":
                subprocess.run([sys.executable, "-c", "import time; time.sleep(60)"], check=False)
            else:
                while not Path("go").exists():
                    time.sleep(0.02)
            self.dump(1)


    class Two(TaskOnKart[int]):
        def requires(self):
            return [Held(kind="wait"), Held(kind="other")]

        def run(self):
            self.dump(1)
"""


@pytest.fixture
def start(small_project):
    """Return a function that starts `kart` with some words in a terminal."""
    terminals = []

    def begin(*words, **files):
        root = small_project({"src/PKG/tasks/held.py": TASKS, **files})
        terminal = Terminal([sys.executable, "-m", "kart_runtime", *words], columns=160)
        terminal.root = root
        terminals.append(terminal)
        return terminal

    yield begin
    for terminal in terminals:
        terminal.close()


def began(terminal, *kinds):
    """Read until tasks have begun, which shows that a signal reaches them while they run."""
    assert terminal.read_until(lambda _: all((terminal.root / f"began-{kind}").exists() for kind in kinds))


def says(pattern):
    return lambda lines: any(re.search(pattern, line) for line in lines)


def end_of_run(root):
    """Return the last line of the newest file of a run, and the states of its attempts."""
    files = sorted(root.glob("**/log/runs/*.jsonl"))
    lines = [json.loads(line) for line in files[-1].read_text().splitlines()]
    return lines[-1], [line["state"] for line in lines if "unique_id" in line]


def outputs(root):
    """Return the outputs of Held, without log files."""
    return [path for path in root.glob("**/Held_*.pkl") if "log" not in path.parts]


THREADS = ("--executor", "threads", "--workers", "2")


def test_what_threads_still_do_is_said_at_once_and_stored_with_its_record(start):
    terminal = start("run", "Two", *THREADS)
    began(terminal, "wait", "other")
    terminal.send_signal(signal.SIGINT)
    assert terminal.read_until(
        says(r"waiting for Held\(kind=\w+\) \(\d+ s\), Held\(kind=\w+\) \(\d+ s\), press Ctrl-C")
    )
    (terminal.root / "go").touch()
    assert terminal.finish() == 130
    text = "\n".join(terminal.all_lines)
    assert "Interrupted: 3 tasks: 2 ran" in text
    assert "Traceback" not in text
    end, states = end_of_run(terminal.root)
    assert (end["state"], end["ran"], states) == ("interrupted", 2, ["done", "done"])
    assert len(outputs(terminal.root)) == 2


def test_control_a_program_that_does_not_hear_ctrl_c_fails_these_checks(start):
    terminal = start("run", "Held", *THREADS, deaf="")
    began(terminal, "wait")
    terminal.send_signal(signal.SIGINT)
    with pytest.raises(TimeoutError):
        terminal.read_until(says("press Ctrl-C"), seconds=1)
    (terminal.root / "go").touch()
    assert terminal.finish() == 0
    assert end_of_run(terminal.root)[0]["state"] != "interrupted"


@pytest.mark.parametrize("words", [THREADS, ("--executor", "serial", "--timeout", "50")])
def test_a_second_one_ends_at_once_without_a_traceback(start, words):
    terminal = start("run", "Held", "Held.kind=swallow", *words)
    began(terminal, "swallow")
    terminal.send_signal(signal.SIGINT)
    assert terminal.read_until(says(r"waiting for Held \(\d+ s\), press Ctrl-C again to end at once"))
    sent = time.monotonic()
    terminal.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    assert time.monotonic() - sent < 5
    text = "\n".join(terminal.all_lines)
    assert "Traceback" not in text
    assert "ended while running: Held" in text
    end, states = end_of_run(terminal.root)
    assert (end["state"], len(end["running"]), states) == ("interrupted", 1, [])
    (terminal.root / "go").touch()
    assert outputs(terminal.root) == []


def test_a_second_one_ends_a_task_of_the_main_thread_that_swallows_the_first(start):
    terminal = start("run", "Held", "Held.kind=swallow")
    began(terminal, "swallow")
    terminal.send_signal(signal.SIGINT)
    assert terminal.read_until(lambda _: (terminal.root / "swallowed").exists())
    terminal.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    assert "Traceback" not in "\n".join(terminal.all_lines)
    end, _ = end_of_run(terminal.root)
    assert (end["state"], len(end["running"])) == ("interrupted", 1)


@pytest.mark.parametrize("words", [THREADS, ("--executor", "processes", "--workers", "2"), ()])
def test_sigterm_does_what_ctrl_c_does_and_has_its_own_exit_code(start, words):
    terminal = start("run", "Two", *words)
    began(terminal, "wait")
    terminal.send_signal(signal.SIGTERM)
    if words == THREADS:
        assert terminal.read_until(says("press Ctrl-C again"))
        (terminal.root / "go").touch()
    assert terminal.finish() == 143
    text = "\n".join(terminal.all_lines)
    assert "Interrupted: 3 tasks" in text
    assert "Traceback" not in text
    assert end_of_run(terminal.root)[0]["state"] == "interrupted"


def test_the_processes_of_a_task_end_with_its_worker(start):
    terminal = start("run", "Held", "Held.kind=child", "--executor", "processes", "--workers", "2")
    began(terminal, "child")
    (child,) = [pid for pid in map(int, children_of_workers(terminal.process.pid)) if pid]
    terminal.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    assert "Traceback" not in "\n".join(terminal.all_lines)
    assert not is_running(child)
    assert end_of_run(terminal.root)[0]["running"] != []


def children_of_workers(pid):
    """Return the processes that the workers of a program have started."""
    from kart_runtime.execution.memory import process_tree

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        tree = process_tree(pid)
        workers = [each for each in process_tree(pid) if each != pid]
        found = [each for worker in workers for each in process_tree(worker) if each != worker]
        if tree and found:
            return found[-1:]
        time.sleep(0.05)
    raise TimeoutError


def is_running(pid):
    from pathlib import Path

    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
