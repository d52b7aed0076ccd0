"""All files below a path are looked at once, and only those that are the project's."""

from __future__ import annotations

from pathlib import Path

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.migrate import scan, write
from kart_runtime.migrate.scan import hints

IMPORT = "import gokart\n"


def put(*paths: str, text: str = IMPORT) -> None:
    for name in paths:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_folders_that_are_not_the_projects_are_skipped():
    put("a.py", "b/c.pyi", "b/d.txt", "build.py")
    put(".git/x.py", ".venv/x.py", "venv/x.py", "b/node_modules/x.py", "build/x.py", "__pycache__/x.py", ".tox/x.py")
    put("env/pyvenv.cfg", "env/lib/x.py")
    assert [str(change.path) for change in scan(["."]).changes] == ["a.py", "build.py", "b/c.pyi"]


def test_a_folder_that_is_named_is_looked_at():
    put("build/x.py")
    assert [str(change.path) for change in scan(["build"]).changes] == ["build/x.py"]


def test_overlapping_paths_and_links_give_each_file_once(tmp_path_factory):
    put("a/b.py")
    Path("a/link.py").symlink_to(Path("a/b.py").resolve())
    outside = tmp_path_factory.mktemp("outside") / "c.py"
    outside.write_text(IMPORT)
    Path("a/c.py").symlink_to(outside)
    assert [str(change.path) for change in scan(["a", "a/b.py"]).changes] == ["a/b.py"]


def test_broken_files_are_problems_unless_they_have_nothing_to_do_with_gokart():
    put("a.py")
    put("b.py", text="import gokart\ndef f(:\n")
    put("c.py", text="def f(:\n")
    found = scan(["."])
    assert [change.path.name for change in found.changes] == ["a.py"]
    assert [problem.path.name for problem in found.problems] == ["b.py"]


def test_a_path_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="there is no such file or folder"):
        scan(["nowhere"])


def test_a_configuration_is_converted_when_asked_for_only():
    put("conf/param.ini", text="[a.T]\nx=1\n[core]\ny=2\n")
    put("setup.cfg", text="[T]\nx=1\n")
    put("conf/broken.ini", text="x\n")
    found = scan(["."])
    assert (found.changes, found.problems) == ([], [])
    assert found.hints == [
        "conf/param.ini: sections of tasks: `kart migrate conf/param.ini --config` converts them to YAML"
    ]
    found = scan(["."], config=True)
    assert [str(change.path) for change in found.changes] == ["conf/param.yaml"]
    assert [str(problem.path) for problem in found.problems] == ["conf/broken.ini"]
    assert found.hints == ["conf/param.ini: [core] stays there: it belongs to no task"]
    write(found.changes[0])
    assert scan(["."], config=True).changes == []


def test_a_yaml_that_says_something_else_is_never_overwritten():
    put("param.ini", text="[a.T]\nx=1\n")
    put("param.yaml", text="T:\n  x: 2\n")
    found = scan(["."], config=True)
    assert found.changes == []
    assert "param.yaml already exists" in str(found.problems[0])


def test_two_configurations_do_not_share_one_yaml():
    put("a.ini", text="[T]\nx=1\n")
    put("a.cfg", text="[T]\nx=2\n")
    found = scan(["."], config=True)
    assert (len(found.changes), len(found.problems)) == (1, 1)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("mypy.ini", "[mypy]\nplugins = gokart.mypy:plugin\n", ["2: plugins = gokart.mypy:plugin: the plugin is "]),
        ("pyproject.toml", 'plugins = ["gokart.mypy"]\n', ['1: plugins = ["gokart.mypy"]: the plugin is ']),
        ("pyproject.toml", 'dependencies = ["luigi", "gokart>=1.2"]\n', ["1: "]),
        ("pyproject.toml", 'gokart = "^1.2"\n', ['1: gokart = "^1.2": the dependency is kart-runtime']),
        (
            "requirements-dev.txt",
            "numpy\ngokart[all]==1.12\n",
            ["2: gokart[all]==1.12: the dependency is kart-runtime[gcs,s3]"],
        ),
        ("requirements.txt", "gokart\n", ["1: gokart: the dependency is kart-runtime"]),
        ("requirements.txt", "gokart[s3]>=1\n", ["1: gokart[s3]>=1: the dependency is kart-runtime[s3]"]),
        (
            "setup.cfg",
            "  gokart[ S3 ,polars,x]\n",
            ["1: gokart[ S3 ,polars,x]: the dependency is kart-runtime[polars,s3]"],
        ),
        ("requirements.txt", "gokart-pipeliner\nmy-gokart\n", []),
        ("mypy.ini", "plugins = kart_runtime.gokart.mypy:plugin\n", []),
        ("notes.txt", "gokart\n", []),
        ("a.ipynb", '"import gokart\\n"', [" cells that import gokart"]),
        ("a.ipynb", '"import kart_runtime.gokart as gokart\\n"', []),
    ],
)
def test_lines_that_name_gokart_are_told(name, text, wanted):
    found = list(hints(Path(name), text.encode()))
    assert len(found) == len(wanted)
    for hint, beginning in zip(found, wanted, strict=True):
        assert hint.startswith(f"{name}:{beginning}")


def test_what_kart_has_not_is_named_with_file_and_line():
    put("a.py", text="from gokart.object_storage import ObjectStorage\nfrom gokart.build import build, LoggerConfig\n")
    found = scan(["."])
    assert found.changes == []
    assert found.hints == [
        "a.py:1: gokart.object_storage: kart has no such module",
        "a.py:2: gokart.build.LoggerConfig: kart has no such name",
    ]


def test_sections_and_loggers_of_gokart_are_named():
    put("luigi.cfg", text="[core]\nno_lock=true\n[gokart_worker]\nkeep_alive=true\n")
    put("logging.ini", text="[loggers]\nkeys=root,g\n[logger_g]\nqualname=gokart.build\n[logger_h]\nqualname=gokarts\n")
    loggers, worker = scan(["."]).hints
    assert loggers == "logging.ini:4: qualname=gokart.build: kart's loggers are kart_runtime and those below"
    assert worker.startswith("luigi.cfg:3: [gokart_worker]: kart has no such section")
