"""What a run looks like: in a pipe, in a terminal, when it is interrupted."""

from __future__ import annotations

import errno
import io
import os
import pickle
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import luigi
import pytest
from kart_runtime.cli.display import LiveDisplay

from kart_runtime.cli import main
from kart_runtime.execution.attempt import AttemptState, Outcome
from kart_runtime.schedule.events import TaskFinished, TaskStarted

SLOW = """
    import time
    from pathlib import Path
    from kart_runtime import TaskOnKart
    from PKG.tasks.numbers import Numbers

    class Slow(TaskOnKart[int]):
        def requires(self):
            return Numbers()

        def run(self):
            Path("started").touch()
            time.sleep(60)

    class Quick(TaskOnKart[int]):
        def requires(self):
            return [Numbers(size=n) for n in range(30)]

        def run(self):
            print("said by the task")
            self.dump(1)
"""


def wait_for(path):
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise TimeoutError(path)


def test_a_run_goes_on_when_nobody_reads_any_more(small_project, kart_process):
    root = small_project({"src/PKG/tasks/slow.py": SLOW})
    process = kart_process("run", "Quick")
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert err == ""
    assert len(list((root / "outputs").rglob("Quick_*.pkl"))) >= 1


def test_ctrl_c_ends_with_130_and_says_what_finished(small_project, kart_process):
    root = small_project({"src/PKG/tasks/slow.py": SLOW})
    process = kart_process("run", "Slow")
    wait_for(root / "started")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(
        r"Interrupted: 2 tasks: 1 ran, 0 already complete.* s\)\nCompleted tasks are saved. Run the same command again",
        err,
    )
    assert "Traceback" not in err


def in_terminal(*words, **variables):
    """Return exit code and what a terminal would be sent."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", **variables}
    process = subprocess.Popen(
        [sys.executable, "-m", "kart_runtime", *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    sent = b""
    while True:
        if select.select([ours], [], [], 60)[0]:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # how Linux says that the other end is closed
                break
            if not part:
                break
            sent += part
    os.close(ours)
    return process.wait(timeout=60), sent.decode()


def test_in_a_terminal_a_bar_moves_and_the_lines_stay(small_project):
    small_project({"src/PKG/tasks/slow.py": SLOW})
    code, sent = in_terminal("run", "Quick")
    assert code == 0
    assert "31/31 Quick done" in re.sub(r"[\[\]]", "", sent)
    assert "said by the task" in sent
    assert "31 tasks: 31 ran, 0 already complete" in sent
    assert re.search("31/31 ━+ .*Quick", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent))
    assert "\x1b[3" in sent


def test_no_color_is_respected(small_project):
    small_project()
    code, sent = in_terminal("run", NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[[0-9;]*m", sent.replace("\x1b[0m", ""))


def test_a_dumb_terminal_gets_plain_lines(small_project):
    small_project()
    code, sent = in_terminal("run", TERM="dumb")
    assert code == 0
    assert "\x1b" not in sent
    assert "[1/3] Numbers ..." in sent


FAILING = """
    import luigi
    from kart_runtime import TaskOnKart

    class Bad(TaskOnKart[int]):
        n: int = luigi.IntParameter()

        def run(self):
            raise ValueError(f"cannot divide {self.n}")

    class Flaky(TaskOnKart[int]):
        retry_count = 3
        tries = 0

        def run(self):
            type(self).tries += 1
            if self.tries < 3:
                raise ValueError("try again")
            self.dump(1)

    class After(TaskOnKart[int]):
        def requires(self):
            return [Bad(n=1), Flaky()]
"""


def test_in_a_terminal_a_failure_stays_visible_and_its_traceback_follows(small_project):
    small_project({"src/PKG/tasks/failing.py": FAILING})
    code, sent = in_terminal("run", "After")
    assert code == 1
    assert "Bad FAILED" in sent
    line, _, end = sent.partition("3 tasks: 1 ran, 0 already complete, 1 failed, 1 not started")
    assert "ValueError: cannot divide 1" in line
    assert "Bad failed:" in end
    assert "Traceback" in end
    assert "After was not run, because upstream Bad did not complete" in end


MANY = """
    import luigi
    from kart_runtime import TaskOnKart

    class Bad(TaskOnKart[int]):
        n: luigi.IntParameter = luigi.IntParameter()

        def run(self):
            if self.n < 4:
                raise ValueError(f"cannot divide")
            self.dump(1)

    class After(TaskOnKart[int]):
        n: luigi.IntParameter = luigi.IntParameter()

        def requires(self):
            return Bad(n=self.n % 4)

    class All(TaskOnKart[int]):
        def requires(self):
            return [After(n=n) for n in range(88)]
"""


@pytest.mark.parametrize("options", [(), ("--executor", "processes", "--workers", "2")])
def test_equal_failures_are_folded_and_what_was_not_run_is_one_line(small_project, kart, options):
    small_project({"src/PKG/tasks/failing.py": MANY})
    err = kart("run", "All", *options).err
    assert err.count("Traceback") == 1
    lines = err.splitlines()
    first = next(line for line in lines if line.endswith(" failed:"))
    same = next(line for line in lines if line.startswith("3 more failed in the same way: "))
    assert sorted(re.findall(r"Bad\(n=\d\)", first + same)) == [f"Bad(n={n})" for n in range(4)]
    assert lines[-1] == "89 tasks were not run, because 4 tasks upstream did not complete: 88 After, All"


def test_failures_in_the_same_place_with_other_texts_are_a_line_each(small_project, kart):
    small_project({"src/PKG/tasks/failing.py": MANY.replace("cannot divide", "cannot divide {self.n}")})
    err = kart("run", "All").err
    assert err.count("Traceback") == 1
    assert [line for line in err.splitlines() if "same place" in line] == [
        f"Bad(n={n}) failed in the same place: ValueError: cannot divide {n}" for n in (1, 2, 3)
    ]


def test_a_task_that_is_retried_keeps_its_number(small_project, kart):
    small_project({"src/PKG/tasks/failing.py": FAILING})
    lines = kart("run", "Flaky").lines[:-2]
    assert [line.partition(" (0")[0] for line in lines] == [
        "[1/1] Flaky ...",
        "[1/1] Flaky failed (try 1 of 3): ValueError: try again; trying again",
        "[1/1] Flaky (try 2 of 3) ...",
        "[1/1] Flaky failed (try 2 of 3): ValueError: try again; trying again",
        "[1/1] Flaky (try 3 of 3) ...",
        "[1/1] Flaky done",
    ]


DIFFERENT = """
    from pathlib import Path
    from kart_runtime import TaskOnKart

    class Different(TaskOnKart[int]):
        retries = 2

        def run(self):
            number = len(list(Path().glob("try *")))
            Path(f"try {number}").touch()
            raise [ConnectionError, KeyError, ConnectionError][number]("lost")

    class Same(TaskOnKart[int]):
        retries = 1

        def run(self):
            raise ConnectionError("lost")
"""


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_of_several_tries_each_different_error_has_its_traceback(executor, small_project, kart):
    small_project({"src/PKG/tasks/different.py": DIFFERENT})
    typed = kart("run", "Different", f"run.executor={executor}")
    assert re.search(r"Different FAILED \(.*\): failed in 3 tries: ConnectionError: lost; KeyError: 'lost'", typed.out)
    assert "Different failed in 3 tries:\ntry 2 of 3:\n" in typed.err
    second, third = typed.err.split("\ntry 3 of 3:\n")
    assert "KeyError: 'lost'" in second
    assert "ConnectionError: lost" in third
    assert typed.err.count("different.py") == 2


def test_equal_errors_have_one_traceback(small_project, kart):
    small_project({"src/PKG/tasks/different.py": DIFFERENT})
    typed = kart("run", "Same")
    assert "Same failed in 2 tries, each time in the same way:\n" in typed.err
    assert typed.err.count("different.py") == 1


def test_of_many_results_the_failures_and_the_last_ones_are_listed():
    class Number(luigi.Task):
        n = luigi.IntParameter()

    results = []
    with LiveDisplay(Path()) as display:
        for n in range(100):
            state = AttemptState.FAILED if n == 7 else AttemptState.DONE
            display.show(TaskStarted(Number(n=n)))
            results.append(TaskFinished(Number(n=n), Outcome(state, "", error=ValueError())))
        lines = display._result_lines(results)
        assert lines[0] == "... 89 more done"
        assert [line.partition("]")[0] for line in lines[1:]] == [f"[{n + 1}/{n + 1}" for n in (7, *range(90, 100))]


def test_the_bar_is_drawn_by_a_thread_and_not_for_each_event(monkeypatch):
    class Number(luigi.Task):
        n = luigi.IntParameter()

    draws = []
    draw = LiveDisplay._draw
    monkeypatch.setattr(LiveDisplay, "_draw", lambda self: (draws.append(threading.current_thread().name), draw(self)))
    started = time.monotonic()
    with LiveDisplay(Path()) as display:
        for n in range(2000):
            display.show(TaskStarted(Number(n=n)))
            display.show(TaskFinished(Number(n=n), Outcome(AttemptState.DONE, "")))
    assert set(draws) == {"kart-display"}
    assert len(draws) <= 2 + (time.monotonic() - started) / 0.25


class Full(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("I/O operation on closed file")]
)
def test_a_run_goes_on_when_its_lines_cannot_be_written(small_project, kart, monkeypatch, capsys, error):
    root = small_project()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Full(error))
        assert main(["run"]) == 0
    assert list(root.glob("outputs/*/tasks/pipeline/RunAll_*"))
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "standard output" in line]
    assert warning.endswith("The run goes on without it.")


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_run_whose_streams_are_closed_does_its_work(small_project, closed):
    root = small_project()
    command = f"{shlex.quote(sys.executable)} -m kart_runtime run --executor processes --workers 2 {closed}"
    assert subprocess.run(["sh", "-c", command], cwd=root, check=False, timeout=60).returncode == 0
    (total,) = root.glob("outputs/*/tasks/pipeline/RunAll_*")
    assert pickle.loads(total.read_bytes()) == "total 12.0"
