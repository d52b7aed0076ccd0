"""The layers: which are read, and which wins."""

from __future__ import annotations

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.project import Project, check_layout, new_task, open_project
from kart_runtime.project.conf.layers import choose_environment, compose, environments
from kart_runtime.project.conf.tree import origin_of, plain


def test_later_layers_win_and_local_comes_last(small_project):
    small_project(
        {
            "conf/base/run.yaml": "workspace: base\nseed: 1\nworkers: 1\nlocks: none\n",
            "conf/dev/run.yaml": "seed: 2\nworkers: 2\n",
            "conf/local/run.yaml": "workers: 3\n",
            "conf/prod/run.yaml": "seed: 9\n",
        }
    )
    errors = []
    layers = compose(Project.find(), "dev", errors)
    assert errors == []
    assert layers.names == ("conf/base", "conf/dev", "conf/local")
    run = layers.tree.children["run"]
    assert plain(run) == {"workspace": "base", "seed": 2, "workers": 3, "locks": "none"}
    assert origin_of(run.children["seed"]) == "conf/dev/run.yaml:1"
    assert origin_of(run.children["workers"]) == "conf/local/run.yaml:1"


def test_the_environment_is_asked_for_or_in_the_variable_or_dev(small_project, monkeypatch):
    project = Project.find(small_project({"conf/prod/run.yaml": "seed: 1\n"}))
    assert choose_environment(project, None) == "dev"
    monkeypatch.setenv("KART_ENV", "")
    assert choose_environment(project, None) == "dev"
    monkeypatch.setenv("KART_ENV", "prod")
    assert choose_environment(project, None) == "prod"
    assert choose_environment(project, "ci") == "ci"
    assert environments(project) == ["ci", "prod"]


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        (
            "prd",
            "--env: unknown environment 'prd': folder conf/prd does not exist (expected one of ci, prod). Did you",
        ),
        ("../x", "unknown environment '../x'"),
        ("", "unknown environment ''"),
        ("local", "'local' is a layer of every environment"),
    ],
)
def test_an_unknown_environment_is_refused(small_project, env, wanted):
    project = Project.find(small_project({"conf/prod/run.yaml": "seed: 1\n"}))
    with pytest.raises(ConfigError) as caught:
        choose_environment(project, env)
    assert wanted in str(caught.value)


def test_an_unknown_environment_of_the_variable_names_the_variable(small_project, monkeypatch):
    project = Project.find(small_project())
    monkeypatch.setenv("KART_ENV", "c1")
    with pytest.raises(ConfigError, match=r"^\$KART_ENV: unknown environment 'c1'"):
        choose_environment(project, None)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"conf/base/more.yml": "a: 1\n"}, "conf/base/more.yml: is not read. Rename it to end in .yaml."),
        (
            {"conf/base/tasks.yaml": "numbers:\n  Numbers:\n    size: 1\n"},
            "conf/base/tasks.yaml:3: tasks.numbers.Numbers.size: also set in conf/base/tasks/numbers.yaml:3, in",
        ),
        ({"conf/base/run.yaml": "a: [\n"}, "conf/base/run.yaml:2: not valid YAML"),
    ],
)
def test_files_that_cannot_be_used_are_told(small_project, files, wanted):
    errors = []
    compose(Project.find(small_project(files)), "dev", errors)
    assert [wanted in str(error) for error in errors] == [True], errors


def test_a_file_that_is_not_utf8_is_told(small_project):
    root = small_project()
    (root / "conf/base/run.yaml").write_bytes(b"task: \xff\xfe\n")
    errors = []
    compose(Project.find(), "dev", errors)
    assert "conf/base/run.yaml: cannot be read as UTF-8 text" in str(errors[0])


def test_other_files_of_the_folder_are_left_alone(small_project):
    errors = []
    compose(Project.find(small_project({"conf/base/README.md": "x: [\n", "conf/base/.DS_Store": "\t"})), "dev", errors)
    assert errors == []


LEFTOVERS = {
    "conf/base/tasks/.ipynb_checkpoints/numbers-checkpoint.yaml": "Numbers:\n  size: 9\n",
    "conf/.ipynb_checkpoints/run-checkpoint.yaml": "task: x\n",
    "conf/__pycache__/x.yaml": "x: [\n",
    "conf/base/tasks/._numbers.yaml": "\t\x05",
    "conf/base/tasks/.numbers.yaml": "Numbers: {size: 9}\n",
    "conf/base/tasks/.#numbers.yaml": "x: [\n",
    "conf/base/tasks/#numbers.yaml#": "x: [\n",
    "conf/base/tasks/numbers.yaml~": "x: [\n",
    "conf/base/tasks/numbers.yaml.swp": "x: [\n",
    "conf/base/tasks/numbers.yaml.orig": "x: [\n",
    "conf/base/tasks/numbers.yaml.bak": "x: [\n",
    "conf/base/.DS_Store": "\t",
    "tests/tasks/.ipynb_checkpoints/test_numbers-checkpoint.py": "(",
    "tests/tasks/._test_numbers.py": "(",
    "src/PKG/tasks/.ipynb_checkpoints/numbers-checkpoint.py": "(",
    "src/PKG/tasks/._numbers.py": "(",
    "src/PKG/tasks/__pycache__/numbers.py": "(",
}


def test_what_editors_leave_is_passed_over(small_project):
    small_project(LEFTOVERS)
    project = Project.find()
    assert check_layout(project) == []
    assert environments(project) == ["ci"]
    with open_project() as session:
        assert session.task("Numbers")().size == 4
    new_task(project, "deeper.more.Another")
    assert check_layout(project) == []
