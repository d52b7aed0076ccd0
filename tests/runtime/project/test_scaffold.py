"""A new task: two files that fit, or none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kart_runtime import build
from kart_runtime.errors import ConfigError
from kart_runtime.project import Project, check_layout, new_task, open_project


def everything(root):
    return {path for path in root.rglob("*") if "__pycache__" not in path.parts}


def test_module_and_test_are_written_where_the_mirror_wants_them_and_no_yaml(small_project):
    root = small_project()
    project = Project.find()
    paths = new_task(project, "features.encode.EncodeColumns")
    assert [path.relative_to(root).as_posix() for path in paths] == [
        f"src/{project.package}/tasks/features/encode.py",
        "tests/tasks/features/test_encode.py",
    ]
    assert not (root / "conf/base/tasks/features").exists()
    assert check_layout(project) == []


def test_what_is_written_is_what_a_person_keeps(small_project):
    small_project({"src/PKG/base.py": "from kart_runtime import TaskOnKart\n\n__all__ = ['TaskOnKart']\n"})
    project = Project.find()
    module, test = new_task(project, "features.encode.DoubleNumbers", needs=["Numbers"], output="json")
    assert (
        module.read_text().replace(project.package, "PKG")
        == '''\
"""Double numbers."""

from kart_runtime import parameter

from PKG.base import TaskOnKart
from PKG.tasks.numbers import Numbers


class DoubleNumbers(TaskOnKart[dict[str, int]]):
    """Double numbers."""

    numbers: Numbers = parameter(default=Numbers)
    suffix = ".json"

    def run(self) -> None:
        numbers = self.load(self.numbers)
        self.dump({"size": len(numbers)})
'''
    )
    assert (
        test.read_text().replace(project.package, "PKG")
        == '''\
"""Tests of DoubleNumbers."""

from kart_runtime import build

from PKG.tasks.features.encode import DoubleNumbers


def test_double_numbers_returns_a_dict() -> None:
    assert isinstance(build(DoubleNumbers()), dict)
'''
    )


@pytest.mark.parametrize(
    ("options", "annotation", "dumped"),
    [
        ({}, "list[int]", "[]"),
        ({"type_name": "pd.DataFrame"}, "pd.DataFrame", "pd.DataFrame()"),
        ({"needs": ["Numbers"]}, "list[int]", "numbers"),  # the type of what it needs, handed on
        ({"needs": ["Total"]}, "float", "total"),
        ({"needs": ["Numbers"], "type_name": "list[int]"}, "list[int]", "numbers"),
        ({"needs": ["Numbers"], "type_name": "int"}, "int", "len(numbers)"),
        ({"needs": ["Numbers", "Total"], "type_name": "int"}, "int", "len([numbers, total])"),
        ({"needs": ["Numbers", "RunAll"]}, "list[int]", "[len(numbers) + len(run_all)]"),
    ],
)
def test_a_new_task_runs_at_once(small_project, options, annotation, dumped):
    root = small_project()
    new_task(Project.find(), "features.encode.EncodeColumns", **options)
    source = next(root.glob("src/*/tasks/features/encode.py")).read_text()
    assert f"TaskOnKart[{annotation}]" in source
    assert f"self.dump({dumped})" in source
    with open_project() as session:
        build(session.task("EncodeColumns")())


def test_a_type_without_a_value_to_begin_with_has_a_test_that_waits(small_project):
    small_project()
    _, test = new_task(Project.find(), "features.fit.FitModel", type_name="collections.Counter")
    text = test.read_text()
    assert '@pytest.mark.skip(reason="FitModel.run() is not written yet")' in text
    assert "assert build(FitModel()) is not None" in text


@pytest.mark.slow
def test_the_new_test_passes_and_the_new_files_are_clean(small_project):
    root = small_project(
        {
            "src/PKG/base.py": "from kart_runtime import TaskOnKart\n\n__all__ = ['TaskOnKart']\n",
            "tests/conftest.py": """\
                import pytest
                from kart_runtime.project import open_project

                @pytest.fixture(autouse=True)
                def session(tmp_path):
                    with open_project(__file__, env="ci", overrides=[f"run.workspace={tmp_path}"]) as session:
                        yield session
                """,
        }
    )
    project = Project.find()
    paths = new_task(project, "features.encode.EncodeColumns")
    assert f"from {project.package}.base import TaskOnKart" in paths[0].read_text()
    options = ["--import-mode=importlib", "-q", "-p", "no:cacheprovider", "-o", f"pythonpath={root / 'src'}"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(paths[1])], cwd=root, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout
    for command in (["check", "--select", "A,B,C4,E,F,I,N,PIE,PT,PTH,RET,RUF,SIM,UP,W"], ["format", "--check"]):
        checked = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length=120", str(paths[0]), str(paths[1])],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("EncodeColumns", "names no module"),
        ("tasks.EncodeColumns", "names no module"),
        ("features.encode.encode", "'encode' in 'features.encode.encode' is not a valid name of a task class"),
        ("features.encode.None", "is not a valid name of a task class"),
        ("features.encode.TaskOnKart", "is not a valid name of a task class"),
        ("features.class.Encode", "'class' in 'features.class.Encode' is not a valid name of a module"),
        ("Features.encode.Encode", "is not a valid name of a module"),
        ("features.__init__.Encode", "is not a valid name of a module"),
        ("features.test_x.Encode", "is not a valid name of a module"),
        ("features..Encode", "'' in 'features..Encode'"),
        ("../../etc.Encode", "is not a valid name of a module"),
        ("features/encode.Encode", "is not a valid name of a module"),
        ("fеatures.Encode", "is not a valid name of a module"),
        ("", "names no module"),
        ("a" * 90 + ".B", "longer than 80 characters"),
    ],
)
def test_a_bad_name_writes_nothing(small_project, name, wanted):
    root = small_project()
    before = everything(root)
    with pytest.raises(ConfigError) as caught:
        new_task(Project.find(), name)
    assert wanted in str(caught.value)
    assert "features.encode.EncodeColumns" in str(caught.value)
    assert everything(root) == before


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("src/PKG/tasks/features/encode.py/x", "tasks/features/encode.py: already exists; nothing was written"),
        ("tests/tasks/features/test_encode.py", "tests/tasks/features/test_encode.py: already exists"),
        ("src/PKG/tasks/features.py", "features.py: is a module, so a folder cannot have this name"),
        ("src/PKG/tasks/features/encode/x.py", "encode: is a folder, so a module cannot have this name"),
        ("tests/tasks/features", "tests/tasks/features: is a file where a folder is needed"),
    ],
)
def test_when_something_is_in_the_way_nothing_is_written(small_project, file, wanted):
    root = small_project({file: "# mine\n"})
    before = everything(root)
    with pytest.raises(ConfigError) as caught:
        new_task(Project.find(), "features.encode.EncodeColumns")
    assert wanted in str(caught.value)
    assert everything(root) == before


def test_a_link_that_leads_nowhere_is_in_the_way_too(small_project):
    root = small_project({"tests/tasks/features/conftest.py": "# x\n"})
    (root / "tests/tasks/features/test_encode.py").symlink_to(root / "nowhere")
    with pytest.raises(ConfigError, match="already exists"):
        new_task(Project.find(), "features.encode.EncodeColumns")
    assert not (root / "nowhere").exists()


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_when_writing_fails_what_was_written_goes_again(small_project, monkeypatch, error):
    root = small_project()
    before = everything(root)
    replaced = Path.replace

    def failing(self, target):
        if Path(target).name == "test_encode.py":
            raise error
        return replaced(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(ConfigError if isinstance(error, OSError) else KeyboardInterrupt):
        new_task(Project.find(), "features.encode.EncodeColumns")
    assert everything(root) == before


def test_the_full_name_may_be_written(small_project):
    root = small_project()
    project = Project.find()
    new_task(project, f"{project.package}.tasks.features.encode.EncodeColumns")
    assert (root / "tests/tasks/features/test_encode.py").exists()


def test_new_folders_are_packages_where_the_others_are(small_project):
    root = small_project({"src/PKG/tasks/data/__init__.py": ""})
    project = Project.find()
    new_task(project, "features.deep.encode.EncodeColumns")
    assert (project.tasks_folder / "features" / "__init__.py").exists()
    assert (project.tasks_folder / "features" / "deep" / "__init__.py").exists()
    assert not (root / "tests/tasks/features/__init__.py").exists()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=20)
    | st.from_regex(r"[a-z_]{1,3}(\.[a-zA-Z_0-9]{1,3}){0,3}", fullmatch=True)
    | st.lists(st.sampled_from(["a", "b", "numbers", "tasks", "A", "..", "/", "class", ""]), max_size=4).map(".".join)
)
def test_any_name_gives_two_files_or_nothing(small_project, tmp_path, name):
    if not (tmp_path / "pyproject.toml").exists():
        small_project()
    project = Project.find(tmp_path)
    before, outside = everything(tmp_path), set(tmp_path.parent.iterdir())
    try:
        new_task(project, name)
    except ConfigError:
        assert everything(tmp_path) == before
    else:
        files = {path for path in everything(tmp_path) - before if path.is_file()}
        assert {path.suffix for path in files} == {".py"}
        assert len(files) == 2
        for path in files:
            path.unlink()
        for folder in sorted(everything(tmp_path) - before, reverse=True):
            folder.rmdir()
    assert set(tmp_path.parent.iterdir()) == outside


def test_long_names_are_wrapped_as_ruff_would(small_project):
    root = small_project({"src/PKG/base.py": "from kart_runtime import TaskOnKart\n\n__all__ = ['TaskOnKart']\n"})
    project = Project.find()
    long = "CountColumnsOfTable"
    for name in ("First", "Second", "Third", "Fourth"):
        new_task(project, f"features.encode.{long}{name}")
    new_task(project, "features.other.Small", needs=[f"{long}First"], output="png")
    paths = [*root.glob("src/*/tasks/features/*.py"), *root.glob("tests/tasks/features/*.py")]
    assert len(paths) == 4
    for command in (["check", "--select", "E,F,I,RUF"], ["format", "--check", "--diff"]):
        words = [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length=120", *map(str, paths)]
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
