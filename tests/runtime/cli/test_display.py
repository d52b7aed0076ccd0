"""What a run looks like in a pipe, and when it is interrupted; `test_live_display` looks at terminals."""

from __future__ import annotations

import errno
import io
import pickle
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from kart_runtime.cli import main
from kart_runtime.cli.live import plain

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
        r"Interrupted: 2 tasks: 1 ran, 0 already complete.* s\)\nended while running: \w+.*\n"
        "Completed tasks are saved. Run the same command again",
        err,
    )
    assert "Traceback" not in err


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


WIDE = """
    import luigi
    from kart_runtime import TaskOnKart

    class One(TaskOnKart[int]):
        n: int = luigi.IntParameter()

        def run(self):
            if self.n == 70:
                raise ValueError("unlucky")
            self.dump(1)

    class All(TaskOnKart[int]):
        size: int = luigi.IntParameter(default=199)

        def requires(self):
            return [One(n=n) for n in range(self.size)]

        def run(self):
            self.dump(1)
"""


def test_up_to_200_tasks_each_has_its_lines(small_project, kart):
    small_project({"src/PKG/tasks/wide.py": WIDE})
    lines = kart("run", "All").lines
    assert len([line for line in lines if " done (" in line]) == 198
    assert len([line for line in lines if line.endswith(" ...")]) == 199


def test_of_more_tasks_failures_and_the_numbers_are_printed(small_project, kart, monkeypatch):
    small_project({"src/PKG/tasks/wide.py": WIDE})
    monkeypatch.setattr(plain, "_INTERVAL", 0.05)
    lines = kart("run", "All", "All.size=200").lines
    assert not [line for line in lines if " done (" in line and "running" not in line and "One" in line]
    assert [line for line in lines if "FAILED" in line] == [
        line for line in lines if re.match(r"\[\d+/201\] One\(n=70\) FAILED \(.* s\): ValueError: unlucky$", line)
    ]
    numbers = [line for line in lines if re.match(r"\d+/201 done, ", line)]
    assert numbers
    assert all(re.fullmatch(r"\d+/201 done, .*\(\d:\d\d.*\)", line) for line in numbers)
    assert "201 tasks: 199 ran, 0 already complete, 1 failed, 1 not started" in "\n".join(lines)


def test_verbose_prints_each_of_more_tasks(small_project, kart):
    small_project({"src/PKG/tasks/wide.py": WIDE})
    lines = kart("run", "All", "All.size=200", "-v").lines
    assert len([line for line in lines if re.search(r"One\(n=\d+\) done \(", line)]) == 199


def test_quiet_prints_failures_and_the_summary(small_project, kart):
    small_project({"src/PKG/tasks/wide.py": WIDE})
    lines = kart("run", "All", "--quiet").lines
    assert [line.partition(" (")[0] for line in lines] == [
        "[71/200] One(n=70) FAILED",
        "200 tasks: 198 ran, 0 already complete, 1 failed, 1 not started",
    ]


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
