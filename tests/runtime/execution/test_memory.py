"""What is measured of processes and machines is what they have."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys

import pytest

from kart_runtime.execution.memory import (
    GB,
    MB,
    PeakMeter,
    _limits_of_container,
    kill_rest,
    machine_bytes,
    process_tree,
    shared_bytes,
    used_bytes,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_machine_has_memory():
    size = machine_bytes()
    assert size is not None
    assert 0.2 * GB < size < 100_000 * GB


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/a/b\n", {"memory.max": "max", "a/memory.max": "4000", "a/b/memory.max": "7000"}, {4000, 7000}),
        ("0::/of/the/host\n", {"memory.max": "2000"}, {2000}),
        ("4:memory:/a\n1:cpu:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "3000"}, {3000}),
        ("0::/\n", {"memory.max": "max"}, set()),
    ],
)
def test_the_limit_of_a_container_counts(own, files, expected, tmp_path):
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(f"{text}\n")
    assert set(_limits_of_container(str(tmp_path / "root"), str(tmp_path / "own"))) == expected


@linux
def test_memory_that_is_in_use_counts_and_children_belong_to_it():
    pid = os.getpid()
    before = used_bytes({pid: 0})
    held = mmap.mmap(-1, 50_000_000)  # pages of its own: Python may have free ones for an object
    held.write(bytes(len(held)))
    assert used_bytes({pid: 0}) - before > 40 * MB
    assert len(held) == 50_000_000
    # The start time tells a process from a later one with the same number.
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        mine: dict[int, int] = {}
        while len(mine) < 2:
            mine = process_tree(child.pid)  # not this process: its other children are the servers of all tests
        tree = process_tree(pid)
        assert mine.keys() < tree.keys()
        assert shared_bytes(tree) > used_bytes({pid: 0}) / 2
        kill_rest(dict.fromkeys(mine, 1))
        assert child.poll() is None
        kill_rest(mine)
        assert child.wait(timeout=30) != 0
    finally:
        child.kill()
        child.communicate()


@linux
def test_a_peak_is_that_of_the_last_measurement():
    meter = PeakMeter()
    meter.reset()
    size = 80_000_000
    held = bytearray(size)
    held[::4096] = b"x" * len(held[::4096])
    with_it = meter.peak_mb()
    del held
    meter.reset()
    without = meter.peak_mb()
    assert with_it is not None
    assert without is not None
    assert with_it - without > 0.8 * size / MB
