"""What `gokart.build` raises while it plans, and luigi's options."""

from __future__ import annotations

import logging
import threading

import luigi
import pytest

import kart_runtime.gokart as gokart
from kart_runtime.errors import ConfigError, NotATask
from kart_runtime.execution.locks import FileLocks
from kart_runtime.gokart.build import LUIGI_OPTIONS, GokartBuildError, _longest_wait
from kart_runtime.task.naming import lock_name


class Number(gokart.TaskOnKart[int]):
    def run(self):
        self.dump(1)


class InOutput(Number):
    def output(self):
        raise RuntimeError("in output")


class InComplete(Number):
    def complete(self):
        raise RuntimeError("in complete")


class UnknownSuffix(Number):
    def output(self):
        return self.make_target("x.unknown")


class ModelWithoutZip(Number):
    def output(self):
        return self.make_model_target("x.pkl", print, print)


class Below(Number):
    upstream = gokart.TaskInstanceParameter()


@pytest.mark.parametrize(
    ("cls", "text"),
    [
        (InOutput, "in output"),
        (InComplete, "in complete"),
        (UnknownSuffix, "No format"),
        (ModelWithoutZip, "No format"),
    ],
)
@pytest.mark.parametrize("is_root", [True, False])
def test_errors_while_planning_are_build_errors(cls, text, is_root):
    with pytest.raises(GokartBuildError, match=text) as caught:
        gokart.build(cls() if is_root else Below(upstream=cls()))
    assert caught.value.raised_exceptions == {}
    assert text in str(caught.value.__cause__)


def test_what_requires_raises_and_what_is_no_task_is_passed_on_as_in_gokart():
    class InRequires(Number):
        def requires(self):
            raise KeyError("in requires")

    class NoTask(Number):
        def requires(self):
            return 5

    with pytest.raises(KeyError, match="in requires"):
        gokart.build(InRequires())
    with pytest.raises(NotATask):
        gokart.build(NoTask())


def test_a_result_that_cannot_be_loaded_is_no_build_error():
    gokart.build(Number())
    with open(Number().output().path(), "wb") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="cannot be read") as caught:
        gokart.build(Number())
    assert not isinstance(caught.value, GokartBuildError)


def test_events_reach_the_listener():
    events = []
    gokart.build(Number(), on_event=events.append)
    assert [type(event).__name__ for event in events] == ["PlanMade", "TaskStarted", "TaskFinished", "BuildFinished"]


def test_luigis_options_are_taken(caplog):
    quiet = {"local_scheduler": True, "no_lock": True, "detailed_summary": True, "parallel_scheduling": True}
    assert gokart.build(Number(), workers=1, **quiet) == 1
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        assert gokart.build(Number(), scheduler_host="h", take_lock=True, lock_size=0) == 1
    assert caplog.messages == [
        f"build(): luigi's option scheduler_host has no effect: {LUIGI_OPTIONS['scheduler_host']}.",
        "build(): luigi's option take_lock has no effect: no process lock is used.",
    ]


def test_the_central_scheduler_and_unknown_options_are_refused():
    with pytest.raises(ConfigError, match="luigi's central scheduler"):
        gokart.build(Number(), local_scheduler=False)
    with pytest.raises(TypeError, match="unexpected option 'wokers'"):
        gokart.build(Number(), wokers=2)


def test_every_option_of_luigis_build_is_known():
    of_luigi = set(dict(luigi.interface.core.get_params())) - {"workers", "log_level"}
    assert of_luigi <= set(LUIGI_OPTIONS)


class OneNumber(gokart.TaskOnKart[int]):
    number: int = luigi.IntParameter()

    def run(self):
        self.dump(self.number)


def test_the_longest_pause_at_a_locked_task_is_not_the_longest_wait():
    task = OneNumber(number=5)
    over = threading.Event()

    def hold():
        with FileLocks(task.workspace_directory).hold(lock_name(task), None, 0):
            held.set()
            over.wait(0.6)

    held = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    assert gokart.build(task, task_lock_exception_max_wait_seconds=0.1) == 5
    holder.join()
    assert _longest_wait(10, None) == 511
    assert _longest_wait(10, 1) == 9
    assert _longest_wait(1000, 600) > 500_000
