"""The mirror: a module, its configuration, its test."""

from __future__ import annotations

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.project import Project, check_layout

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
            {"conf/base/tasks/numbers.yaml": None},
            "conf/base/tasks/numbers.yaml: missing: src/PKG/tasks/numbers.py defines tasks. Create the file with "
            "`Numbers: {}` and `Total: {}`, or run `kart check --fix`.",
        ),
        (
            {"tests/tasks/test_numbers.py": None},
            "tests/tasks/test_numbers.py: missing: the test of src/PKG/tasks/numbers.py",
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


def test_a_class_name_is_used_once(small_project):
    second = "import luigi\nclass Numbers(luigi.Task): pass\nclass Other(luigi.Task): pass\n"
    files = {
        "src/PKG/tasks/other.py": second,
        "conf/base/tasks/other.yaml": "Numbers: {}\nOther: {}\n",
        "tests/tasks/test_other.py": TEST,
    }
    assert problems(small_project, files) == [
        "src/PKG/tasks/other.py: class Numbers has the name of a task in src/PKG/tasks/numbers.py. Rename one of them: "
        "`kart rename-task tasks.other.Numbers NEW`."
    ]
    files["src/PKG/tasks/other.py"] = second.replace("pass", "task_namespace = 'other'", 1)
    assert problems(small_project, files) == []


def test_a_module_without_tasks_needs_a_test_only(small_project):
    found = problems(small_project, {"src/PKG/tasks/shared.py": "X = 1\n", "src/PKG/tasks/__init__.py": ""})
    assert found == [
        "tests/tasks/test_shared.py: missing: the test of src/PKG/tasks/shared.py. Create it, or run `kart check --fix`."
    ]


def test_other_tests_and_environments_are_free(small_project):
    files = {
        "tests/test_config.py": "",
        "tests/lib/test_x.py": "",
        "conf/prod/run.yaml": "seed: 1\n",
        "conf/README.md": "",
    }
    assert problems(small_project, files) == []


def test_a_module_that_cannot_be_imported_is_an_error(small_project):
    with pytest.raises(ConfigError, match="cannot be imported"):
        problems(small_project, {"src/PKG/tasks/broken.py": "1/0\n"})
