"""A restart of the machine is found, whatever the machine is called, and no other machine is taken for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.history import restarts, run_header
from kart_runtime.history.records import forget_records

MOUNTS = r"""
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /proc rw - proc proc rw
30 21 0:40 / /home rw shared:5 - nfs4 server:/home rw
31 30 8:2 / /home/of\040mine rw - xfs /dev/sdb1 rw
32 21 0:41 / /data rw - ext4 /dev/sdc1 rw
33 21 0:42 / /data rw - fuse.sshfs server:/data rw
"""


class Text(TaskOnKart[str]):
    def output(self):
        return self.make_target("text.txt")

    def run(self):
        self.dump("text " * 100)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/projects/ws", True),
        ("/", True),
        ("/home/ws", False),
        ("/homes/ws", True),
        ("/home/of mine/ws", True),
        ("/data/ws", False),  # mounted over the other one
        ("/proc/x", False),
    ],
)
def test_only_a_disk_is_of_this_machine(path, expected):
    assert restarts.is_on_disk(path, MOUNTS) == expected
    assert not restarts.is_on_disk(path, "")
    assert not restarts.is_on_disk(path, "what\nis - this\n")


@pytest.mark.parametrize(
    ("boot", "on_disk", "expected"),
    [
        ("first one", True, False),
        ("second one", True, False),  # another container, in the same start of the machine
        ("first two", False, True),
        ("second two", True, True),
        ("second two", False, False),  # perhaps another machine, on a shared file system
    ],
)
def test_a_container_of_another_name_finds_a_restart(boot, on_disk, expected, monkeypatch):
    def start(boot):
        forget_records()
        for module in (restarts, run_header):
            monkeypatch.setattr(module, "this_boot", lambda: boot)

    monkeypatch.setattr(restarts, "is_on_disk", lambda _: on_disk)
    start("first one")
    build(Text(), return_value=False)
    output = next(Path("resources").glob("text_*.txt"))
    status = output.stat()
    output.write_bytes(bytes(status.st_size))
    os.utime(output, ns=(status.st_atime_ns, status.st_mtime_ns))
    # Its time and size are those of the record: only the first build after a restart reads it.
    start(boot)
    build(Text(), return_value=False)
    assert (b"text" in output.read_bytes()) == expected
