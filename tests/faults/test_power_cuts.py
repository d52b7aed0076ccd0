"""Power cuts, on files whose writes are taken back: the next build is right, and durable outputs are still there."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from kart_runtime import BuildFailed, TaskOnKart, build
from kart_runtime.errors import WriteFailed
from kart_runtime.storage import durable
from tests.faults import power_cuts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see which files are flushed")


@pytest.fixture(autouse=True, scope="module")
def _warm(tmp_path_factory):
    power_cuts.built(str(tmp_path_factory.mktemp("warm")), 0)  # imports everything once, and not in each process


@pytest.mark.parametrize("is_durable", [True, False])
def test_the_build_after_a_power_cut_returns_the_right_values(is_durable):
    done = power_cuts.check(4, 5, is_durable)
    assert done["cuts"] == 4
    assert all(done[how] for how in (*power_cuts.HOW, "name")), done


def test_the_check_fails_for_a_disk_that_only_promises_to_flush():
    with pytest.raises(AssertionError, match=r"tasks ran again|failed"):
        power_cuts.check(6, 5, True, broken=True)


def test_the_check_fails_for_a_build_that_does_not_look_for_damage():
    with pytest.raises(AssertionError, match=r"wrong value|failed"):
        for seed in (5, 6, 7, 8):  # a cut may come when everything is on the disk
            power_cuts.check(20, seed, False, broken=True)


class One(TaskOnKart[int]):
    def run(self) -> None:
        self.dump(1)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_disk_that_cannot_flush_fails_the_task_and_leaves_no_output(tmp_path, monkeypatch, what):
    delivered = []

    def broken(*_):
        delivered.append(what)
        raise OSError(errno.EIO, "Input/output error")

    task = One(workspace_directory=str(tmp_path))
    monkeypatch.setattr(durable, f"flush_{what}", broken)
    with pytest.raises(BuildFailed) as failure:
        build(task, durable=True)
    assert delivered
    assert isinstance(failure.value.__cause__, WriteFailed), failure.value
    assert "the disk did not take" in str(failure.value)
    assert not task.complete()
    assert not [each for each in (tmp_path / "tests").rglob("*") if each.is_file()]
    monkeypatch.undo()
    assert build(task, durable=True) == 1


@pytest.mark.parametrize("options", [{}, {"workers": 2}])
def test_only_a_durable_build_flushes_outputs(tmp_path, monkeypatch, options):
    flushed = tmp_path / "flushed"
    monkeypatch.setenv("FLUSHED", str(flushed))
    for is_durable in (False, True):
        build(Flushing(workspace_directory=str(tmp_path / str(is_durable))), durable=is_durable, **options)
        assert flushed.read_text() == ("durable" if is_durable else "not"), options


class Flushing(TaskOnKart[int]):
    def run(self) -> None:
        Path(os.environ["FLUSHED"]).write_text("durable" if durable.is_on() else "not")
        self.dump(1)


@pytest.mark.parametrize("how", ["empty", "zeros", "same time"])
def test_a_damaged_output_is_computed_again_without_any_setting(tmp_path, how):
    task = One(workspace_directory=str(tmp_path))
    assert build(task) == 1
    path = Path(task.output().path())
    status, data = path.stat(), path.read_bytes()
    path.write_bytes(b"" if how == "empty" else data[:1] + bytes(len(data) - 1) if how == "zeros" else data[:2])
    if how == "same time":
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert build(task) == 1
    assert path.read_bytes() == data


def test_an_output_that_somebody_has_changed_is_left_alone(tmp_path):
    task = One(workspace_directory=str(tmp_path))
    build(task)
    path = Path(task.output().path())
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ValueError, match="cannot be read"):
        build(task)
