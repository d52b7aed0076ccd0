"""An attempt seeds, runs, writes the log files and states what it came to."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import luigi
import numpy as np
import pytest

from kart_runtime import TaskOnKart
from kart_runtime.errors import LockLost, LockTimeout, NothingDumped
from kart_runtime.execution.attempt import Attempt, AttemptState
from kart_runtime.execution.locks import FileLocks
from kart_runtime.execution.seeds import set_seed
from kart_runtime.history.log_files import LogFiles
from kart_runtime.storage.memory_target import make_in_memory_target
from kart_runtime.task.parameters import Override, overriding


class Draws(TaskOnKart[list]):
    number = luigi.IntParameter(default=0)
    hidden = luigi.Parameter(default="h", significant=False)

    def run(self):
        self.task_log["note"] = "drawn"
        self.dump([random.random(), float(np.random.rand()), float(self.rng.random())])


def logged(task, kind):
    path = Path(task.workspace_directory, "log", kind, f"{type(task).__name__}_{task.make_unique_id()}.pkl")
    return pickle.loads(path.read_bytes())


def test_the_five_log_files_are_where_gokart_users_look():
    task = Draws(number=3)
    outcome = Attempt(task).run()
    assert outcome.state is AttemptState.DONE
    assert logged(task, "task_params") == {"number": "3"}
    assert logged(task, "random_seed") == {
        "seed": task.get_random_seed(),
        "seed_methods": ["random.seed", "numpy.random.seed"],
    }
    assert logged(task, "task_log") == {"note": "drawn", "file_path": [task.output().path()]}
    assert 0 <= logged(task, "processing_time") < 60
    versions = Path("resources/log/module_versions", f"Draws_{task.make_unique_id()}.txt").read_text()
    assert f"numpy=={np.__version__}" in versions.splitlines()
    assert task.get_task_params() == {"number": "3"}
    assert task.get_processing_time() == logged(task, "processing_time")
    written = LogFiles("resources", "Draws", task.make_unique_id())
    assert sorted(map(written.url, outcome.log_files)) == sorted(map(str, Path("resources/log").rglob("*.*")))


def test_without_log_files_the_seed_is_set_all_the_same():
    task = Draws(should_dump_supplementary_log_files=False)
    outcome = Attempt(task).run()
    assert not Path("resources/log").exists()
    first = task.output().load()
    Attempt(Draws(should_dump_supplementary_log_files=False, rerun=True)).run()
    assert task.output().load() == first
    assert outcome.seed == task.get_random_seed()


def test_the_same_task_draws_the_same_numbers_and_another_draws_others():
    values = []
    for task in (Draws(number=1), Draws(number=1, rerun=True), Draws(number=2)):
        random.seed(99)
        Attempt(task).run()
        values.append(task.output().load())
    assert values[0] == values[1]
    assert all(one != other for one, other in zip(values[0], values[2], strict=True))


def test_a_fixed_seed_may_be_nought():
    Attempt(Draws(fix_random_seed_value=0)).run()
    random.seed(0)
    np.random.seed(0)
    assert Draws().output().load()[:2] == [random.random(), float(np.random.rand())]


def test_parameters_of_a_users_own_may_be_called_like_ours():
    class Seeded(TaskOnKart[list]):
        seed = luigi.IntParameter(default=7)
        stored = luigi.Parameter(default="mine")

        def run(self):
            self.dump([self.seed, self.stored])

    outcome = Attempt(Seeded()).run()
    assert outcome.seed == int(Seeded().make_unique_id(), 16) % (2**32 - 1)
    assert Seeded().output().load() == [7, "mine"]


def test_seed_functions_that_do_not_exist_are_passed_over():
    given = []
    random.given = given.append
    try:
        assert set_seed(("random.given", "no.such.module", "random.nothing"), 5) == ["random.given"]
    finally:
        del random.given
    assert given == [5]


def test_secrets_are_masked_in_what_is_written():
    with overriding({Draws: {"number": Override(1234567, "x", secret=True)}}):
        Attempt(Draws()).run()
        assert "1234567" not in f"{Draws()} {Draws()!r}"
    assert not any(b"1234567" in path.read_bytes() for path in Path("resources").rglob("*.*"))


def test_an_exception_is_the_outcome():
    seen = []

    class Fails(TaskOnKart[int]):
        def run(self):
            self.dump(1)
            raise ValueError("oh")

        def on_failure(self, exception):
            seen.append(exception)

    @Fails.event_handler(luigi.Event.FAILURE)
    def on_failure(task, exception):
        seen.append((task, exception))

    outcome = Attempt(Fails()).run()
    assert outcome.state is AttemptState.FAILED
    assert isinstance(outcome.error, ValueError)
    assert 'raise ValueError("oh")' in outcome.trace
    assert seen == [(Fails(), outcome.error), outcome.error]  # the order of luigi's worker, and of gokart's
    assert outcome.stored == ()
    assert not Fails().output().exists()  # what a failed run() has dumped does not count


def test_a_post_mortem_that_fails_does_not_hide_the_failure():
    class Clumsy(TaskOnKart[int]):
        def run(self):
            raise ValueError("first")

        def on_failure(self, exception):
            raise ZeroDivisionError("second")

    outcome = Attempt(Clumsy()).run()
    assert str(outcome.error) == "first"
    assert "second" in outcome.error.__notes__[0]


def test_a_question_under_a_lock_that_raises_is_a_failure():
    class Broken(TaskOnKart[int]):
        def complete(self):
            raise PermissionError("no")

    outcome = Attempt(Broken(), FileLocks("resources")).run()
    assert (outcome.state, str(outcome.error)) == (AttemptState.FAILED, "no")


def test_a_task_that_exits_has_failed():
    class Exits(TaskOnKart[int]):
        def run(self):
            raise SystemExit(3)

    assert Attempt(Exits()).run().state is AttemptState.FAILED


def test_ctrl_c_goes_through():
    class Interrupted(TaskOnKart[int]):
        def run(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Attempt(Interrupted()).run()


def test_a_run_that_dumps_nothing_has_failed():
    class Forgets(TaskOnKart[int]):
        def run(self):
            pass

    outcome = Attempt(Forgets()).run()
    assert isinstance(outcome.error, NothingDumped)
    assert Forgets().output().path() in str(outcome.error)


def test_an_output_that_was_written_by_other_means_counts():
    class Writes(TaskOnKart[str]):
        def output(self):
            return luigi.LocalTarget("by-hand.txt")

        def run(self):
            with self.output().open("w") as file:
                file.write("x")

    assert Attempt(Writes()).run().state is AttemptState.DONE


def test_luigis_events_and_reporters_are_there():
    seen = []

    class Reports(TaskOnKart[int]):
        def run(self):
            self.set_status_message("half")
            self.set_progress_percentage(50)
            self.set_tracking_url("x")
            self.dump(1)

        def on_success(self):
            seen.append("on_success")

    for event in (luigi.Event.START, luigi.Event.SUCCESS, luigi.Event.PROCESSING_TIME):
        Reports.event_handler(event)(lambda *arguments, event=event: seen.append(event))
    assert Attempt(Reports()).run().state is AttemptState.DONE
    assert seen == [luigi.Event.START, luigi.Event.PROCESSING_TIME, "on_success", luigi.Event.SUCCESS]


def test_a_plain_luigi_task_runs_without_log_files():
    class Plain(luigi.Task):
        def output(self):
            return luigi.LocalTarget("plain.txt")

        def run(self):
            with self.output().open("w") as file:
                file.write("x")

    assert Attempt(Plain()).run().state is AttemptState.DONE
    assert not Path("resources").exists()


def test_under_a_lock_the_attempt_looks_again():
    locks = FileLocks("resources")
    assert Attempt(Draws(), locks).run().state is AttemptState.DONE
    assert Attempt(Draws(), locks).run().state is AttemptState.COMPLETE


def test_a_lock_that_is_not_to_be_had_is_named_and_not_waited_for():
    locks = FileLocks("resources")
    task = Draws()
    with locks.hold(f"Draws_{task.make_unique_id()}", None, 0):
        outcome = Attempt(task, locks).run()
    assert outcome.state is AttemptState.LOCKED
    assert isinstance(outcome.error, LockTimeout)
    assert "Draws_" in str(outcome.error)


def test_a_task_is_locked_in_its_own_workspace():
    task = Draws(workspace_directory="elsewhere")
    Attempt(task, FileLocks("resources")).run()
    assert Path("elsewhere/log/locks/tasks.lock").exists()
    assert not Path("resources").exists()


class Robbed(TaskOnKart[int]):
    """A task whose lock is removed while it runs."""

    when = luigi.Parameter()
    swallows = luigi.BoolParameter()

    def lose(self):
        Path("resources/log/locks/tasks.lock").unlink()

    def run(self):
        if self.when == "before":
            self.lose()
        try:
            self.dump(1)
        except LockLost:
            if not self.swallows:
                raise
        if self.when == "after":
            self.lose()


def test_who_has_lost_the_lock_stores_nothing():
    task = Robbed(when="before")
    outcome = Attempt(task, FileLocks("resources")).run()
    assert outcome.state is AttemptState.FAILED
    assert isinstance(outcome.error, LockLost)
    assert not task.complete()
    assert "processing_time" not in outcome.log_files
    assert not [path for path in Path("resources").rglob("*.*") if "/log/" not in str(path)]
    assert task._kart_run is None


@pytest.mark.parametrize("task", [Robbed(when="after"), Robbed(when="before", swallows=True)], ids=str)
def test_who_loses_the_lock_later_or_without_telling_writes_no_log_of_success(task):
    outcome = Attempt(task, FileLocks("resources")).run()
    assert isinstance(outcome.error, LockLost)
    assert not Path(f"resources/log/task_log/Robbed_{task.make_unique_id()}.pkl").exists()


def test_a_plain_luigi_task_is_locked_in_the_workspace_of_the_build():
    class Plain(luigi.Task):
        def output(self):
            return luigi.LocalTarget("plain.txt")

        def run(self):
            with pytest.raises(LockTimeout), locks.hold(f"Plain_{self.task_id}", "resources", 0):
                pytest.fail("the lock is held")
            with self.output().open("w") as file:
                file.write("x")

    locks = FileLocks("resources")
    assert Attempt(Plain(), locks).run().state is AttemptState.DONE
    with locks.hold(f"Plain_{Plain().task_id}", "resources", 0):
        pass


def test_other_targets_than_kart_s_are_dumped_to_without_a_check():
    class InMemory(TaskOnKart[int]):
        def output(self):
            return make_in_memory_target("key")

        def run(self):
            self.dump(1)

    assert Attempt(InMemory(), FileLocks("resources")).run().state is AttemptState.DONE


def test_a_run_that_yields_is_suspended_and_goes_on_where_it_was():
    entered = []

    class Yields(TaskOnKart[list]):
        def run(self):
            entered.append(1)
            first = yield Draws(number=10)
            both = yield {"a": Draws(number=11), "b": [Draws(number=10)]}
            self.dump([first.load(), both["a"].load(), both["b"][0].load()])

    attempt = Attempt(Yields())
    outcome = attempt.run()
    assert (outcome.state, outcome.waiting_for) == (AttemptState.SUSPENDED, (Draws(number=10),))
    Attempt(Draws(number=10)).run()
    assert attempt.run().waiting_for == (Draws(number=11),)
    Attempt(Draws(number=11)).run()
    assert attempt.run().state is AttemptState.DONE
    assert entered == [1]
    assert Yields().output().load()[0] == Draws(number=10).output().load()


def test_yielding_something_else_is_a_failure():
    class Wrong(TaskOnKart[int]):
        def run(self):
            yield 3

    assert "yielded 3" in str(Attempt(Wrong()).run().error)
