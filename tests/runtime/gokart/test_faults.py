"""The faults of gokart that did not come along, each as a user would meet it."""

from __future__ import annotations

import logging
import pickle
import random
import subprocess
import sys
import threading
from pathlib import Path

import luigi
import pytest

import kart_runtime.gokart as gokart
from kart_runtime.errors import NothingDumped, UnknownScheme
from kart_runtime.gokart.errors import GokartBuildError


class Number(gokart.TaskOnKart[int]):
    value = luigi.IntParameter(default=1)

    def run(self):
        self.dump(self.value)


class Fails(gokart.TaskOnKart[int]):
    value = luigi.IntParameter(default=1)

    def run(self):
        raise ValueError(f"no {self.value}")


class Fail2(gokart.TaskOnKart[int]):
    def requires(self):
        return [Fails(value=value) for value in range(4)]


class Forgets(gokart.TaskOnKart[int]):
    def run(self):
        pass


class Random(gokart.TaskOnKart[float]):
    def run(self):
        self.dump(random.random())


class Model(gokart.TaskOnKart[str]):
    def output(self):
        return self.make_model_target("model.zip", save_function=_save, load_function=_load)

    def run(self):
        with open("runs.txt", "a") as file:
            file.write("x")
        self.dump("model")


def _save(model, path):
    Path(path).write_text(model)


def _load(path):
    return Path(path).read_text()


class Chain(gokart.TaskOnKart[int]):
    length = luigi.IntParameter()

    def requires(self):
        return Chain(length=self.length - 1) if self.length else []

    def run(self):
        self.dump(self.length)


class Dynamic(gokart.TaskOnKart[int]):
    def run(self):
        total = 0
        for value in range(3):
            target = yield Number(value=value)
            total += target.load()
        self.dump(total)


def test_deleting_unnecessary_outputs_keeps_the_necessary_ones():
    gokart.build([Number(value=1), Number(value=2)])
    gokart.delete_local_unnecessary_outputs(Number(value=1))
    assert Number(value=1).complete()
    assert not Number(value=2).complete()
    assert Path(f"resources/log/task_params/Number_{Number(value=2).make_unique_id()}.pkl").exists()


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"workers": 2, "executor": "threads"}])
def test_every_exception_is_in_the_error(options):
    with pytest.raises(GokartBuildError) as caught:
        gokart.build(Fail2(), **options)
    raised = caught.value.raised_exceptions
    expected = {Fails(value=value).make_unique_id(): [f"no {value}"] for value in range(4)}
    assert {key: [str(error) for error in errors] for key, errors in raised.items()} == expected
    assert all(isinstance(error, ValueError) for errors in raised.values() for error in errors)


def test_the_versions_of_modules_are_kept():
    gokart.build(Number())
    text = Path(f"resources/log/module_versions/Number_{Number().make_unique_id()}.txt").read_text()
    assert f"python=={sys.version.split()[0]}" in text
    assert "pytest==" in text


def test_the_parameters_of_a_task_are_its_parameters():
    gokart.build(Number(value=7))
    assert Number(value=7).get_task_params() == {"value": "7"}


def test_a_model_can_be_removed_and_run_again():
    assert gokart.build(Model()) == "model"
    gokart.build(Model(rerun=True))
    assert Path("runs.txt").read_text() == "xx"
    Model().output().remove()
    assert not Model().complete()
    gokart.build(Model())
    assert Path("runs.txt").read_text() == "xxx"


def test_without_log_files_the_seed_is_still_set():
    first = gokart.build(Random(should_dump_supplementary_log_files=False))
    Random().output().remove()
    random.seed()
    assert gokart.build(Random(should_dump_supplementary_log_files=False)) == first


def test_nought_is_a_seed():
    random.seed(0)
    expected = random.random()
    assert gokart.build(Random(fix_random_seed_value=0)) == expected


def test_handlers_do_not_pile_up():
    handlers = luigi.Task._event_callbacks

    def count():
        return sum(len(calls) for events in handlers.values() for calls in events.values())

    gokart.build(Number(value=0))
    before, loggers = count(), len(logging.getLogger().handlers)
    for value in range(1, 4):
        gokart.build(Number(value=value), log_level=logging.CRITICAL)
        with pytest.raises(GokartBuildError):
            gokart.build(Fails(value=value))
    assert count() == before
    assert len(logging.getLogger().handlers) == loggers


def test_an_unknown_scheme_is_named():
    with pytest.raises(UnknownScheme, match=r"No store for 'ftp://host/.*Known: a path"):
        Number(workspace_directory="ftp://host/folder").output()


def test_a_run_without_dump_fails_and_says_so():
    with pytest.raises(GokartBuildError, match=r"Call self\.dump") as caught:
        gokart.build(Forgets())
    assert isinstance(caught.value.__cause__, NothingDumped)


def test_a_chain_of_a_thousand_runs():
    assert gokart.build(Chain(length=1000)) == 1000


@pytest.mark.slow
def test_a_chain_of_twenty_thousand_runs():
    assert gokart.build(Chain(length=20_000, should_dump_supplementary_log_files=False)) == 20_000


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"workers": 2, "executor": "threads"}])
def test_what_a_run_yields_is_run(options):
    assert gokart.build(Dynamic(), **options) == 3


def test_builds_from_several_threads():
    found = {}

    def one(value):
        found[value] = gokart.build(Number(value=value))

    threads = [threading.Thread(target=one, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {value: value for value in range(8)}


def _cell(result):
    # What a notebook does when a cell is run again: the same name in the same module.
    space = {"__name__": __name__, "gokart": gokart}
    exec(f"class Cell(gokart.TaskOnKart):\n    def run(self):\n        self.dump({result!r})\n", space)
    return space["Cell"]


def test_a_class_defined_again_runs_its_new_code():
    assert gokart.build(_cell("old")()) == "old"
    task = _cell("new")()
    assert gokart.build(task) == "old"  # the id is the same, and the output is there
    assert gokart.build(_cell("new")(rerun=True)) == "new"
    parameter = gokart.TaskInstanceParameter()
    assert type(parameter.parse(parameter.serialize(task))).__name__ == "Cell"


OLD = """
import gokart, luigi, sys
class Old(gokart.TaskOnKart):
    value = luigi.IntParameter()
    def run(self):
        self.dump({"value": self.value})
"""


def test_the_id_of_a_class_in_main_is_that_of_gokart(tmp_path):
    program = OLD.replace("import gokart", "import kart_runtime.gokart as gokart") + (
        "print(gokart.build(Old(value=3)), Old(value=3).output().path())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    value, _, path = done.stdout.strip().rpartition(" ")
    assert value == "{'value': 3}"
    assert pickle.loads((tmp_path / path).read_bytes()) == {"value": 3}
