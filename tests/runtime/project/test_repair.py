"""`repair`: what it creates, completes and moves, and what it leaves to people."""

from __future__ import annotations

import pytest

from kart_runtime.project import Project, check_layout
from kart_runtime.project.repair import repair

TEST = "def test_it(): pass\n"
TASK = '''\
import datetime
import luigi
from kart_runtime import TaskInstanceParameter, TaskOnKart


class {name}(TaskOnKart[int]):
    """A task."""

    depth: int = luigi.IntParameter(default=7)
    rate: float = luigi.FloatParameter(default=1e-05)
    label: str = luigi.Parameter(default="on")
    names: tuple = luigi.ListParameter(default=("a", "no"))
    day: datetime.date = luigi.DateParameter(default=datetime.date(2026, 1, 2))
    secret: str = luigi.Parameter(default="x", significant=False)
'''


def mend(small_project, files):
    """Mend a project; return what was printed, what is left, and the folder."""
    root = small_project(files)
    project = Project.find()
    printed = [line.replace(project.package, "PKG") for line in repair(project)]
    left = [str(problem).replace(project.package, "PKG") for problem in check_layout(project)]
    return printed, left, root


@pytest.mark.parametrize(
    ("files", "printed"),
    [
        ({}, []),
        ({"conf/base/tasks/pipeline.yaml": None}, []),
        ({"conf/base/tasks/pipeline.yaml": "# mine"}, []),
        ({"tests/tasks/test_numbers.py": None}, ["wrote tests/tasks/test_numbers.py"]),
        ({"tests/tasks/test_numbers.py": "# soon\n"}, ["added tests/tasks/test_numbers.py: Numbers, Total"]),
        (
            {"tests/tasks/test_numbers.py": None, "tests/tasks/old/test_numbers.py": TEST},
            ["moved tests/tasks/old/test_numbers.py -> tests/tasks/test_numbers.py"],
        ),
        (
            {"conf/base/tasks/numbers.yaml": None, "conf/base/tasks/nombres.yaml": "Numbers: {}\nTotal: {}\n"},
            ["moved conf/base/tasks/nombres.yaml -> conf/base/tasks/numbers.yaml"],
        ),
        (
            {"conf/prod/tasks/old.yaml": "Total:\n  weight: 3\n"},
            ["moved conf/prod/tasks/old.yaml -> conf/prod/tasks/numbers.yaml"],
        ),
        (
            {
                "src/PKG/tasks/Upper/_Private.py": TASK.format(name="Hidden"),
                "conf/base/tasks/Upper/_Private.yaml": "Hidden: {}\n",
                "tests/tasks/Upper/test__Private.py": "from PKG.tasks.Upper._Private import Hidden\n" + TEST,
            },
            [
                "moved conf/base/tasks/Upper/_Private.yaml -> conf/base/tasks/upper/private.yaml",
                "moved src/PKG/tasks/Upper/_Private.py -> src/PKG/tasks/upper/private.py",
                "moved tests/tasks/Upper/test__Private.py -> tests/tasks/upper/test_private.py",
                "tasks.upper.private: its outputs have other ids now, and are computed again",
            ],
        ),
        (
            {"src/PKG/more.py": TASK.format(name="More"), "tests/test_more.py": TEST},
            [
                "moved src/PKG/more.py -> src/PKG/tasks/more.py",
                "moved tests/test_more.py -> tests/tasks/test_more.py",
                "tasks.more: its outputs have other ids now, and are computed again",
            ],
        ),
    ],
)
def test_what_is_mended(small_project, files, printed):
    assert mend(small_project, files)[:2] == (printed, [])


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"src/PKG/lib/more.py": TASK.format(name="More")}, "src/PKG/lib/more.py: defines More; tasks belong"),
        (
            {"src/PKG/more.py": TASK.format(name="More") + "\n\ndef helper(): pass\n"},
            "src/PKG/more.py: defines More; tasks belong in modules of src/PKG/tasks/",
        ),
        ({"tests/tasks/test_gone.py": TEST}, "tests/tasks/test_gone.py: has no task module"),
        ({"conf/prod/tasks/gone.yaml": "# mine\n"}, "conf/prod/tasks/gone.yaml: has no task module"),
        ({"conf/base/tasks/deep/pipeline.yaml": "# mine\n"}, "conf/base/tasks/deep/pipeline.yaml: has no task module"),
        ({"tests/tasks/test_numbers.py": "def test(\n"}, "tests/tasks/test_numbers.py: is not Python that can be read"),
        (
            {
                "src/PKG/tasks/other.py": "import luigi\nclass Numbers(luigi.Task): pass\n",
                "conf/base/tasks/other.yaml": "Numbers: {}\n",
                "tests/tasks/test_other.py": TEST,
            },
            "src/PKG/tasks/other.py: class Numbers has the name of a task in src/PKG/tasks/numbers.py",
        ),
    ],
)
def test_what_is_not_clear_is_left(small_project, files, left):
    printed, problems, _ = mend(small_project, files)
    assert printed == []
    assert len(problems) == 1
    assert problems[0].startswith(left)


def test_texts_of_people_stay(small_project):
    mine = "# mine, without a line ending"
    _, left, root = mend(small_project, {"conf/base/tasks/pipeline.yaml": mine, "tests/tasks/test_numbers.py": mine})
    assert left == []
    assert (root / "conf/base/tasks/pipeline.yaml").read_text() == mine
    assert mine in (root / "tests/tasks/test_numbers.py").read_text()


def test_a_test_that_cannot_make_its_task_is_skipped(small_project):
    source = TASK.format(name="More").replace("default=7", "")
    _, left, root = mend(small_project, {"src/PKG/tasks/more.py": source})
    assert left == []
    text = (root / "tests/tasks/test_more.py").read_text()
    assert '@pytest.mark.skip(reason="write it: More needs depth")' in text


def test_a_broken_module_stops_only_itself(small_project):
    root = small_project({"src/PKG/tasks/broken.py": "1/0\n", "tests/tasks/test_numbers.py": None})
    assert list(repair(Project.find())) == ["wrote tests/tasks/test_numbers.py"]
    assert not (root / "tests/tasks/test_broken.py").exists()
