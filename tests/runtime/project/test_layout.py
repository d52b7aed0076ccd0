"""The mirror: a module, its configuration, its test."""

from __future__ import annotations

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.project import Project, check_layout
from kart_runtime.project.layout import layout_warnings

TEST = "def test_it(): pass\n"


def problems(small_project, files):
    small_project(files)
    project = Project.find()
    return [str(problem).replace(project.package, "PKG") for problem in check_layout(project)]


def test_a_mirrored_project_has_no_problems(small_project):
    assert problems(small_project, {}) == []


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (
            {"tests/tasks/test_numbers.py": None},
            "tests/tasks/test_numbers.py: missing: the test of src/PKG/tasks/numbers.py",
        ),
        (
            {"tests/tasks/test_numbers.py": "# def test_it(): ...\ndef helper(): pass\n"},
            "tests/tasks/test_numbers.py: has no test function: src/PKG/tasks/numbers.py is not tested.",
        ),
        (
            {"tests/tasks/test_numbers.py": "def test(:\n"},
            "tests/tasks/test_numbers.py: is not Python that can be read",
        ),
        (
            {"src/PKG/more.py": "import luigi\nclass More(luigi.Task): pass\n"},
            "src/PKG/more.py: defines More; tasks belong in modules of src/PKG/tasks/, where they are found. Move it",
        ),
        (
            {"src/PKG/lib/more.py": "from kart_runtime import TaskOnKart\nclass M(TaskOnKart): pass\n"},
            "src/PKG/lib/more.py: defines M; tasks belong",
        ),
        (
            {
                "src/PKG/tasks/_x.py": "import luigi\nclass More(luigi.Task): pass\n",
                "conf/base/tasks/_x.yaml": "More: {}\n",
                "tests/tasks/test__x.py": TEST,
            },
            (
                "src/PKG/tasks/_x.py: names of task modules and their folders are lower case and do not start with _. "
                "Run `kart rename-task tasks._x.More x.More`."
            ),
        ),
        (
            {
                "src/PKG/tasks/Deep/MyTask.py": "import luigi\nclass More(luigi.Task): pass\n",
                "conf/base/tasks/Deep/MyTask.yaml": "More: {}\n",
                "tests/tasks/Deep/test_MyTask.py": TEST,
            },
            (
                "src/PKG/tasks/Deep/MyTask.py: names of task modules and their folders are lower case and do not start "
                "with _. Run `kart rename-task tasks.Deep.MyTask.More deep.my_task.More`."
            ),
        ),
        (
            {"conf/prod/tasks/deep/er.yaml": "# nothing\n"},
            "conf/prod/tasks/deep/er.yaml: has no task module: src/PKG/tasks/deep/er.py does not exist. Create it, or",
        ),
        (
            {"tests/tasks/deep/test_er.py": ""},
            "tests/tasks/deep/test_er.py: has no task module: src/PKG/tasks/deep/er.py does not exist",
        ),
        (
            {"src/PKG/tasks/deep/__init__.py": "import luigi\nclass A(luigi.Task): pass\n"},
            "src/PKG/tasks/deep/__init__.py: define task classes in a module of their own",
        ),
    ],
)
def test_what_breaks_the_mirror_is_told(small_project, files, wanted):
    found = problems(small_project, files)
    assert len(found) == 1
    assert found[0].startswith(wanted)


@pytest.mark.parametrize("text", [None, "", "# Numbers:\n", "Numbers: {}\n", "Total:\n  weight: 2\n"])
def test_a_module_needs_a_yaml_file_only_for_what_it_sets(small_project, text):
    assert problems(small_project, {"conf/base/tasks/numbers.yaml": text}) == []


def test_a_class_name_is_used_once(small_project):
    second = "import luigi\nclass Numbers(luigi.Task): pass\nclass Other(luigi.Task): pass\n"
    files = {
        "src/PKG/tasks/other.py": second,
        "conf/base/tasks/other.yaml": "Numbers: {}\nOther: {}\n",
        "tests/tasks/test_other.py": TEST,
    }
    assert problems(small_project, files) == [
        (
            "src/PKG/tasks/other.py: class Numbers has the name of a task in src/PKG/tasks/numbers.py. "
            "Rename one of them: `kart rename-task tasks.other.Numbers NEW`."
        )
    ]
    files["src/PKG/tasks/other.py"] = second.replace("pass", "task_namespace = 'other'", 1)
    assert problems(small_project, files) == []


def test_a_module_without_tasks_needs_a_test_only(small_project):
    found = problems(small_project, {"src/PKG/tasks/shared.py": "X = 1\n", "src/PKG/tasks/__init__.py": ""})
    assert len(found) == 1
    assert found[0].startswith("tests/tasks/test_shared.py: missing: the test of src/PKG/tasks/shared.py. Create it")


def test_other_tests_and_environments_are_free(small_project):
    files = {
        "tests/test_config.py": "",
        "tests/lib/test_x.py": "",
        "conf/prod/run.yaml": "seed: 1\n",
        "conf/README.md": "",
    }
    assert problems(small_project, files) == []


def test_base_classes_and_other_tasks_of_the_name_are_no_tasks(small_project):
    files = {
        "src/PKG/base.py": "import kart_runtime\nclass TaskOnKart(kart_runtime.TaskOnKart): pass\n",
        "src/PKG/shared.py": "from kart_runtime import TaskOnKart\nclass Shared(TaskOnKart): pass\n",
        "src/PKG/tasks/_mixin.py": "from PKG.shared import Shared\nclass _Base(Shared): pass\n",
        "tests/tasks/test__mixin.py": TEST,
        "src/PKG/lib/x.py": "from typing import Protocol\nclass Task(Protocol): pass\nclass Mine(Task): pass\n",
        "src/PKG/lib/__init__.py": "",
        "src/PKG/lib/_private.py": "def f(): pass\n",
        "src/PKG/lib/names.py": "X = 1\n",
    }
    assert problems(small_project, files) == []
    project = Project.find()
    assert [str(warning).replace(project.package, "PKG") for warning in layout_warnings(project)] == [
        "tests/lib/test_x.py: missing: no test of src/PKG/lib/x.py. Write one."
    ]


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_test_file_is_a_warning(small_project, text):
    assert problems(small_project, {"tests/tasks/test_numbers.py": text}) == []
    project = Project.find()
    assert [str(warning).replace(project.package, "PKG") for warning in layout_warnings(project)] == [
        (
            "tests/tasks/test_numbers.py: has no test function: src/PKG/tasks/numbers.py is not tested. "
            "Write `def test_...`, or run `kart check --fix`."
        )
    ]


@pytest.mark.parametrize("text", ["class TestIt: pass\n", "from x import test_it\n", "TestIt = machine.TestCase\n"])
def test_tests_that_pytest_collects_in_other_ways(small_project, text):
    assert problems(small_project, {"tests/tasks/test_numbers.py": text}) == []


def test_a_module_that_cannot_be_imported_is_an_error(small_project):
    with pytest.raises(ConfigError, match="cannot be imported"):
        problems(small_project, {"src/PKG/tasks/broken.py": "1/0\n"})
