"""The outputs of a run() become visible together, or not at all, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import luigi
import pytest

from kart_runtime import BuildFailed, TaskOnKart, build, make_target
from kart_runtime.errors import NothingDumped
from kart_runtime.storage import commit, value_cache
from kart_runtime.storage.commit import SUFFIX, recover
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.value_cache import caching_values

RUNS = Path("resources/log/runs")


class Two(TaskOnKart[int]):
    """Two outputs, and what a test wants run() to do."""

    values = ("a1", "b1")
    then = staticmethod(lambda task: None)
    success = staticmethod(lambda task: None)

    def output(self):
        return {name: self.make_target(f"two/{name}.pkl") for name in "ab"}

    def run(self):
        for name, value in zip("ab", self.values, strict=False):
            self.dump(value, name)
        type(self).then(self)

    def on_success(self):
        type(self).success(self)


@pytest.fixture
def two(monkeypatch):
    """The class, whose attributes a test may set."""
    for name in ("values", "then", "success"):
        monkeypatch.setattr(Two, name, Two.__dict__[name])
    return Two


def _fail(_task):
    raise ValueError("the result is not acceptable")


def temporary_files():
    return list(Path("resources").rglob(".kart-*")) + list(RUNS.glob(f"*{SUFFIX}"))


def stored():
    return {name: make_target(f"resources/two/{name}_{Two().make_unique_id()}.pkl") for name in "ab"}


def values():
    return {name: target.load() if target.exists() else None for name, target in stored().items()}


# -- one commit point ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["then", "success"])
@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_a_run_that_raises_leaves_nothing_that_counts(two, hook, executor):
    setattr(two, hook, staticmethod(_fail))
    with pytest.raises(BuildFailed, match="not acceptable"):
        build(two(), executor=executor)
    assert values() == {"a": None, "b": None}
    assert not two().complete()
    assert temporary_files() == []


@pytest.mark.parametrize("hook", ["then", "success"])
def test_a_rerun_that_raises_keeps_the_old_set(two, hook):
    build(two())
    two.values = ("a2", "b2")
    setattr(two, hook, staticmethod(_fail))
    with pytest.raises(BuildFailed):
        build(two(rerun=True))
    assert values() == {"a": "a1", "b": "b1"}


def test_a_rerun_that_is_retried_is_not_taken_for_complete(two):
    build(two())
    two.values, tries = ("a2", "b2"), []

    def fail_once(_task):
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("once")

    two.success, two.retry_count = staticmethod(fail_once), 2
    try:
        assert build(two(rerun=True), locks="file") == {"a": "a2", "b": "b2"}
    finally:
        del two.retry_count
    assert len(tries) == 2


def test_a_rerun_has_to_dump_every_output_itself(two):
    build(two())
    two.values = ("a2",)
    with pytest.raises(BuildFailed) as caught:
        build(two(rerun=True))
    (error,) = caught.value.causes.values()
    assert isinstance(error, NothingDumped)
    assert "b_" in str(error)
    assert "a_" not in str(error)
    assert values() == {"a": "a1", "b": "b1"}


def test_a_rerun_may_write_an_output_by_its_path():
    class ByPath(TaskOnKart[int]):
        text = "1"

        def output(self):
            return [self.make_target("x.txt"), self.make_target("y.pkl")]

        def run(self):
            self.dump(self.text, self.output()[1])
            if self.text:
                Path(self.output()[0].path()).parent.mkdir(exist_ok=True)
                Path(self.output()[0].path()).write_text(self.text)

    assert build(ByPath())[1] == "1"
    ByPath.text = "22"
    assert build(ByPath(rerun=True))[1] == "22"
    ByPath.text = ""
    with pytest.raises(BuildFailed, match="finished without writing"):
        build(ByPath(rerun=True))


# -- inside run() ----------------------------------------------------------------------------------------------------


def test_what_was_dumped_can_be_read_inside_the_same_run_and_by_nobody_else(two):
    seen = {}

    def look(task):
        target = task.output()["a"]
        seen["inside"] = (target.exists(), target.load(), task.load(target), task.complete())
        seen["age"] = abs(time.time() - target.last_modification_time().timestamp())
        with ThreadPoolExecutor(1) as thread:  # one that run() has started
            seen["thread"] = thread.submit(lambda: task.load(task.output()["a"])).result()
            seen["others"] = thread.submit(values).result()
            thread.submit(lambda: task.dump("a2", "a")).result()
        seen["second"] = target.load()

    two.then = staticmethod(look)
    assert build(two()) == {"a": "a2", "b": "b1"}
    assert seen["inside"] == (True, "a1", "a1", True)
    assert seen["age"] < 60
    assert (seen["thread"], seen["second"]) == ("a1", "a2")
    assert seen["others"] == {"a": None, "b": None}
    assert temporary_files() == []


def test_what_was_dumped_can_be_removed_again(two):
    two.then = staticmethod(lambda task: task.output()["b"].remove())
    with pytest.raises(BuildFailed, match="finished without writing"):
        build(two())
    assert values() == {"a": None, "b": None}


def test_a_run_that_yields_keeps_what_it_has_dumped(two):
    class Part(TaskOnKart[int]):
        def run(self):
            assert values() == {"a": None, "b": None}
            self.dump(5)

    class Yields(Two):
        def output(self):
            return {name: make_target(target.path()) for name, target in stored().items()}

        def run(self):
            self.dump("early", "a")
            yield Part()
            self.dump(self.output()["a"].load() + " and late", "b")

    assert build(Yields()) == {"a": "early", "b": "early and late"}
    assert values() == {"a": "early", "b": "early and late"}


def test_a_run_that_yields_and_never_goes_on_leaves_nothing(two):
    class Part(TaskOnKart[int]):
        def run(self):
            raise ValueError("no part")

    class Yields(Two):
        def run(self):
            self.dump("early", "a")
            yield Part()

    with pytest.raises(BuildFailed, match="no part"):
        build(Yields())
    assert temporary_files() == []


def test_run_called_directly_stores_at_once(two):
    seen = []
    two.then = staticmethod(lambda _task: seen.append(values()))
    two().run()
    assert seen == [{"a": "a1", "b": "b1"}]


def test_an_interrupted_run_leaves_nothing(two):
    def interrupt(_task):
        raise KeyboardInterrupt

    two.then = staticmethod(interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(two())
    assert values() == {"a": None, "b": None}
    assert temporary_files() == []


@pytest.mark.parametrize("executor", ["processes"])
def test_worker_processes_commit_too(executor):
    command = "from tests.runtime.storage.test_commit import Two; from kart_runtime import build; "
    command += f"print(build(Two(), executor={executor!r}, workers=2))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, env=_with_path())
    assert done.stdout == "{'a': 'a1', 'b': 'b1'}\n"
    assert temporary_files() == []


def _with_path():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


def test_a_task_of_luigis_commits_what_it_dumps_to_targets_of_karts():
    class Plain(luigi.Task):
        def output(self):
            return [make_target("resources/plain/a.pkl"), make_target("resources/plain/b.pkl")]

        def run(self):
            for target in self.output():
                target.dump(1)
                assert target.load() == 1
            assert not Path("resources/plain/a.pkl").exists()

    build(Plain())
    assert [target.load() for target in Plain().output()] == [1, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_a_forked_process_dumps_is_stored_by_it(two):
    def fork(task):
        process = os.fork()
        if not process:
            task.dump("of the child", "b")
            os._exit(0)
        os.waitpid(process, 0)

    two.values, two.then = ("a1",), staticmethod(fork)
    assert build(two()) == {"a": "a1", "b": "of the child"}


def test_what_a_thread_dumps_after_the_run_is_stored_at_once(two):
    later = []
    two.then = staticmethod(lambda task: later.append(partial(task.output()["a"].dump, "late")))
    build(two())
    later[0]()
    assert values() == {"a": "late", "b": "b1"}


def test_a_value_of_a_failed_run_is_not_cached(two):
    with caching_values(10_000_000):
        two.values = ("a" * 100_000, "b" * 100_000)
        build(two())
        two.values = ("x" * 100_000, "y" * 100_000)
        two.then = staticmethod(_fail)
        with pytest.raises(BuildFailed):
            build(two(rerun=True))
        assert len(value_cache.active_cache) == 2
        assert values()["a"] == "a" * 100_000


# -- recovery --------------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(two, monkeypatch):
    """Returns a function that commits a second set, and dies after some renames of outputs."""
    build(two())
    two.values = ("a2", "b2")

    def stop_after(renames):
        replace, done = os.replace, []

        def dying(source, target):
            if str(target).endswith(".pkl"):
                if len(done) == renames:
                    raise _Death
                done.append(target)
            replace(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying)
            patch.setattr(commit._Journal, "settle", _die)
            patch.setattr(commit._Journal, "delete", _die)
            patch.setattr("kart_runtime.storage.stores.local._Write.discard", lambda _self: None)
            with pytest.raises(_Death):
                build(two(rerun=True))

    return stop_after


class _Death(KeyboardInterrupt):
    """As if the process were killed."""


def _die(_journal):
    raise _Death


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_whoever_comes_next_finishes_a_commit(stopped, renames):
    stopped(renames)
    assert len(list(RUNS.glob(f"*{SUFFIX}"))) == 1
    for _ in range(2):  # a second time changes nothing
        assert recover("resources") == frozenset()
        assert values() == {"a": "a2", "b": "b2"}
        assert temporary_files() == []


def test_a_build_finishes_what_another_has_left_before_it_commits(stopped, two):
    stopped(1)
    two.values = ("a3", "b3")
    assert build(two(rerun=True)) == {"a": "a3", "b": "b3"}
    recover("resources")
    assert values() == {"a": "a3", "b": "b3"}
    assert temporary_files() == []


def test_a_commit_that_cannot_be_finished_leaves_no_mixed_set(stopped, two):
    stopped(1)
    (left,) = Path("resources/two").glob(".kart-*")
    left.write_bytes(left.read_bytes()[:-1])
    recover("resources")
    assert not two().complete()
    assert temporary_files() == []
    assert build(two()) == {"a": "a2", "b": "b2"}


def test_a_commit_whose_files_were_replaced_since_is_over(stopped):
    stopped(0)
    for name, target in stored().items():
        target.dump(f"{name}3")
    recover("resources")
    assert values() == {"a": "a3", "b": "b3"}
    assert temporary_files() == []


def test_the_workspace_may_be_named_from_another_folder(stopped, monkeypatch, tmp_path):
    stopped(1)
    workspace = str(Path("resources").absolute())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recover(workspace)
    assert list(Path(workspace).rglob(".kart-*")) == []


@pytest.mark.parametrize("text", ["", "{", '{"outputs": [{"novelty": 1}]}', "[]", '{"outputs": 5}'])
def test_a_damaged_commit_file_is_passed_over(two, caplog, text):
    build(two())
    RUNS.joinpath(f"x{SUFFIX}").write_text(text)
    assert recover("resources") == frozenset()
    assert values() == {"a": "a1", "b": "b1"}
    assert "damaged commit file" in caplog.text


def test_a_commit_file_renames_no_other_files(two):
    build(two())
    path = Path(stored()["a"].path())
    Path("notes").write_bytes(b"mine")
    entry = {"url": str(path.absolute()), "size": 4, "checksum": "", "temporary": "../../notes"}
    RUNS.joinpath(f"x{SUFFIX}").write_text(
        json.dumps({"outputs": [entry, {**entry, "url": "y", "temporary": "notes"}]})
    )
    recover("resources")
    assert Path("notes").read_bytes() == b"mine"
    assert values() == {"a": "a1", "b": "b1"}


def test_an_operation_that_fails_is_repeated_by_the_recovery(two, monkeypatch):
    build(two())
    two.values, replace, calls = ("a2", "b2"), os.replace, []

    def failing(source, target):
        calls.append(target)
        if [str(call).endswith(".pkl") for call in calls].count(True) == 2 and str(target).endswith(".pkl"):
            raise OSError(5, "Input/output error")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing)
        build(two(rerun=True))
    assert values() == {"a": "a2", "b": "b2"}
    assert temporary_files() == []


# -- objects ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def objects(two, bucket, monkeypatch):
    """A workspace in a bucket with a set of outputs; a second one stops before its second object."""
    workspace = f"{bucket.url}/ws"
    build(two(workspace_directory=workspace))
    two.values = ("a2", "b2")
    store, _ = store_for(workspace)
    put = type(store).put

    def stopping(self, key, data, labels=None):
        if "/b_" in key:
            raise _Death
        return put(self, key, data, labels)

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "put", stopping)
        patch.setattr(commit._Journal, "settle", _die)
        with pytest.raises(_Death):
            build(two(workspace_directory=workspace, rerun=True))
    return workspace


def test_objects_of_a_living_writer_do_not_count_and_stay(objects, two):
    outputs = two(workspace_directory=objects).output()
    assert recover(objects) == {target.url for target in outputs.values()}
    assert all(target.exists() for target in outputs.values())


def test_objects_of_a_dead_writer_are_no_complete_set(objects, two, monkeypatch):
    monkeypatch.setattr(commit, "LEASE_SECONDS", 0.0)
    task = two(workspace_directory=objects)
    store, folder = store_for(f"{objects}/log/runs")
    names = [stat.key.removeprefix(f"{folder}/") for stat in store.list(folder)]
    assert recover(objects, names) == frozenset()  # the names save a request
    assert not task.complete()
    assert build(task) == {"a": "a2", "b": "b2"}
    assert not [stat for stat in store.list(folder) if stat.key.endswith(SUFFIX)]


# -- kills at every operation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "how"), [("plain", "fail"), ("several", "kill"), ("several", "fail"), ("frame", "kill")]
)
def test_no_interruption_leaves_a_mixed_set(kind, how):
    """A sample; `python -m tests.runtime.faults` interrupts each operation."""
    command = [sys.executable, "-m", "tests.runtime.faults", "--kind", kind, "--how", how, "--times", "24"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    assert "'interrupted': 24" in done.stdout
    assert "although there was an old set" not in done.stdout
