"""Tasks run on a Dask cluster as they do here; a worker that dies costs no other task, and what is unfit is refused."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import luigi
import pytest
from distributed import Client, LocalCluster

from kart_runtime import SecretParameter, TaskOnKart, build
from kart_runtime.errors import BuildFailed, CannotSend, ConfigError, NotImportable, WorkersKilled
from kart_runtime.execution.executors import DaskExecutor
from kart_runtime.execution.executors.dask import client as dask_client
from kart_runtime.execution.executors.dask import executor as dask_executor
from kart_runtime.history.runs import read_records
from kart_runtime.storage import registry
from kart_runtime.task.parameters import Override, overriding
from tests.runtime.execution.executors.dask_clusters import cluster, until
from tests.runtime.execution.executors.scripts import run_script, start_script


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    """Return two workers without a nanny, which stand somewhere else."""
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


class One(TaskOnKart[tuple[int, int]]):
    number: int = luigi.IntParameter(default=1)
    plus: int = luigi.IntParameter(default=0)

    def run(self):
        self.dump((self.number + self.plus, os.getpid()))


class Sum(TaskOnKart[tuple[int, int]]):
    count: int = luigi.IntParameter(default=8)

    def requires(self):
        return [One(number=number) for number in range(self.count)]

    def run(self):
        self.dump((sum(number for number, _ in self.load()), os.getpid()))


def test_tasks_go_to_the_cluster_and_data_through_the_workspace(dask):
    value, pid = build(Sum(), executor="dask", address=dask.address)
    assert value == 28
    assert pid != os.getpid()
    assert len(list(Path("resources").rglob("One_*.pkl"))) >= 8
    assert list(Path("resources").rglob(".kart-*")) == []


def test_whether_a_redis_server_answers_is_the_workers_question(dask):
    with pytest.raises(BuildFailed, match=r"run\.locks: cannot connect to redis at 127\.0\.0\.1:1:") as caught:
        build(One(number=70), executor="dask", address=dask.address, locks="redis://127.0.0.1:1")
    (error,) = caught.value.causes.values()
    assert isinstance(error, ConfigError)
    assert not One(number=70).complete()


class Meets(TaskOnKart[int]):
    mine: str = luigi.Parameter()
    other: str = luigi.Parameter()

    def run(self):
        Path(self.mine).touch()
        while not Path(self.other).exists():
            time.sleep(0.01)
        self.dump(os.getpid())


def test_both_workers_work_at_once_and_stand_where_the_program_does(dask):
    assert len(set(build([Meets(mine="a", other="b"), Meets(mine="b", other="a")], address=dask.address))) == 2


class Fails(TaskOnKart[int]):
    def run(self):
        raise LookupError("seven")


def test_a_failure_comes_back_with_the_workers_traceback(dask):
    with pytest.raises(BuildFailed, match="LookupError: seven") as caught:
        build([Fails(), One()], address=dask.address)
    (error,) = caught.value.causes.values()
    assert isinstance(error, LookupError)
    notes = "\n".join(error.__notes__)
    assert 'raise LookupError("seven")' in notes
    assert "On the Dask worker tcp://127.0.0.1:" in notes
    assert One().complete()


class Measures(TaskOnKart[int]):
    key = SecretParameter(default="over-the-wire-99")

    def run(self):
        self.log_metric("loss", 0.5, step=1)
        logging.getLogger("mine").warning("with %s", self.key)
        raise LookupError(self.key)


def test_what_a_task_measures_and_logs_is_recorded_without_secrets(dask):
    with pytest.raises(BuildFailed, match=r"LookupError: \*\*\*"):
        build(Measures(), address=dask.address)
    (record,) = read_records("resources")
    assert (record.metrics, record.series, record.logged) == ({"loss": 0.5}, ("loss",), 1)
    assert record.cpu is not None
    assert record.worker.count(":") >= 2
    (lines,) = Path("resources/log/lines").iterdir()
    assert lines.read_text().endswith("WARNING mine: with ***\n")
    texts = [path.read_bytes() for path in Path("resources").rglob("*") if path.is_file()]
    assert not [text for text in texts if b"over-the-wire" in text]


class Yields(TaskOnKart[int]):
    def run(self):
        total = 0
        for number in range(3):
            task = One(number=number)
            yield task
            total += task.output().load()[0]
        self.dump(total)


def test_what_a_run_yields_is_run_first(dask):
    assert build(Yields(), address=dask.address) == 3


def test_overrides_and_luigis_configuration_reach_tasks_that_a_worker_makes(dask):
    luigi.configuration.get_config().set("One", "plus", "100")
    assert build(Yields(), address=dask.address) == 303
    luigi.configuration.get_config().remove_section("One")
    with overriding({One: {"plus": Override(10, "command line")}}):
        assert build(Yields(rerun=True), address=dask.address) == 33
    assert build(Yields(rerun=True), address=dask.address) == 3


class Here(One):
    executor = "serial"


class InThread(TaskOnKart[tuple[int, str]]):
    executor = "threads"

    def run(self):
        self.dump((os.getpid(), threading.current_thread().name))


class Away(One):
    executor = "dask"


def test_a_task_may_run_in_the_program(dask):
    (_, here), (thread, name), (_, away) = build([Here(), InThread(), Away()], address=dask.address)
    assert here == thread == os.getpid() != away
    assert name != "MainThread"


def test_a_build_without_a_cluster_refuses_a_task_that_wants_one():
    with pytest.raises(ConfigError, match=r"Away\.executor: this build has no Dask cluster"):
        build([One(), Away()])
    assert not Path("resources").exists()


def test_a_class_of_a_function_and_its_errors_go_there_and_back(dask):
    class Odd(Exception):
        pass

    class Local(TaskOnKart[int]):
        def run(self):
            raise Odd("mine")

    with pytest.raises(BuildFailed) as caught:
        build(Local(), address=dask.address)
    assert isinstance(caught.value.__cause__, Odd)


def test_what_cannot_be_sent_fails_alone(dask):
    lock = threading.Lock()
    with DaskExecutor(dask.address) as executor:
        assert isinstance(executor.submit(abs, lock).exception(30), CannotSend)
        assert isinstance(executor.submit(threading.Lock).exception(30), CannotSend)
        assert isinstance(executor.submit(sys.exit, 3).exception(30), SystemExit)
        assert executor.submit(lambda: 7).result(30) == 7
        assert "int(" in executor.submit(int, "x").exception(30).__notes__[0]


def test_what_has_the_highest_rank_goes_first(tmp_path):
    def note(name):
        def run():
            while not Path("go").exists():
                time.sleep(0.01)
            with Path("order").open("a") as file:
                file.write(name)

        return run

    with cluster(tmp_path / "cluster", workers=1) as dask, DaskExecutor(dask.address) as executor:
        executor.open(workspaces=["resources"])
        # The scheduler sends a worker one more than it can run, so that two are gone before there is a choice.
        ranks = {"first": (9, 0.0), "next": (9, 0.0), "low": (0, 1.0), "long": (0, 100.0), "urgent": (5, 0.0)}
        futures = [executor.submit_ranked(rank, note(f"{name} ")) for name, rank in ranks.items()]
        time.sleep(1.5)  # all of them have arrived
        Path("go").touch()
        assert [future.result(30) for future in futures] == [None] * 5
    assert Path("order").read_text().split() == ["first", "next", "urgent", "long", "low"]


def test_a_store_of_the_project_is_known_to_workers(dask, monkeypatch, tmp_path):
    Path("own_stores.py").write_text(
        "from kart_runtime.storage.stores.local import LocalStore\nclass Shelf(LocalStore):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.STORES, "shelf", "own_stores:Shelf")
    assert build(Sum(count=2, workspace_directory=f"shelf://{tmp_path}/shelf"), address=dask.address)[0] == 1
    assert list(Path("shelf").rglob("Sum_*.pkl"))


# -- which cluster -------------------------------------------------------------------------------------------------


def test_the_current_client_is_taken_and_left_open():
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as local, Client(local) as client:
        assert build(One(), executor="dask")[1] != os.getpid()
        assert client.status == "running"
        assert client.submit(abs, -1).result(10) == 1
        assert client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins)) == ["shuffle"]


def test_workers_that_are_threads_of_the_program_will_do():
    class Wanted(TaskOnKart[int]):
        def run(self):
            self.dump(1)

    class Local(TaskOnKart[int]):
        def run(self):
            yield Wanted()
            self.dump(os.getpid())

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as local,
        Client(local),
    ):
        assert build(Local(), executor="dask") == os.getpid()


def test_dasks_own_configuration_names_a_cluster(dask):
    import dask as library

    with library.config.set({"scheduler-address": dask.address}):
        assert build(One(), executor="dask")[1] != os.getpid()


def test_without_any_cluster_it_is_said_what_to_write():
    with pytest.raises(ConfigError, match=r"run\.address: no Dask cluster is configured\. Set .*tcp://HOST:8786"):
        build(One(), executor="dask")
    assert not Path("resources").exists()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "no-scheme-at-all", "fax://127.0.0.1:9"])
def test_an_address_where_nobody_answers_is_refused_in_time(address, monkeypatch):
    monkeypatch.setattr(dask_client, "_CONNECT_SECONDS", 1)
    began = time.monotonic()
    with pytest.raises(ConfigError, match=f"no Dask scheduler answers at {address}"):
        build(One(), address=address)
    assert time.monotonic() - began < 10
    assert not Path("resources").exists()


def test_a_scheduler_that_accepts_and_never_answers_is_refused_in_time(monkeypatch):
    monkeypatch.setattr(dask_client, "_CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "tcp://{}:{}".format(*server.getsockname())
        began = time.monotonic()
        with pytest.raises(ConfigError, match=f"no Dask scheduler answers at {address}"):
            build(One(), address=address)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_another_executor_has_no_address(executor):
    with pytest.raises(ConfigError, match=r"run\.address: the .* executor has no address"):
        build(One(), executor=executor, address="tcp://127.0.0.1:9")


def test_a_client_that_is_made_here_is_closed(dask):
    before = set(threading.enumerate())
    build(One(), address=dask.address)
    assert until(lambda: not [one for one in set(threading.enumerate()) - before if "loop" in one.name.lower()])


# -- what is unfit -------------------------------------------------------------------------------------------------


def test_a_workspace_in_memory_is_refused(dask):
    with pytest.raises(ConfigError, match="cannot see the memory of this process"):
        build(One(workspace_directory="memory://here"), address=dask.address)


def test_a_folder_that_workers_do_not_see_is_refused(dask, monkeypatch):
    monkeypatch.setattr(dask_executor, "_mark", lambda _folders, _build: [Path("/srv/elsewhere/mark")])
    with pytest.raises(ConfigError, match=r"run\.workspace: /srv/elsewhere is not the same folder .*tcp://.*s3://"):
        build(One(), address=dask.address)


def test_a_worker_that_comes_later_and_does_not_see_the_folder_fails_its_work(dask, monkeypatch):
    monkeypatch.setattr(dask_executor, "_mark", lambda _folders, _build: [Path("/srv/elsewhere/mark")])
    monkeypatch.setattr(dask_executor, "check_workers", lambda *_: None)
    with pytest.raises(BuildFailed, match="/srv/elsewhere is not the same folder for tcp://"):
        build(One(), address=dask.address)


def test_workers_of_another_version_are_refused(dask, monkeypatch):
    monkeypatch.setattr(dask_client, "make_version", lambda: lambda: "9.9")
    with pytest.raises(ConfigError, match=r"tcp://.* have kart-runtime .*where they run, kart-runtime\[dask\] 9\.9"):
        build(One(), address=dask.address)
    assert list(Path().rglob("*.pkl")) == []


def test_a_worker_of_another_version_that_comes_later_fails_its_work(dask, monkeypatch):
    monkeypatch.setattr(dask_executor, "make_version", lambda: lambda: "9.9")
    with pytest.raises(BuildFailed, match=r"ExecutorError: .* have kart-runtime .*install the same version"):
        build(One(), address=dask.address)


def test_a_cluster_of_another_python_is_refused(dask, monkeypatch):
    monkeypatch.setattr("platform.python_version_tuple", lambda: ("3", "99", "1"))
    with pytest.raises(ConfigError, match=r"the scheduler of the Dask cluster runs Python 3\..*expected Python 3\.99"):
        build(One(), address=dask.address)


# -- the program's code --------------------------------------------------------------------------------------------


def write_package(name, value):
    Path(name).mkdir(exist_ok=True)
    Path(name, "__init__.py").write_text("")
    Path(name, "data.txt").write_text(str(value))
    Path(name, "tasks.py").write_text(
        "from pathlib import Path\n"
        "from kart_runtime import TaskOnKart\n"
        f"import {name}_beside\n"
        "class Reads(TaskOnKart):\n"
        "    def run(self):\n"
        "        text = Path(__file__).with_name('data.txt').read_text()\n"
        f"        self.dump((text, {value}, {name}_beside.NAME, __file__))\n"
    )
    Path(f"{name}_beside.py").write_text(f"NAME = {name!r}\n")


def forget(name):
    for module in [module for module in sys.modules if module.partition(".")[0] in {name, f"{name}_beside"}]:
        del sys.modules[module]


def test_the_programs_packages_are_sent_and_an_edit_counts(dask, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    for value in (1, 2, 2, 1):
        write_package("sent_package", value)
        from sent_package.tasks import Reads

        *read, file = build(Reads(rerun=True), address=dask.address)
        assert read == [str(value), value, "sent_package"]
        assert not Path(file).is_relative_to(tmp_path)
        forget("sent_package")


def test_an_installed_module_that_a_worker_lacks_is_named(dask, monkeypatch, tmp_path):
    place = tmp_path / "site-packages"
    place.mkdir()
    (place / "lost_here.py").write_text("from kart_runtime import TaskOnKart\nclass Lost(TaskOnKart): pass\n")
    monkeypatch.syspath_prepend(place)
    from lost_here import Lost

    with pytest.raises(BuildFailed, match=r"The Dask worker tcp://\S+ cannot import module 'lost_here'") as caught:
        build([Lost(), One()], address=dask.address)
    assert isinstance(caught.value.__cause__, NotImportable)
    assert "Install it on the machines of the workers" in str(caught.value.__cause__)
    assert One().complete()


def test_a_package_that_is_too_large_is_not_sent(dask, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr("kart_runtime.execution.executors.dask.packages.LIMIT", 10)
    monkeypatch.syspath_prepend(tmp_path)
    write_package("large_package", 1)
    from large_package.tasks import Reads

    with caplog.at_level(logging.WARNING), pytest.raises(BuildFailed, match="cannot import module 'large_package"):
        build(Reads(), address=dask.address)
    assert "Not sending package large_package" in caplog.text
    forget("large_package")


# -- several builds on one worker ----------------------------------------------------------------------------------


def ask():
    time.sleep(0.05)
    return One().plus


def test_builds_with_different_choices_take_turns_on_a_worker(tmp_path, caplog):
    with cluster(tmp_path / "cluster", workers=0) as dask:
        dask.start_worker("--nthreads", "3")
        with DaskExecutor(dask.address) as first, DaskExecutor(dask.address) as second:
            for executor, plus in ((first, 10), (second, 20)):
                with overriding({One: {"plus": Override(plus, "here")}}):
                    executor.open()
            asked = [executor.submit(ask) for _ in range(6) for executor in (first, second)]
            assert [one.result(30) for one in asked] == [10, 20] * 6
        with caplog.at_level(logging.WARNING):
            build(One(), address=dask.address)
        assert "Some Dask workers have several threads" in caplog.text


# -- deaths --------------------------------------------------------------------------------------------------------


class Dies(TaskOnKart[int]):
    """Says who runs it, and waits to be killed the first time."""

    def run(self):
        with Path("starts").open("a") as file:
            file.write(f"{os.getpid()}\n")
        while len(Path("starts").read_text().split()) == 1:
            time.sleep(0.01)
        self.dump(os.getpid())


class Kills(TaskOnKart[int]):
    retry_count = 5

    def run(self):
        with Path("starts").open("a") as file:
            file.write(f"{os.getpid()}\n")
        os._exit(3)


def test_the_task_of_a_killed_worker_is_run_elsewhere(tmp_path):
    def kill():
        until(lambda: Path("starts").exists() and Path("starts").read_text().endswith("\n"))
        os.kill(int(Path("starts").read_text()), signal.SIGKILL)

    with cluster(tmp_path / "cluster") as dask:
        thread = threading.Thread(target=kill)
        thread.start()
        value = build(Dies(), address=dask.address)
        thread.join()
    first, second = map(int, Path("starts").read_text().split())
    assert (value, first != second) == (second, True)


@pytest.mark.parametrize(("nanny", "allowed"), [(True, "9"), (False, "0")])
def test_a_task_that_kills_three_workers_is_given_up_and_no_other(tmp_path, nanny, allowed):
    environ = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": allowed}
    tasks = [Kills(), *(One(number=number) for number in range(6))]
    with (
        cluster(tmp_path / "cluster", workers=1 if nanny else 4, nanny=nanny, **environ) as dask,
        pytest.raises(BuildFailed) as caught,
    ):
        build(tasks, address=dask.address)
    assert len(Path("starts").read_text().split()) == 3
    (error,) = caught.value.causes.values()
    assert isinstance(error, WorkersKilled)
    assert error.workers == 3
    assert str(error).startswith("Gave up on Kills")
    assert all(One(number=number).complete() for number in range(6))


def test_a_scheduler_that_takes_no_plugin_keeps_its_own_number(tmp_path, caplog):
    environ = {
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
        "DASK_DISTRIBUTED__SCHEDULER__BLOCKED_HANDLERS": "['register_scheduler_plugin']",
    }
    with (
        cluster(tmp_path / "cluster", workers=1, **environ) as dask,
        caplog.at_level(logging.WARNING),
        pytest.raises(BuildFailed, match=r"Gave up on Kills.*: 1 Dask worker died"),
    ):
        build(Kills(), address=dask.address)
    assert "The Dask scheduler accepts no plugin" in caplog.text


def test_workers_may_come_later(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(dask_executor, "_LOOK_SECONDS", 0.2)
    with (
        cluster(tmp_path / "cluster", workers=0) as dask,
        DaskExecutor(dask.address) as executor,
        caplog.at_level(logging.WARNING),
    ):
        future = executor.submit(os.getpid)
        assert until(lambda: "has no workers yet; waiting for some to join" in caplog.text)
        assert not future.done()
        worker = dask.start_worker()
        assert future.result(30) == worker.pid
    assert caplog.text.count("has no workers") == 1


# -- whole programs ------------------------------------------------------------------------------------------------

ENDLESS = """
    import os, time
    from kart_runtime import SecretParameter, TaskOnKart, build

    class Done(TaskOnKart):
        def run(self):
            self.dump(1)

    class Endless(TaskOnKart):
        def requires(self):
            return Done()

        def run(self):
            open("began", "w").close()
            time.sleep(600)

    build(Endless(), address="ADDRESS")
"""


def test_ctrl_c_ends_the_build_and_names_a_worker_that_nobody_can_end(tmp_path):
    with (
        cluster(tmp_path / "cluster", workers=1) as dask,
        start_script(ENDLESS.replace("ADDRESS", dask.address)) as program,
    ):
        assert until(Path("began").exists)
        began = time.monotonic()
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=30)
        assert time.monotonic() - began < 10
        assert dask.processes[1].poll() is None
    assert "KeyboardInterrupt" in said
    assert "Tasks go on, and nothing that they dump is wanted, on the Dask workers tcp://127.0.0.1:" in said  # no nanny
    assert [path.name.partition("_")[0] for path in Path("resources/__main__").iterdir()] == ["Done"]
    assert list(Path("resources").rglob(".kart-*")) == []


def test_a_scheduler_that_is_lost_ends_the_build(tmp_path):
    with (
        cluster(tmp_path / "cluster", workers=1) as dask,
        start_script(ENDLESS.replace("ADDRESS", dask.address)) as program,
    ):
        assert until(Path("began").exists)
        began = time.monotonic()
        dask.processes[0].kill()
        _, said = program.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert f"Lost the connection to the Dask scheduler at {dask.address}" in said
    assert "BuildFailed" in said


def test_a_script_and_the_module_beside_it_reach_workers_that_stand_elsewhere(dask):
    Path("beside.py").write_text("NAME = 'beside'\n")
    done = run_script(f"""
        import os
        import beside
        from kart_runtime import SecretParameter, TaskOnKart, build

        class First(TaskOnKart):
            def run(self):
                self.dump(beside.NAME)

        class Second(TaskOnKart):
            def requires(self):
                return First()

            def run(self):
                self.dump((self.load(), os.getpid()))

        name, pid = build(Second(), address={dask.address!r})
        print(name, pid != os.getpid())
    """)
    assert (done.stdout, done.returncode) == ("beside True\n", 0), done.stderr


def test_the_command_line_runs_a_project_on_a_cluster(dask, tmp_path):
    package = tmp_path / "src" / "dasked"
    (package / "tasks").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "tasks" / "numbers.py").write_text(
        "import os\n"
        "import luigi\n"
        "from kart_runtime import TaskOnKart\n"
        "class Number(TaskOnKart[int]):\n"
        "    size: int = luigi.IntParameter(default=1)\n"
        "    def run(self):\n"
        "        self.dump(self.size)\n"
        "class Total(TaskOnKart[str]):\n"
        "    def requires(self):\n"
        "        return Number()\n"
        "    def run(self):\n"
        "        self.dump(f'{self.load()} {os.getppid()}')\n"
    )
    conf = tmp_path / "conf" / "base"
    (conf / "tasks").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.kart]\npackage = "dasked"\n')
    (conf / "run.yaml").write_text("task: Total\nworkspace: outputs/\n")
    (conf / "tasks" / "numbers.yaml").write_text("Number:\n  size: 5\n")
    words = ["run", "--executor", "dask", "--address", dask.address]
    done = subprocess.run([sys.executable, "-m", "kart_runtime", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "2 tasks: 2 ran, 0 already complete" in done.stdout
    (total,) = Path("outputs", "dasked").rglob("Total_*.pkl")
    assert pickle.loads(total.read_bytes()).split()[0] == "5"
    words[2] = "threads"
    refused = subprocess.run([sys.executable, "-m", "kart_runtime", *words], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2
    assert "error: run.address: the threads executor has no address" in refused.stderr
