"""The same tasks under luigi's own worker, its command line and luigid; real luigi, real processes."""

from __future__ import annotations

import os
import pickle
import random
import socket
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import ClassVar
from urllib.request import urlopen

import luigi
import pytest
from luigi import task_register

from kart_runtime import TaskOnKart, build
from kart_runtime.luigi_bridge import SkipWhenComplete, WorkerSchedulerFactory, install

KINDS = ["module_versions", "processing_time", "random_seed", "task_log", "task_params"]


@pytest.fixture(autouse=True)
def _quick():
    for name in ("wait_interval", "wait_jitter"):
        luigi.configuration.get_config().set("worker", name, "0.05")


def by_luigi(*tasks, workers=1, **options):
    return luigi.build(
        list(tasks),
        local_scheduler=True,
        workers=workers,
        log_level="CRITICAL",
        detailed_summary=True,
        **options,
    )


def logged(task, kind):
    path = Path(task.workspace_directory, "log", kind, f"{type(task).__name__}_{task.make_unique_id()}.pkl")
    return pickle.loads(path.read_bytes())


def count(name):
    with Path(name).open("a") as file:
        file.write("x")


def times(name):
    return len(Path(name).read_text()) if Path(name).exists() else 0


class Draw(TaskOnKart[float]):
    number = luigi.IntParameter(default=0)

    def run(self):
        count("draws")
        self.task_log["note"] = "drawn"
        self.dump(random.random())


class Add(TaskOnKart[float]):
    def requires(self):
        return [Draw(number=1), Draw(number=2)]

    def run(self):
        self.dump(sum(self.load()))


@pytest.mark.parametrize("workers", [1, 2])
def test_outputs_seeds_and_the_five_log_files_are_those_of_kart(workers):
    assert by_luigi(Add(), workers=workers).status is luigi.LuigiStatusCode.SUCCESS
    values = [Draw(number=number).output().load() for number in (1, 2)]
    assert Add().output().load() == sum(values)
    assert [kind.name for kind in sorted(Path("resources/log").iterdir())] == KINDS
    task = Draw(number=1)
    random.seed(task.get_random_seed())
    assert values[0] == random.random()
    assert logged(task, "task_params") == {"number": "1"}
    assert logged(task, "task_log") == {"note": "drawn", "file_path": [task.output().path()]}
    assert 0 <= logged(task, "processing_time") < 60
    assert not Path("resources/log/runs").exists()


def test_a_second_build_runs_nothing():
    by_luigi(Add())
    by_luigi(Add())
    assert times("draws") == 2


def test_our_own_build_does_not_write_the_log_files_twice():
    written = []

    class Watched(TaskOnKart[int]):
        def _log_files(self):
            files = super()._log_files()
            written.append(files)
            return files

        def run(self):
            self.dump(1)

    install()
    assert build(Watched()) == 1
    assert len(written) == 1


def test_an_external_task_that_is_missing_keeps_its_downstream_from_running():
    class Outside(luigi.ExternalTask):
        def output(self):
            return luigi.LocalTarget("outside.txt")

    class Reads(TaskOnKart[str]):
        def requires(self):
            return Outside()

        def run(self):
            with self.input().open() as file:
                self.dump(file.read())

    assert by_luigi(Reads()).status is luigi.LuigiStatusCode.MISSING_EXT
    assert not Path("resources/log").exists()
    Path("outside.txt").write_text("from outside")
    assert by_luigi(Reads()).status is luigi.LuigiStatusCode.SUCCESS
    assert Reads().output().load() == "from outside"


def test_wrapper_tasks_and_plain_luigi_tasks_take_part():
    class Plain(luigi.Task):
        def output(self):
            return luigi.LocalTarget("plain.txt")

        def run(self):
            with self.output().open("w") as file:
                file.write("plain")

    class Above(TaskOnKart[str]):
        def requires(self):
            return Plain()

        def run(self):
            self.dump(Path("plain.txt").read_text())

    class Everything(luigi.WrapperTask):
        def requires(self):
            return [Above(), Draw()]

    assert by_luigi(Everything()).status is luigi.LuigiStatusCode.SUCCESS
    assert Above().output().load() == "plain"
    assert Everything().complete()


def test_the_users_handlers_of_events_are_called():
    seen = []

    class Listened(TaskOnKart[int]):
        fails = luigi.BoolParameter(default=False)

        def run(self):
            if self.fails:
                raise ValueError("on purpose")
            self.dump(1)

        def on_success(self):
            seen.append("on_success")

    for event in (luigi.Event.START, luigi.Event.SUCCESS, luigi.Event.FAILURE):
        Listened.event_handler(event)(lambda task, *rest, event=event: seen.append((event, *map(str, rest))))
    by_luigi(Listened())
    by_luigi(Listened(fails=True))
    assert seen == [
        (luigi.Event.START,),
        "on_success",
        (luigi.Event.SUCCESS,),
        (luigi.Event.START,),
        (luigi.Event.FAILURE, "on purpose"),
    ]


class Yields(TaskOnKart[float]):
    several = luigi.BoolParameter(default=False)

    def run(self):
        count("starts")
        if self.several:
            yield luigi.DynamicRequirements([Draw(number=number) for number in range(3)])
            self.dump(sum(Draw(number=number).output().load() for number in range(3)))
        else:
            target = yield Draw(number=5)
            self.dump(target.load())


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("several", [False, True])
def test_what_run_yields_is_run_first(several, workers):
    task = Yields(several=several)
    assert by_luigi(task, workers=workers).status is luigi.LuigiStatusCode.SUCCESS
    assert task.complete()
    assert times("starts") == 2  # luigi starts it again from its beginning
    assert times("draws") == (3 if several else 1)
    assert logged(task, "random_seed")["seed"] == task.get_random_seed()


def test_resources_keep_tasks_from_running_at_once_and_priority_puts_them_in_order():
    class Alone(TaskOnKart[tuple]):
        number = luigi.IntParameter()
        resources: ClassVar = {"machine": 1}

        @property
        def priority(self):
            return self.number

        def run(self):
            began = time.time()
            time.sleep(0.2)
            self.dump((began, time.time()))

    tasks = [Alone(number=number) for number in range(3)]
    assert by_luigi(*tasks, workers=3).status is luigi.LuigiStatusCode.SUCCESS
    spans = [task.output().load() for task in reversed(tasks)]
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_a_failed_task_is_tried_again_as_often_as_retry_count_says(tmp_path):
    class Flaky(TaskOnKart[int]):
        retry_count = 3

        def run(self):
            count("tries")
            if times("tries") < 3:
                raise ConnectionError("again")
            self.dump(times("tries"))

    class Keeps(WorkerSchedulerFactory):
        def create_local_scheduler(self):
            return luigi.scheduler.Scheduler(retry_delay=0, prune_on_get_work=True, record_task_history=False)

        def create_worker(self, scheduler, worker_processes, assistant=False):
            return luigi.worker.Worker(
                scheduler=scheduler,
                worker_processes=worker_processes,
                assistant=assistant,
                keep_alive=True,
                wait_interval=0.05,
                wait_jitter=0.0,
            )

    result = by_luigi(Flaky(), worker_scheduler_factory=Keeps())
    assert result.status is luigi.LuigiStatusCode.SUCCESS_WITH_RETRY
    assert Flaky().output().load() == 3


def test_a_task_that_takes_longer_than_worker_timeout_is_ended():
    class Sleeps(TaskOnKart[int]):
        worker_timeout = 1

        def run(self):
            time.sleep(60)
            self.dump(1)

    began = time.time()
    assert by_luigi(Sleeps()).status is luigi.LuigiStatusCode.FAILED
    assert time.time() - began < 30
    assert not Sleeps().complete()


class Again(TaskOnKart[int]):
    def run(self):
        count("again")
        self.dump(times("again"))


class AfterAgain(TaskOnKart[int]):
    def requires(self):
        return Again(rerun=True)

    def run(self):
        self.dump(self.load())


@pytest.mark.parametrize("workers", [1, 2])
def test_rerun_means_once_also_where_another_process_runs_it(workers):
    by_luigi(Again())
    assert times("again") == 1
    time.sleep(0.05)
    result = by_luigi(AfterAgain(rerun=True), workers=workers)
    assert result.status is luigi.LuigiStatusCode.SUCCESS
    assert times("again") == 2
    assert AfterAgain().output().load() == 2
    time.sleep(0.05)
    task_register.Register.clear_instance_cache()  # as in another program
    by_luigi(AfterAgain(rerun=True), workers=workers)
    assert times("again") == 3


class YieldsAgain(TaskOnKart[int]):
    def run(self):
        target = yield Again(rerun=True)
        self.dump(target.load())


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_run_yields_is_run_again_once(workers):
    by_luigi(Again())
    time.sleep(0.05)
    assert by_luigi(YieldsAgain(), workers=workers).status is luigi.LuigiStatusCode.SUCCESS
    assert times("again") == 2
    assert YieldsAgain().output().load() == 2


def test_rerun_passes_luigis_check_after_running(monkeypatch):
    luigi.configuration.get_config().set("worker", "check_complete_on_run", "true")
    by_luigi(Again())
    time.sleep(0.05)
    assert by_luigi(Again(rerun=True)).status is luigi.LuigiStatusCode.SUCCESS
    assert times("again") == 2


class Overtaken(TaskOnKart[str]):
    """Somebody else completes it between scheduling and running: here its own requirement does."""

    def requires(self):
        return Overtakes()

    def run(self):
        count("overtaken")
        self.dump("mine")


class Overtakes(TaskOnKart[str]):
    def run(self):
        self.dump("")
        TaskOnKart.make_target(Overtaken(), None).dump("other")


class PlainOvertaken(luigi.Task):
    def requires(self):
        return PlainOvertakes()

    def output(self):
        return luigi.LocalTarget("late.txt")

    def run(self):
        count("plain")


class PlainOvertakes(TaskOnKart[str]):
    def run(self):
        self.dump("")
        Path("late.txt").write_text("other")


def test_what_has_become_complete_in_the_meantime_is_not_run(caplog):
    result = by_luigi(Overtaken())
    assert result.status is luigi.LuigiStatusCode.SUCCESS
    assert Overtaken().output().load() == "other"
    assert times("overtaken") == 0
    assert "Skipping " in caplog.text
    assert not list(Path("resources/log").rglob("Overtaken_*"))
    assert "run" not in vars(Overtaken())


def test_it_is_run_where_complete_check_at_run_is_off():
    by_luigi(Overtaken(complete_check_at_run=False))
    assert times("overtaken") == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_the_factory_skips_complete_luigi_tasks_unless_told_otherwise(wanted):
    if not wanted:
        luigi.configuration.get_config().set("worker", "task_completion_check_at_run", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", luigi.parameter.UnconsumedParameterWarning)
        result = by_luigi(PlainOvertaken(), worker_scheduler_factory=WorkerSchedulerFactory())
    assert result.status is luigi.LuigiStatusCode.SUCCESS
    assert times("plain") == (0 if wanted else 1)


def test_a_context_of_the_users_own_stays():
    luigi.configuration.get_config().set("worker", "task_process_context", "their.Context")
    worker = WorkerSchedulerFactory().create_worker(WorkerSchedulerFactory().create_local_scheduler(), 1)
    assert worker._config.task_process_context == "their.Context"
    assert SkipWhenComplete.__name__ not in worker._config.task_process_context


PIPELINE = """
import os, time
from pathlib import Path
import luigi
from kart_runtime import TaskOnKart

class Part(TaskOnKart[int]):
    number = luigi.IntParameter()
    def run(self):
        Path(f"began-{os.getppid()}").touch()
        until = time.monotonic() + 60
        while len(list(Path().glob("began-*"))) < int(os.environ.get("PROGRAMS", "1")) and time.monotonic() < until:
            time.sleep(0.05)
        self.dump(os.getppid())

class Whole(TaskOnKart[list]):
    def requires(self):
        return [Part(number=number) for number in range(6)]
    def run(self):
        self.dump(self.load())
"""


QUICK = ("--worker-wait-interval=0.1", "--worker-wait-jitter=0.1")
WHOLE = ("-m", "luigi", "--module", "pipeline", "Whole", "--workers", "2", "--no-lock", *QUICK)


def program(*words, **variables):
    env = {**os.environ, "PYTHONPATH": f"{Path.cwd()}{os.pathsep}{Path(__file__).parents[2]}", **variables}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, *words], env=env, **pipes)


def end(process):
    if process.poll() is None:
        process.terminate()
    try:
        return process.communicate(timeout=20)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


@contextmanager
def luigid():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = program("-c", "from luigi.cmdline import luigid; luigid()", "--port", str(port), "--address", "127.0.0.1")
    try:
        for _try in range(200):
            try:
                urlopen(f"http://127.0.0.1:{port}/api/graph?data=%7B%7D", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.1)
        yield port
    finally:
        end(process)


def test_the_command_line_of_luigi():
    Path("pipeline.py").write_text(PIPELINE)
    process = program(*WHOLE, "--local-scheduler")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert len(list(Path("resources/pipeline").iterdir())) == 7
    assert len(list(Path("resources/log/task_log").iterdir())) == 7


def test_two_programs_with_two_workers_each_share_the_work_of_luigid():
    Path("pipeline.py").write_text(PIPELINE)
    with luigid() as port:
        words = (*WHOLE, "--worker-keep-alive", "--scheduler-host", "127.0.0.1", "--scheduler-port", str(port))
        programs = [program(*words, PROGRAMS="2") for _number in range(2)]
        try:
            outputs = [one.communicate(timeout=120)[0] for one in programs]
        finally:
            for one in programs:
                end(one)
    assert [one.returncode for one in programs] == [0, 0], outputs
    (whole,) = Path("resources/pipeline").glob("Whole_*.pkl")
    workers = pickle.loads(whole.read_bytes())
    assert len(workers) == 6
    assert set(workers) == {one.pid for one in programs}
    for kind in KINDS:
        assert len(list(Path("resources/log", kind).iterdir())) == 7
