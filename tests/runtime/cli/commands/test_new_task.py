"""`kart new-task`."""

from __future__ import annotations

import re

import pytest


def test_new_task_says_what_it_wrote_and_the_project_still_fits(small_project, kart):
    small_project()
    typed = kart("new-task", "features.encode.EncodeColumns")
    assert typed.code == 0
    assert [re.sub(r"small_\w+", "PKG", line) for line in typed.lines] == [
        "wrote src/PKG/tasks/features/encode.py",
        "wrote conf/base/tasks/features/encode.yaml",
        "wrote tests/tasks/features/test_encode.py",
        "Next: write run() in src/PKG/tasks/features/encode.py, then its test in tests/tasks/features/test_encode.py.",
        "Run it: kart run EncodeColumns   (with make: make run ARGS=EncodeColumns)",
        "Another one: kart new-task MODULE.ClassName   (with make: make new-task TASK=MODULE.ClassName)",
    ]
    assert kart("check").code == 0
    assert kart("run", "EncodeColumns").code == 0


@pytest.mark.parametrize("words", [["EncodeColumns"], ["features.Encode.x"], [], ["a.b.C", "d.e.F"], ["--env", "ci"]])
def test_new_task_refuses_with_2(small_project, kart, words):
    small_project()
    assert kart("new-task", *words).code == 2


def test_new_task_twice_is_refused(small_project, kart):
    small_project()
    kart("new-task", "features.encode.EncodeColumns")
    typed = kart("new-task", "features.encode.EncodeColumns")
    assert typed.code == 2
    assert "defines EncodeColumns already; nothing was written" in typed.err
