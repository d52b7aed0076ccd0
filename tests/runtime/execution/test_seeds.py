"""Whatever is loaded when, a run draws the same numbers."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kart_runtime.execution.seeds import set_seed

LIBRARY = """\
drawn = None
seed = None
def take(value):
    global seed
    seed = value
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    Path(tmp_path, "late_library.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    yield "late_library.take"
    sys.modules.pop("late_library", None)


def test_loaded_generators_are_seeded_at_once():
    assert set_seed(("random.seed", "numpy.random.seed"), 5) == ["random.seed", "numpy.random.seed"]
    assert (random.random(), np.random.random()) == (random.Random(5).random(), np.random.RandomState(5).random())


def test_what_does_not_exist_is_left_out():
    assert set_seed(("random.seed", "no_such_library.seed", "numpy.random.no_such", "random.Random.VERSION"), 1) == [
        "random.seed"
    ]


def test_a_library_not_loaded_yet_gets_the_last_seed_when_it_is(library):
    assert set_seed((library,), 1) == [library]
    assert set_seed((library,), 2) == [library]
    assert "late_library" not in sys.modules
    import late_library

    assert late_library.seed == 2
    assert set_seed((library,), 3) == [library]
    assert late_library.seed == 3


def test_the_import_is_as_any_other(library):
    set_seed((library,), 1)
    import late_library

    assert late_library.__spec__.loader is late_library.__loader__
    assert type(late_library.__loader__).__name__ == "SourceFileLoader"
    assert late_library.__spec__.origin == late_library.__file__


def test_a_library_without_the_function_is_imported_all_the_same(tmp_path, monkeypatch):
    Path(tmp_path, "bare_library.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    set_seed(("bare_library.seed",), 1)
    import bare_library

    assert bare_library.__file__
    assert set_seed(("bare_library.seed",), 2) == []
    sys.modules.pop("bare_library")


def test_a_library_that_fails_while_it_is_imported_says_so_and_can_be_imported_again(tmp_path, monkeypatch):
    Path(tmp_path, "broken_library.py").write_text("raise RuntimeError('broken')")
    monkeypatch.syspath_prepend(tmp_path)
    set_seed(("broken_library.take",), 4)
    with pytest.raises(RuntimeError, match="broken"):
        import broken_library
    Path(tmp_path, "broken_library.py").write_text(LIBRARY + "\n# longer, or the bytecode would do\n")
    import broken_library

    assert broken_library.seed == 4
    sys.modules.pop("broken_library")


SCRIPT = """\
import sys
import luigi
from kart_runtime import TaskOnKart, build
if sys.argv[1] == "early":
    import numpy
assert ("numpy" in sys.modules) == (sys.argv[1] == "early")

class Draws(TaskOnKart):
    number = luigi.IntParameter()
    def run(self):
        import numpy
        self.dump(float(numpy.random.random()))

print(build([Draws(number=1), Draws(number=2)]))
"""


def test_numbers_are_the_same_whether_numpy_is_loaded_before_the_run_or_in_it():
    Path("script.py").write_text(SCRIPT)
    found = set()
    for when in ("early", "late"):
        command = [sys.executable, "script.py", when]
        found.add(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
        for path in Path("resources/__main__").iterdir():
            path.unlink()
    assert len(found) == 1
