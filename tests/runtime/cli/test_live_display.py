"""What a person sees on a terminal while tasks run; pyte is the terminal."""

from __future__ import annotations

import re
import signal
import sys
import time

import luigi
import pytest

from kart_runtime import TaskOnKart
from kart_runtime.cli.live import shows_block
from kart_runtime.cli.live.block import Painter
from kart_runtime.execution.attempt import AttemptState, Outcome
from kart_runtime.plan.decisions import make_plan
from kart_runtime.plan.task_labels import TaskLabels
from kart_runtime.schedule.estimate import Estimating
from kart_runtime.schedule.events import PlanMade, TaskFinished, TaskLocked, TaskProgress, TaskStarted
from kart_runtime.schedule.progress_counts import Counts
from tests.runtime.terminal import Terminal

TASKS = """
    import logging
    import subprocess
    import time
    from pathlib import Path

    import luigi
    from kart_runtime import TaskOnKart


    def wait(name):
        while not Path(name).exists():
            time.sleep(0.02)


    class Part(TaskOnKart[int]):
        n: int = luigi.IntParameter()
        bad: int = luigi.IntParameter(default=-1)

        def run(self):
            if self.n == self.bad:
                raise ValueError("cannot divide by zero")
            self.dump(1)


    class Held(TaskOnKart[int]):
        size: int = luigi.IntParameter(default=3)
        bad: int = luigi.IntParameter(default=-1)

        def requires(self):
            return [Part(n=n, bad=self.bad) for n in range(self.size) if n != self.bad]

        def run(self):
            print("said by print")
            logging.getLogger("t").warning("said by logging")
            subprocess.run(["echo", "said by a program"])
            for _ in self.progress(range(4), text="epoch"):
                wait("go")
            self.dump(1)


    class All(TaskOnKart[int]):
        size: int = luigi.IntParameter(default=3)
        bad: int = luigi.IntParameter(default=-1)

        def requires(self):
            bad = [Part(n=self.bad, bad=self.bad)] if self.bad >= 0 else []
            return [*bad, Held(size=self.size, bad=self.bad)]

        def run(self):
            self.dump(1)
"""

HEAD = re.compile(r"running .*\d+/[\d,]+")


@pytest.fixture
def start(small_project):
    """Return a function that starts `kart` with some words in a terminal of some size."""
    terminals = []

    def begin(*words, **options):
        root = small_project({"src/PKG/tasks/live.py": TASKS})
        terminal = Terminal([sys.executable, "-m", "kart_runtime", *words], **options)
        terminal.root = root
        terminals.append(terminal)
        return terminal

    yield begin
    for terminal in terminals:
        terminal.close()


def shows(*patterns):
    return lambda lines: all(any(re.search(pattern, line) for line in lines) for pattern in patterns)


def block_of(lines):
    """Return the rows of the block."""
    return next((lines[place:] for place, line in enumerate(lines) if HEAD.match(line)), [])


@pytest.mark.parametrize("words", [(), ("--executor", "threads"), ("--executor", "processes", "--workers", "2")])
def test_few_tasks_have_a_row_each_and_what_they_write_is_above(start, words):
    terminal = start("run", "All", *words)
    assert terminal.read_until(shows("said by a program", r"Held +running \d:\d\d 0 % epoch"))
    block = block_of(terminal.lines)
    assert [row.split()[0] for row in block[1:6]] == ["Part(n=0)", "Part(n=1)", "Part(n=2)", "Held", "All"]
    assert [row.split()[1] for row in block[1:6]] == ["done", "done", "done", "running", "waiting"]
    assert re.match(r"running ━+.* 3/5   1 running   \d:\d\d", block[0])
    assert terminal.lines[-len(block) :] == block
    above = [line for line in terminal.lines[: -len(block)] if line]
    assert [line for line in above if line.startswith("Part")] == [
        line for line in above if re.fullmatch(r"Part\(n=\d\) done \(0\.\d s\)", line)
    ]
    assert {"said by print", "said by a program"} <= set(above)
    assert any(line.endswith("said by logging") for line in above)
    (terminal.root / "go").touch()
    assert terminal.finish() == 0
    assert not [line for line in terminal.all_lines if HEAD.match(line)]
    assert any(line.startswith("5 tasks: 5 ran") for line in terminal.lines)


def test_something_is_seen_before_the_project_is_read(start):
    terminal = start("run", "All")
    assert terminal.read_until(lambda lines: any(lines))
    assert terminal.lines[0] == "reading the project ..."
    terminal.close()


def test_a_failure_is_printed_once_and_stays(start):
    terminal = start("run", "All", "All.bad=1", "All.size=40")
    assert terminal.read_until(shows(r"39/42 +1 running · 1 failed · 1 blocked", "said by a program"))
    line = next(line for line in terminal.lines if "FAILED" in line)
    assert re.fullmatch(r"Part\(n=1\) FAILED \(0\.\d s\): ValueError: cannot divide by zero", line)
    assert not [line for line in terminal.lines if re.match(r"Part\(n=\d+\) done", line)]
    block = block_of(terminal.lines)
    assert re.match(r"  Part +█+ +39/40 .* 1 failed  (0\.\d|< 0\.1) s each", block[1])
    assert re.match(r"  now: Held \d:\d\d 0 % epoch", block[-1])
    (terminal.root / "go").touch()
    assert terminal.finish() == 1
    text = "\n".join(terminal.all_lines)
    assert text.count("Part(n=1) FAILED") == 1
    assert "All was not run, because upstream Part(n=1) did not complete" in text


def test_verbose_prints_each_task_that_ends(start):
    terminal = start("run", "All", "All.size=40", "-v")
    assert terminal.read_until(shows("now: Held"))
    (terminal.root / "go").touch()
    assert terminal.finish() == 0
    assert len({line for line in terminal.all_lines if re.match(r"Part\(n=\d+\) done", line)}) == 40


@pytest.mark.parametrize(
    ("size", "columns", "rows", "height"), [(3, 100, 30, 6), (1000, 100, 30, 5), (1000, 80, 8, 5), (1000, 50, 30, 2)]
)
def test_the_height_is_fixed_and_leaves_room(start, size, columns, rows, height):
    terminal = start("run", "All", f"All.size={size}", columns=columns, rows=rows)
    held = r"Held (running )?0:0\d" if size > 3 else "Held +running"
    assert terminal.read_until(shows(held, "said by a program"))
    lines = terminal.lines
    above = [place for place, line in enumerate(lines) if "said by a program" in line]
    assert rows - height > above[-1]
    heights = {len(block_of(seen)) for seen in terminal.seen if block_of(seen)} if columns >= 60 else {height}
    assert heights == {height}
    (terminal.root / "go").touch()
    assert terminal.finish() == 0


def test_a_narrow_terminal_has_two_rows(start):
    terminal = start("run", "All", columns=44, rows=12)
    assert terminal.read_until(shows("said by a program", "now: Held .*%"))
    assert re.match(r"3/5 1 running 0:\d\d", terminal.lines[-2])
    assert re.match(r"now: Held 0:\d\d 0 % epoch", terminal.lines[-1])
    (terminal.root / "go").touch()
    assert terminal.finish() == 0


def test_the_block_follows_the_size_of_the_terminal(start):
    terminal = start("run", "All", columns=90, rows=24)
    assert terminal.read_until(shows("said by a program", "Held +running"))
    for columns, rows in ((90, 14), (70, 40), (70, 4), (100, 20)):
        terminal.resize(columns, rows)
        if rows > 4:
            assert terminal.read_until(lambda lines: lines[-6].startswith("running"))
            assert len([line for line in terminal.lines if HEAD.match(line)]) == 1
    (terminal.root / "go").touch()
    assert terminal.finish() == 0
    assert any(line.startswith("5 tasks: 5 ran") for line in terminal.lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_terminal_is_in_order_after_a_signal(start, number):
    terminal = start("run", "All")
    assert terminal.read_until(shows("said by a program", "Held +running"))
    terminal.send_signal(number)
    code = terminal.finish()
    assert code == (130 if number is signal.SIGINT else 143)
    assert terminal.screen.margins is None or terminal.screen.margins.bottom == terminal.screen.lines - 1
    assert not terminal.screen.cursor.hidden
    assert not [line for line in terminal.lines if HEAD.match(line)]
    assert any(line.startswith("Completed tasks are saved.") for line in terminal.lines)


def test_a_stopped_run_gives_the_terminal_back_and_draws_again(start):
    terminal = start("run", "All")
    assert terminal.read_until(shows("said by a program", "Held +running"))
    terminal.send_signal(signal.SIGTSTP)
    assert terminal.read_until(lambda lines: not block_of(lines))
    terminal.send_signal(signal.SIGCONT)
    assert terminal.read_until(shows("Held +running"))
    (terminal.root / "go").touch()
    assert terminal.finish() == 0


def test_no_color_is_respected(start):
    terminal = start("run", NO_COLOR="1")
    assert terminal.finish() == 0
    assert not re.search(rb"\x1b\[[0-9;]*m", terminal.sent)


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"CI": "true"}])
def test_a_dumb_terminal_and_ci_get_plain_lines(start, variables):
    terminal = start("run", **variables)
    assert terminal.finish() == 0
    assert b"\x1b" not in terminal.sent
    assert b"[1/3] Numbers ..." in terminal.sent


def test_run_progress_false_gives_plain_lines(start):
    terminal = start("run", "run.progress=false")
    assert terminal.finish() == 0
    assert "[1/3] Numbers ..." in terminal.lines
    assert not [seen for seen in terminal.seen if block_of(seen)]


def test_without_a_terminal_there_is_no_block():
    assert not shows_block()


class Step(TaskOnKart[int]):
    n = luigi.IntParameter()
    kind = luigi.Parameter(default="a")

    def requires(self):
        return [Step(n=self.n - 1, kind=self.kind)] if self.n else []

    def run(self):
        self.dump(1)


class Other(Step):
    pass


def painted(roots, events=(), columns=100, rows=30):
    """Return counts after some events, and the rows that are painted."""
    plan = make_plan(roots)
    count = Counts()
    count.count(PlanMade(plan))
    for event in events:
        count.count(event)
    painter = Painter(TaskLabels(plan.tasks), plan, Estimating(plan, 1))
    return count, painter.rows(count, columns, painter.height(count, columns, rows))


def chain(tmp_path, length, kind="a", cls=Step):
    return [cls(n=n, kind=kind, workspace_directory=str(tmp_path)) for n in range(length)]


def done(task, seconds=1.0):
    return [TaskStarted(task), TaskFinished(task, Outcome(AttemptState.DONE, "", seconds))]


@pytest.mark.parametrize(("size", "height"), [(1, 2), (9, 10), (10, 11), (11, 3), (1000, 3), (20_000, 3)])
def test_rows_fit_the_width_whatever_the_number_of_tasks(tmp_path, size, height):
    tasks = [Step(n=0, kind=f"{n}" * 20, workspace_directory=str(tmp_path)) for n in range(size)]
    counts, _ = painted(tasks, [TaskStarted(task) for task in tasks[:200]])
    for columns in (20, 59, 60, 80, 200):
        painter = Painter(TaskLabels(tasks), counts.plan, Estimating(counts.plan, 1))
        rows = painter.rows(counts, columns, painter.height(counts, columns, 30))
        plain = [re.sub(r"\x1b\[\d*m", "", row) for row in rows]
        assert max(map(len, plain)) < columns
        assert len(rows) == (2 if columns < 60 else height)


def test_what_is_below_a_failure_or_locked_is_counted(tmp_path):
    tasks = chain(tmp_path, 9)
    other = Other(n=0, kind="b", workspace_directory=str(tmp_path))
    plan = make_plan([tasks[-1], other])
    by_n = {task.n: task for task in plan.tasks if type(task) is Step}
    locked = next(task for task in plan.tasks if type(task) is Other)
    failure = TaskFinished(by_n[3], Outcome(AttemptState.FAILED, "", 0.1, error=ValueError("no")))
    counts = Counts()
    counts.count(PlanMade(plan))
    for event in (*done(by_n[0]), *done(by_n[1]), *done(by_n[2]), TaskStarted(by_n[3]), failure, TaskLocked(locked)):
        counts.count(event)
    assert (counts.done, counts.failed, counts.blocked(), counts.total) == (3, 1, 5, 10)
    row = Painter(TaskLabels(plan.tasks), plan, Estimating(plan, 1)).rows(counts, 120, 11)[0]
    assert "3/10   1 failed · 5 blocked · 1 run by another process" in re.sub(r"\x1b\[\d*m", "", row)
    counts.count(TaskStarted(locked))
    assert (len(counts.locked), len(counts.running)) == (0, 1)


def test_progress_of_a_task_that_has_ended_is_nothing(tmp_path):
    (task,) = chain(tmp_path, 1)
    counts, rows = painted([task], [*done(task), TaskProgress(task, 0.5, "late")])
    assert not counts.running
    assert re.sub(r"\x1b\[\d*m", "", rows[1]).split() == ["Step", "done", "1.0", "s"]


def test_control_characters_in_names_and_texts_do_not_reach_the_terminal(tmp_path):
    task = Step(n=0, kind="\x1b[2J\n\u202e", workspace_directory=str(tmp_path))
    other = Step(n=0, kind="b", workspace_directory=str(tmp_path))
    _, rows = painted([task, other], [TaskStarted(task), TaskProgress(task, None, "\x1b[31m\nx\r")])
    text = re.sub(r"\x1b\[\d*m", "", "".join(rows))
    assert not {"\x1b", "\n", "\r", "\u202e"} & set(text)


def test_the_listener_costs_little_and_never_looks(tmp_path):
    tasks = [Step(n=0, kind=str(n), workspace_directory=str(tmp_path)) for n in range(5_000)]
    plan = make_plan(tasks)
    counts = Counts()
    counts.count(PlanMade(plan))
    events = [event for task in plan.tasks for event in done(task)]
    began = time.process_time()
    for event in events:
        counts.count(event)
    assert time.process_time() - began < 5_000 * 200e-6  # measured: 3 µs a task
    assert counts.done == 5_000
