"""Used projects: tasks and configuration of another installed project, editable or from a wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from kart_runtime import build
from kart_runtime.errors import ConfigError
from kart_runtime.project import open_project
from kart_runtime.project.layout import check_layout
from kart_runtime.project.project import Project

REPOSITORY = Path(__file__).parents[3]
TEMPLATE = REPOSITORY / "template" / "{{directory_name(cookiecutter.project_name)}}" / "pyproject.toml"
LOAD = """
    import luigi
    from kart_runtime import InputFile


    class LoadText(InputFile[str]):
        path = luigi.Parameter(default="data/text.txt")
"""
FEATURES = {
    "src/PKG/tasks/load.py": LOAD,
    "conf/base/tasks/load.yaml": "LoadText: {}\n",
    "conf/base/shared.yaml": "weight: 3\n",
    "conf/base/groups.yaml": "scale: small\n",
    "conf/groups/scale/small.yaml": "Numbers: {size: 6}\n",
    "conf/base/tasks/numbers.yaml": "Total:\n  weight: ${shared.weight}\n  label: of ${run.task}\n",
    "conf/prod/shared.yaml": "weight: 30\n",
    "conf/local/run.yaml": "workspace: of-the-other\n",
    "data/text.txt": "theirs",
}
REPORT = """
    from kart_runtime import TaskOnKart
    from USED.tasks.load import LoadText
    from USED.tasks.numbers import Total


    class Report(TaskOnKart[list]):
        def requires(self):
            return [Total(), LoadText()]

        def run(self):
            self.dump(self.load())
"""


@pytest.fixture
def two(small_project, monkeypatch):
    """Return a function that makes a project and one that uses it; it returns the folder and the package of each."""

    def make(used: dict[str, str] | None = None, own: dict[str, str] | None = None, *, installed: bool = False):
        first = small_project({**FEATURES, **(used or {})})
        package = Project.find(first).package
        site = _installed(first, package) if installed else first / "src"
        monkeypatch.syspath_prepend(str(site))
        files = {
            "src/PKG/tasks/report.py": REPORT.replace("USED", package),
            "conf/base/tasks/report.yaml": "Report: {}\n",
            "tests/tasks/test_report.py": "def test_of_nothing():\n    pass\n",
            "conf/base/run.yaml": "task: Report\nworkspace: outputs\n",
            **{name.replace("USED", package): text.replace("USED", package) for name, text in (own or {}).items()},
        }
        second = small_project(files, kart=f'uses = ["{package}"]\n')
        return first, second, package

    return make


def _installed(project: Path, package: str) -> Path:
    """Build a wheel with the tables that the template has, and unpack it."""
    tables = TEMPLATE.read_text(encoding="utf-8").partition("[tool.hatch.build]")[2].partition("[tool.uv]")[0]
    tables = "[tool.hatch.build]" + tables.replace("{{ cookiecutter.package_name }}", package)
    pyproject = project / "pyproject.toml"
    table = pyproject.read_text(encoding="utf-8")
    pyproject.write_text(f'[project]\nname = "{package}"\nversion = "1"\n{table}\n{tables}', encoding="utf-8")
    (wheel,) = WheelBuilder(str(project)).build(directory=str(project / "dist"), versions=["standard"])
    site = project / "site-packages"
    shutil.unpack_archive(wheel, site, "zip")
    return site


@pytest.mark.parametrize("installed", [False, True], ids=["editable", "wheel"])
def test_tasks_and_values_of_another_project_are_known(two, installed):
    own = {
        "conf/base/USED/tasks/numbers.yaml": "Total:\n  label: ours\n",
        "conf/base/USED/tasks/load.yaml": "LoadText:\n  path: ours.txt\n",
        "ours.txt": "ours",
    }
    _, root, used = two(own=own, installed=installed)
    with open_project() as session:
        total = session.task(f"{used}.tasks.numbers.Total")()
        assert (total.weight, total.label, total.requires().size) == (3.0, "ours", 6)
        assert session.task("tasks.numbers.Total")().weight == 2.0
        assert session.origins[f"{used}.tasks.numbers.Total.weight"] == f"{used}/conf/base/tasks/numbers.yaml:2"
        assert session.settings.run.workspace == "outputs"
        assert build(session.task("Report")()) == [45.0, "ours"]
    assert list((root / "outputs" / used / "tasks" / "numbers").glob("Total_*.pkl"))
    with open_project(overrides=[f"{used}.shared.weight=4"]) as session:
        assert build(session.task("Report")()) == [60.0, "ours"]


def test_an_environment_of_the_same_name_is_read(two):
    _, _, used = two(own={"conf/prod/run.yaml": "seed: 1\n"})
    with open_project(env="prod") as session:
        assert session.task(f"{used}.tasks.numbers.Total")().weight == 30.0
    assert session.layers[:2] == (f"{used}/conf/base", f"{used}/conf/prod")


def test_files_of_an_editable_project_are_its_own(two):
    two()
    with open_project() as session:
        assert build(session.task("Report")()) == [45.0, "theirs"]


def test_files_of_a_wheel_must_be_named(two):
    _, _, used = two(installed=True)
    with open_project() as session, pytest.raises(ConfigError, match="is installed without its files") as caught:
        session.task("Report")().make_unique_id()
    assert f"conf/base/{used}/tasks/load.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (
            {"conf/base/USED/tasks/numbers.yaml": "Totl: {}\n"},
            "tasks.numbers.Totl: unknown task. Did you mean 'Total'?",
        ),
        ({"conf/base/USED/tasks/numbres.yaml": "Total: {}\n"}, "unknown task module. Did you mean 'numbers'?"),
        ({"conf/base/USED/tasks/numbers.yaml": "Total: {wieght: 1}\n"}, "Total has no parameter 'wieght'"),
        ({"conf/base/USED/run.yaml": "seed: 1\n"}, "has no effect: settings are those of this project"),
        ({"conf/base/run.yaml": "task: Total\n"}, "Total is the name of 2 tasks (expected tasks.numbers.Total or "),
    ],
)
def test_mistakes_in_its_configuration_are_refused(two, refused, own, expected):
    two(own=own)
    assert any(expected in error for error in refused()), refused()


def test_a_module_of_it_that_cannot_be_imported_is_named(two, refused):
    _, _, used = two({"src/PKG/tasks/broken.py": "1 / 0\n"})
    (error,) = refused()
    assert (
        error
        == f"{used}/tasks/broken.py:1: {used}.tasks.broken cannot be imported: ZeroDivisionError: division by zero"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no_such_project_at_all", "no package no_such_project_at_all is installed"),
        (
            "kart-project",
            "'kart-project' is not the name of a package, as Python imports it. Did you mean",
        ),
        ("json", "json is no kart project"),
        ("colorsys", "colorsys is no kart project: it is a module"),
        ("PKG", "PKG uses itself"),
        ("shared", "it is a key of the configuration"),
    ],
)
def test_what_cannot_be_used_is_refused(small_project, refused, name, expected):
    root = small_project()
    package = Project.find(root).package
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    (root / "pyproject.toml").write_text(f'{text}uses = ["{name.replace("PKG", package)}"]\n', encoding="utf-8")
    (error,) = refused()
    assert error.startswith("pyproject.toml: tool.kart.uses: ")
    assert expected.replace("PKG", package) in error


@pytest.mark.parametrize("uses", ['"one"', "[1]"])
def test_uses_is_a_list_of_names(small_project, refused, uses):
    small_project(kart=f"uses = {uses}\n")
    assert "tool.kart.uses: is" in refused()[0]


@pytest.mark.parametrize("installed", [False, True], ids=["editable", "wheel"])
def test_what_a_used_project_uses_is_used_too(small_project, monkeypatch, installed):
    first = small_project({"conf/base/tasks/numbers.yaml": "Total:\n  weight: 5\n"})
    lowest = Project.find(first).package
    monkeypatch.syspath_prepend(str(first / "src"))
    second = small_project(
        {f"conf/base/{lowest}/tasks/numbers.yaml": "Total:\n  label: middle\n"}, kart=f'uses = ["{lowest}"]\n'
    )
    middle = Project.find(second).package
    monkeypatch.syspath_prepend(str(_installed(second, middle) if installed else second / "src"))
    small_project({"conf/base/run.yaml": "workspace: outputs\n"}, kart=f'uses = ["{middle}"]\n')
    with open_project() as session:
        total = session.task(f"{lowest}.tasks.numbers.Total")()
    assert (total.weight, total.label) == (5.0, "middle")
    assert session.origins[f"{lowest}.tasks.numbers.Total.label"].startswith(f"{middle}/conf/base/{lowest}/")


def test_a_cycle_is_refused(two, refused):
    first, second, used = two()
    other = Project.find(second).package
    monkey = first / "pyproject.toml"
    monkey.write_text(f'{monkey.read_text(encoding="utf-8")}uses = ["{other}"]\n', encoding="utf-8")
    assert any(f"cycle of projects: {other} uses {used} uses {other}" in error for error in refused())


def test_its_layout_is_not_checked_here(two):
    two({"conf/base/tasks/numbers.yaml": "Total: {}\n"})
    assert check_layout(Project.find()) == []
    assert Project.find().uses
