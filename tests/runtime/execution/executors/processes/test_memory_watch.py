"""A task that uses more memory than it may is ended, whoever of its processes holds it, and nothing else is."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import luigi
import pytest

from kart_runtime import BuildFailed, ConfigError, TaskOnKart, build
from kart_runtime.execution.executors.processes.memory_watch import MemoryExceeded
from kart_runtime.history.runs import read_records

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

GROW = """
import time
held = []
for _ in range({steps}):
    held.append(b"x" * 20_000_000)
    time.sleep(0.01)
time.sleep({rest})
"""


class Hungry(TaskOnKart[int]):
    """Fills memory, by itself or by a child process that it starts."""

    memory_gb = 0.3
    steps: luigi.IntParameter = luigi.IntParameter()
    in_child: luigi.BoolParameter = luigi.BoolParameter(default=False)
    rest: luigi.FloatParameter = luigi.FloatParameter(default=20.0)

    def run(self):
        code = GROW.format(steps=self.steps, rest=self.rest)
        if self.in_child:
            child = subprocess.Popen([sys.executable, "-c", code])
            Path(f"child {self.steps}").write_text(str(child.pid))
            assert child.wait() == 0
        else:
            exec(code)
        self.dump(self.steps)


class Free(TaskOnKart[int]):
    def run(self):
        self.dump(1)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("in_child", [False, True])
def test_a_task_that_uses_too_much_is_ended_and_others_go_on(in_child):
    hungry = Hungry(steps=60, in_child=in_child)
    with pytest.raises(
        BuildFailed, match=r"Hungry\[\w+\] used more than memory_gb = 0\.3 \(peak 0\.\d+ GB\)"
    ) as failed:
        build([hungry, Hungry(steps=3, in_child=in_child, rest=0.0), Free()], executor="processes", workers=2)
    (error,) = failed.value.causes.values()
    assert isinstance(error, MemoryExceeded)
    assert 0.3 <= error.peak_gb < 0.9
    assert "2 ran, 0 already complete, 1 failed" in str(failed.value)
    peaks = {(record.task, record.state): record.peak_mb for record in read_records("resources")}
    assert 300 <= peaks["Hungry", "failed"] < 900
    assert 60 < peaks["Hungry", "done"] < 300
    assert 10 < peaks["Free", "done"] < 300
    if in_child:
        pid = int(Path("child 60").read_text())
        deadline = time.monotonic() + 10
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not is_running(pid)


def test_memory_that_an_earlier_task_left_does_not_count():
    class Leaves(TaskOnKart[int]):
        def run(self):
            sys.leak = b"x" * 250_000_000  # type: ignore[attr-defined]
            self.dump(os.getpid())

    class Modest(TaskOnKart[int]):
        memory_gb = 0.3

        def requires(self):
            return Leaves()

        def run(self):
            held = b"x" * 120_000_000
            time.sleep(0.2)
            self.dump(os.getpid() + 0 * len(held))

    assert build(Modest(), executor="processes") != build(Leaves())


def test_a_memory_error_of_python_is_what_it_is():
    class Greedy(TaskOnKart[int]):
        memory_gb = 1.0

        def run(self):
            bytearray(1 << 60)

    with pytest.raises(BuildFailed) as failed:
        build(Greedy(), executor="processes")
    (error,) = failed.value.causes.values()
    assert type(error) is MemoryError


@pytest.mark.parametrize("options", [{}, {"executor": "threads", "workers": 2}])
def test_where_nothing_is_enforced_it_is_said_once(options, caplog):
    build([Hungry(steps=0, rest=0.0), Hungry(steps=1, rest=0.0)], **options)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("memory_gb of Hungry is not enforced with executor")


@pytest.mark.parametrize("value", [0, -1.0, True, "2"])
def test_what_is_no_amount_is_refused(value, monkeypatch):
    monkeypatch.setattr(Hungry, "memory_gb", value)
    with pytest.raises(ConfigError, match=r"Hungry\.memory_gb"):
        build(Hungry(steps=0))


def test_a_parameter_of_that_name_is_the_users_own():
    class Old(TaskOnKart[float]):
        memory_gb: luigi.FloatParameter = luigi.FloatParameter(default=0.000001)

        def run(self):
            time.sleep(0.2)
            self.dump(self.memory_gb)

    assert build(Old(), executor="processes") == 0.000001


def test_the_error_survives_pickle():
    error = pickle.loads(pickle.dumps(MemoryExceeded("Train[1]", 2, 2.345)))
    assert str(error).startswith("Train[1] used more than memory_gb = 2 (peak 2.35 GB)")
    assert (error.memory_gb, error.peak_gb) == (2, 2.345)
