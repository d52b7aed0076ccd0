"""Workers serve scripts as they are written, and do not outlive their program, however it ends."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from kart_runtime.execution.executors import ProcessExecutor
from kart_runtime.execution.executors.processes import process
from tests.runtime.execution.executors.scripts import run_script, start_script


def test_a_script_needs_no_guard_and_gets_its_own_classes_back():
    done = run_script("""
        import os
        from kart_runtime.execution.executors import ProcessExecutor

        print("once")

        class Base:
            def double(self):
                return Value(self.number * factor())

        class Value(Base):
            def __init__(self, number):
                self.number = number

        class MyError(Exception):
            pass

        def factor():
            return FACTOR

        def fail():
            raise MyError("mine")

        FACTOR = 2
        executor = ProcessExecutor(2)
        futures = [executor.submit(Value(number).double) for number in range(5)]
        print([type(future.result()) is Value and future.result().number for future in futures])
        print([executor.submit(lambda: FACTOR + 1).result(), executor.submit(Value(1).double).result().double().number])
        error = executor.submit(fail).exception()
        print(type(error) is MyError, "script.py" in error.__notes__[0])
        print("end")
    """)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["once", "[0, 2, 4, 6, 8]", "[3, 4]", "True True", "end"]
    assert done.returncode == 0


def test_tasks_of_a_script_and_those_they_yield():
    done = run_script("""
        import luigi
        from kart_runtime import TaskOnKart, build

        class Leaf(TaskOnKart[int]):
            number = luigi.IntParameter()

            def run(self):
                self.dump(self.number)

        class Sum(TaskOnKart[int]):
            def run(self):
                leaves = [Leaf(number=number) for number in range(4)]
                yield leaves
                self.dump(sum(leaf.output().load() for leaf in leaves))

        class Root(TaskOnKart[int]):
            def requires(self):
                return {"sum": Sum(), "one": Leaf(number=1)}

            def run(self):
                self.dump(sum(self.load().values()))

        print(build(Root(), workers=2), build(Root(rerun=True), workers=2))
    """)
    assert done.stderr == ""
    assert done.stdout == "7 7\n"


def test_handlers_of_events_are_called_in_workers():
    done = run_script("""
        import luigi
        from kart_runtime import TaskOnKart, build

        @luigi.Task.event_handler(luigi.Event.SUCCESS)
        def tell(task):
            print("success of", type(task).__name__)

        class One(TaskOnKart[int]):
            def run(self):
                self.dump(1)

        build(One(), workers=2)
    """)
    assert done.stderr == ""
    assert done.stdout == "success of One\n"


def test_workers_end_with_a_program_that_is_killed():
    with start_script("""
        import os, time
        from kart_runtime.execution.executors import ProcessExecutor

        executor = ProcessExecutor(3)
        executor.submit(abs, -1).result()

        def busy():
            print("busy", flush=True)
            time.sleep(600)

        executor.submit(busy)
        time.sleep(600)
    """) as process:
        assert process.stdout.readline() == "busy\n"
        process.kill()
        out, err = process.communicate(timeout=60)  # ends when no process holds the output open any more
    assert (out, err) == ("", "")


def test_ctrl_c_in_a_terminal_is_the_programs_business():
    with start_script("""
        import pathlib, time
        from kart_runtime.execution.executors import Executors

        def busy():
            try:
                print("busy", flush=True)
                time.sleep(600)
            finally:
                print("tidied", flush=True)

        with Executors("processes", 2) as executors:
            executors.get(None).submit(busy)
            time.sleep(600)
    """) as process:
        assert process.stdout.readline() == "busy\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers, too
        out, err = process.communicate(timeout=60)
    assert out == "tidied\n"
    assert err.count("KeyboardInterrupt") == 1  # the program's own
    assert process.returncode == -signal.SIGINT


def test_a_program_that_ends_with_open_executors_leaves_nothing():
    done = run_script("""
        import time
        from kart_runtime.execution.executors import ProcessExecutor

        with ProcessExecutor(2) as first:
            first.submit(abs, -1).result()
        second, third = ProcessExecutor(2), ProcessExecutor(1)
        second.submit(time.sleep, 600)
        dropped = ProcessExecutor(1)
        dropped.submit(abs, -1).result()
        del dropped
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_workers_print_comes_out_when_it_is_printed():
    done = run_script("""
        from kart_runtime.execution.executors import ProcessExecutor

        with ProcessExecutor(1) as executor:
            executor.submit(print, "one").result()
            print("two", flush=True)
            executor.submit(print, "three").result()
    """)
    assert done.stdout.split() == ["one", "two", "three"]


def test_closed_output_does_no_harm():
    done = run_script("""
        import sys
        from kart_runtime.execution.executors import ProcessExecutor

        sys.stdout.close()
        with ProcessExecutor(1) as executor:
            print(executor.submit(abs, -1).result(), file=sys.stderr)
            executor.submit(print, "from a worker").result()
        sys.stdout = None
        with ProcessExecutor(2) as executor:
            print(executor.submit(abs, -2).result(), file=sys.stderr)
    """)
    assert done.stderr == "1\n2\n"


def test_what_other_systems_lack_is_not_needed():
    done = run_script("""
        import os, select, signal, sys

        import luigi  # asks for some of it itself

        for module, names in {
            os: ["fork", "register_at_fork", "waitid", "killpg"],
            select: ["poll"],
            signal: ["SIGKILL", "SIGSTOP", "pthread_sigmask", "pause", "alarm"],
        }.items():
            for name in names:
                delattr(module, name)
        sys.modules["resource"] = sys.modules["pwd"] = None

        from kart_runtime.execution.executors import ProcessExecutor

        with ProcessExecutor(2) as executor:
            print(sum(future.result() for future in [executor.submit(abs, -number) for number in range(5)]))
            print(executor.submit(os._exit, 3).exception().exit_code)
    """)
    assert done.stderr == ""
    assert done.stdout == "10\n3\n"


def test_a_worker_reads_nothing():
    import sys

    with ProcessExecutor(1) as executor:
        assert executor.submit(lambda: sys.stdin.read()).result() == ""


def test_an_idle_worker_leaves_and_no_work_is_lost():
    def leave_soon(milliseconds):
        from kart_runtime.execution.executors.processes import worker

        worker.IDLE_SECONDS = milliseconds / 1000
        return os.getpid()

    with ProcessExecutor(1) as executor:
        pids = set()
        deadline = time.monotonic() + 60
        for number in itertools.count():
            # Sometimes it leaves before the next work is sent, sometimes after.
            pids.add(executor.submit(leave_soon, number % 4).result())
            assert executor.submit(abs, -number).result() == number
            if number >= 8 and len(pids) > 1:
                break
            assert time.monotonic() < deadline, "no worker has left"


def test_the_work_ends_in_order_when_its_worker_is_terminated():
    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            Path("tidied").touch()

    with ProcessExecutor(1) as executor:
        error = executor.submit(work).exception()
    assert error.exit_code == -signal.SIGTERM
    assert Path("tidied").exists()


def test_workers_import_nothing_from_the_current_folder():
    """A program elsewhere does not import from here, so its workers must not; its own modules lie beside it."""
    for name in ("random", "tempfile", "signal", "selectors", "pandas", "yaml", "kart_runtime_plugin"):
        Path(f"{name}.py").write_text("from pathlib import Path\nPath('IMPORTED').touch()\nraise SystemExit(3)\n")
    Path("beside").mkdir()
    Path("beside/own_module.py").write_text("def value():\n    import random, tempfile, yaml, pandas\n    return 7\n")
    Path("beside/program.py").write_text(
        "import own_module\n"
        "from kart_runtime.execution.executors import ProcessExecutor\n"
        "print(ProcessExecutor(1).submit(own_module.value).result())\n"
    )

    done = subprocess.run([sys.executable, "beside/program.py"], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("7\n", "")
    assert not Path("IMPORTED").exists()
    # The control: the way that workers are started would import them if the empty entry of the path stayed.
    start = process._START.split("import gc")[1].split("number =")[0]
    subprocess.run([sys.executable, "-c", f"import gc{start}"], capture_output=True, check=False)
    assert Path("IMPORTED").exists()
