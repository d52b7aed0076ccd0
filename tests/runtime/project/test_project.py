"""Where a project begins, and which tasks it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.project import ConfigErrors, Project


def test_is_found_from_a_folder_below(small_project):
    root = small_project()
    found = Project.find(root / "src")
    assert (found.root, found.conf, found.tests) == (root, root / "conf", root / "tests")
    assert found.source == root / "src"
    assert found.tasks_folder == root / "src" / found.package / "tasks"


def test_is_found_from_the_current_folder(small_project, monkeypatch):
    root = small_project()
    monkeypatch.chdir(root / "conf" / "base")
    assert Project.find().root == root


def test_package_may_lie_in_the_root(small_project):
    root = small_project({"PKG/__init__.py": "", "PKG/tasks/alone.py": "", "src/PKG/__init__.py": None})
    (root / "src").rename(root / "elsewhere")
    found = Project.find()
    assert found.source == root
    assert list(found.task_modules()) == ["tasks.alone"]


def test_a_pyproject_without_the_table_is_passed_over(small_project):
    root = small_project({"libs/inner/pyproject.toml": "[project]\nname = 'inner'\n"})
    assert Project.find(root / "libs" / "inner").root == root


def test_outside_a_project_the_error_says_where_it_looked_and_what_to_write(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    with pytest.raises(ConfigError) as caught:
        Project.find(tmp_path)
    text = str(caught.value)
    assert f"{tmp_path / 'pyproject.toml'} has no [tool.kart] table" in text
    assert '[tool.kart]\npackage = "NAME_OF_YOUR_PACKAGE"' in text
    assert "--project DIR" in text


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        Project.find(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ('packge = "x"', ["tool.kart.packge: unknown key", "Did you mean 'package'?", "tool.kart.package: is missing"]),
        ("package = 3", ["tool.kart.package: is 3", "expected a name in quotes"]),
        ('package = "../x"', ["'../x' is not the name of a package"]),
        ('package = "nothing_here"', ["neither src/nothing_here nor nothing_here"]),
        ('package = "a"\nconf = "cnof"', ["folder cnof/base does not exist"]),
        ("= 3", ["not valid TOML"]),
    ],
)
def test_mistakes_in_the_table_are_named(tmp_path, table, wanted):
    (tmp_path / "a").mkdir()
    (tmp_path / "conf" / "base").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(f"[tool.kart]\n{table}\n")
    with pytest.raises(ConfigError) as caught:
        Project.find(tmp_path)
    for part in wanted:
        assert part in str(caught.value)


def test_tasks_are_loaded_by_their_full_names(small_project):
    small_project({"src/PKG/tasks/deep/er/one.py": "import luigi\nclass A(luigi.Task): pass\nclass _Base(A): pass\n"})
    tasks = Project.find().load_tasks()
    assert list(tasks) == [
        "tasks.deep.er.one.A",
        "tasks.numbers.Numbers",
        "tasks.numbers.Total",
        "tasks.pipeline.RunAll",
    ]
    assert tasks["tasks.numbers.Total"].__name__ == "Total"


def test_an_import_error_names_module_line_and_cause(small_project):
    small_project({"src/PKG/tasks/broken.py": "import luigi\nluigi.NoSuchThing\n"})
    project = Project.find()
    with pytest.raises(ConfigError) as caught:
        project.load_tasks()
    assert caught.value.file == f"src/{project.package}/tasks/broken.py:2"
    assert f"{project.package}.tasks.broken cannot be imported: AttributeError" in str(caught.value)
    assert isinstance(caught.value.__cause__, AttributeError)


def test_a_syntax_error_is_told_once_although_others_import_the_module(small_project):
    small_project(
        {"src/PKG/tasks/numbers.py": "class Numbers(:\n", "src/PKG/tasks/other.py": "import nowhere_at_all\n"}
    )
    with pytest.raises(ConfigErrors) as caught:
        Project.find().load_tasks()
    assert [error.file.rpartition("/")[2] for error in caught.value.errors] == ["numbers.py:1", "other.py:1"]


def test_a_package_of_the_same_name_elsewhere_is_noticed(small_project, tmp_path_factory, monkeypatch):
    root = small_project()
    project = Project.find()
    other = tmp_path_factory.mktemp("other") / project.package / "tasks"
    other.mkdir(parents=True)
    (other.parent / "__init__.py").touch()
    (other / "numbers.py").touch()
    (other / "pipeline.py").touch()
    monkeypatch.syspath_prepend(str(other.parent.parent))
    monkeypatch.setattr("sys.path", [str(other.parent.parent), str(root / "src"), *__import__("sys").path])
    with pytest.raises(ConfigError, match="another package with the same name"):
        project.load_tasks()


def test_relative_names_use_forward_slashes(small_project):
    project = Project.find(small_project())
    assert project.relative(project.conf / "base" / "run.yaml") == "conf/base/run.yaml"
    assert project.relative(Path("/elsewhere")) == "/elsewhere"
