"""No GPU is given to two tasks at once, and a task sees its own by CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import os
import time
from pathlib import Path

import luigi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime import ConfigError, TaskOnKart, build
from kart_runtime.execution.memory import GB, machine_bytes
from kart_runtime.schedule.gpus import Gpus, visible_gpus
from kart_runtime.schedule.resources import Limits


class Plain(TaskOnKart[tuple[str, str]]):
    """Returns the GPUs that it saw when it began and when it ended, after others have been there."""

    number: luigi.IntParameter = luigi.IntParameter()

    def run(self):
        before = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
        own = Path("using", f"{before} {self.number} {self.resources.get('gpu')}")
        own.parent.mkdir(exist_ok=True)
        own.touch()
        time.sleep(0.05)
        with Path("seen.txt").open("a") as file:
            file.write("|".join(path.name for path in own.parent.iterdir()) + "\n")
        own.unlink()
        self.dump(before)

    check_dump_type = False


class One(Plain):
    resources = {"gpu": 1}


class Two(Plain):
    resources = {"gpu": 2}


class Half(Plain):
    resources = {"gpu": 0.5}


def test_each_task_gets_gpus_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-8c1f,7")
    tasks = [One(number=0), Two(number=0), Half(number=0), Half(number=1), Plain(number=0)]
    seen = build(tasks, executor="processes", workers=3)
    assert [len(gpus.split(",")) for gpus in seen] == [1, 2, 1, 1, 3]
    assert seen[-1] == "2,GPU-8c1f,7"
    assert {name for gpus in seen for name in gpus.split(",")} <= {"2", "GPU-8c1f", "7"}
    for line in Path("seen.txt").read_text().splitlines():
        taken = {"2": 0.0, "GPU-8c1f": 0.0, "7": 0.0}
        for gpus, _, amount in (name.split() for name in line.split("|")):
            for name in gpus.split(",") if amount != "None" else ():
                taken[name] += min(float(amount), 1)
        assert max(taken.values()) <= 1


def test_a_worker_process_sees_one_choice_of_gpus_in_its_life(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")

    class Worker(One):
        def run(self):
            self.dump((os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()))

    class Other(Worker):
        resources = {}

    pairs = build([cls(number=n) for n in range(2) for cls in (Worker, Other)], executor="processes", workers=2)
    assert len({pid for _, pid in pairs}) == len(set(pairs))


def test_without_gpus_the_environment_stays(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert build(One(number=1), executor="processes") == ""


def test_threads_cannot_have_gpus_of_their_own_which_is_said_once(monkeypatch, caplog):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert build([One(number=1), One(number=2)], executor="threads", workers=2) == ["0,1", "0,1"]
    (message,) = [record.getMessage() for record in caplog.records]
    assert "One sees all GPUs" in message


@pytest.mark.parametrize(
    ("variable", "number", "expected"),
    [
        ("2,3", None, ("2", "3")),
        ("2, 3", 1, ("2",)),
        ("0,-1,1", None, ("0",)),
        ("", 2, ()),
        ("NoDevFiles", None, ()),
        ("GPU-a,MIG-b/1/0", None, ("GPU-a", "MIG-b/1/0")),
        (None, 2, ("0", "1")),
    ],
)
def test_which_gpus_there_are(variable, number, expected, monkeypatch):
    if variable is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus(number) == expected


def test_nvidia_smi_says_how_many_there_are(monkeypatch, tmp_path):
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho 'GPU 1: A (UUID: GPU-2)'\n")
    command.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert visible_gpus(None) == ("0", "1")


def test_more_than_the_program_sees_cannot_be_had(monkeypatch, caplog):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    with pytest.raises(ConfigError, match="can never run"):
        build(Two(number=1), resources={"gpu": 2})
    assert "run.resources.gpu is 2, but this program sees 1" in caplog.text


@given(st.lists(st.tuples(st.sampled_from([0.25, 0.5, 0.7, 1, 2, 3]), st.booleans()), max_size=40))
def test_no_gpu_is_given_away_twice(steps):
    gpus, held = Gpus(("a", "b", "c")), []
    for amount, release in steps:
        if gpus.fits(amount):
            held.append((gpus.take(amount), amount))
            assert len(held[-1][0]) == len(set(held[-1][0])) == max(round(amount), 1)
        for name in "abc":
            assert sum(min(amount, 1) for names, amount in held if name in names) <= 1 + 1e-6
        if release and held:
            gpus.give_back(*held.pop(0))
    for one in held:
        gpus.give_back(*one)
    assert gpus.fits(3)


class Large(Plain):
    memory_gb = 6.0


class Larger(Large):
    resources = {"memory_gb": 9.0}


def test_memory_counts_once_and_by_default_there_is_what_the_machine_has():
    limits = Limits({"memory_gb": 10.0})
    assert limits.needs_of(Large(number=1)) == (("memory_gb", 6.0),)
    assert limits.needs_of(Larger(number=1)) == (("memory_gb", 9.0),)
    limits.take((("memory_gb", 6.0),))
    assert not limits.fits((("memory_gb", 6.0),))
    machine = Limits({})
    machine.needs_of(Large(number=1))
    assert machine.fits((("memory_gb", machine_bytes() / GB - 0.001),))
    machine.take((("memory_gb", machine_bytes() / GB - 0.001),))
    assert not machine.fits((("memory_gb", 0.1),))
    with pytest.raises(ConfigError, match="can never run"):
        Limits({"memory_gb": 4}).needs_of(Large(number=1))
