"""No answer can break a project: each is taken and comes back equal, or is refused before a file is written.

The tables are the specification. `OK` and `REFUSED` hold what the three fields of free text are given, one value in all
three at once, so every row is three cases; `PACKAGES` holds what the package's name is given.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cookiecutter.exceptions import FailedHookException, UndefinedVariableInTemplate
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from conftest import World

TEXTS = ("project_name", "description", "author")

OK = [
    "x",
    "../x",
    "../../x",
    "..",
    ".",
    "/",
    "/etc/passwd",
    "~/x",
    "a/b",
    "a\\b",
    "C:\\x",
    "\\",
    "\\\\",
    "\\n",
    "\\u0041",
    "\\N{BULLET}",
    "x\\",
    '"',
    '"""',
    "'''",
    "it's",
    '""" + __import__("os").system("touch pwned") + """',
    "'); __import__('os').system('touch pwned'); ('",
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "| touch pwned",
    "&& touch pwned",
    "> pwned",
    "$HOME",
    "${HOME}",
    "$(HOME)",
    "$$",
    "${oc.env:HOME}",
    "%HOME%",
    "%s %d %",
    "%(message)s",
    "#",
    "# a comment",
    "a # b",
    "<!-- x",
    "<script>alert(1)</script>",
    "&amp; &#65;",
    "[x](javascript:alert(1))",
    "![x](y)",
    "**bold** _it_ `code`",
    "- a list",
    "1. first",
    "| a | b |",
    "---",
    "===",
    "+++",
    "{x}",
    "}}",
    "%}",
    "#}",
    "{ { x } }",
    "$x$",
    "@someone",
    ":smile:",
    "-x",
    "--help",
    "-",
    "*",
    "!x",
    "?",
    ">",
    "~",
    "null",
    "true",
    "yes",
    "NaN",
    "1",
    "0x10",
    "1e3",
    "2024-01-01",
    "key: value",
    "a, b",
    "[a]",
    "{a: b}",
    "&anchor",
    "*alias",
    "!!python/object:os.system",
    "class",
    "json",
    "test",
    "con",
    "nul.txt",
    "CON",
    "COM1",
    "Luigi",
    "kart_runtime",
    "1abc",
    "Ünïcödé ß ı İ",
    "プロジェクト",
    "مشروع",
    "שלום עולם",
    "שלום\u200f, a",
    "a \u200eשלום",
    "می\u200cخواهم",
    "क्\u200dष",
    "❤\ufe0f 1\ufe0f\u20e3",
    "葛\U000e0100",
    "👁\ufe0f\u200d🗨\ufe0f",
    "😀",
    "👩\u200d🔬 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "𝔘𝔫𝔦",
    "e\u0301",
    "a\u00a0b",
    "\U0010fffd",
    "x" * 200,
    "😀" * 200,
    '"' * 200,
    "\\" * 200,
    "a b " * 49 + "a",
]

REFUSED = [
    "",
    " ",
    "   ",
    "\u3000",
    " x",
    "x ",
    "\u00a0x",
    "a\nb",
    "a\r\nb",
    "\n",
    "x\n",
    "a\rb",
    "a\tb",
    "a\x00b",
    "\x00",
    "a\x1b[31mb",
    "a\x7fb",
    "a\x85b",
    "a\u2028b",
    "a\u2029b",
    "a\u202eb",
    "a\u2066b",
    "\ufeffx",
    "\u200b",
    "\u200d",
    "\u200f\u200f",
    "\u00ad",
    "\u2060",
    "\u2800",
    "\u3164",
    "\uffa0",
    "\u115f\u1160",
    "\u180e",
    "\u034f",
    "\ufe0f",
    "\U000e0100",
    "\U000e0041",
    "\u200b \u2800",
    "a\u200bb",
    "a\u200db",
    "a\u200fb",
    "a\u00adb",
    "a\u2060b",
    "a\u2800b",
    "a\u3164b",
    "a\u034fb",
    "a\ufe0fb",
    "😀\ufe0f\ufe0f",
    "😀\U000e0100\U000e0110",
    "a\U000e0068\U000e0069b",
    "🏴\U000e0068",
    "a\ufffeb",
    "a\U0001ffffb",
    "a\ud800b",
    '"\ntouch = "pwned',
    "x\n\ttouch pwned",
    "{{ cookiecutter }}",
    "{{ 7 * 7 }}",
    "{{",
    "a {{ b",
    "{% raw %}",
    "{% endraw %}",
    "{% include 'x' %}",
    "{#",
    "{{ cycler.__init__.__globals__.os.system('touch pwned') }}",
    "{{ lipsum.__globals__['os'].popen('touch pwned').read() }}",
    "{% for x in range(10) %}{% endfor %}",
    "}}{{ x }}",
    "{{ cookiecutter.project_name | package_name }} x",
    "x" * 201,
    "x" * 5000,
    "😀" * 201,
]

PACKAGES_OK = ["x", "none", "abcd", "my_pipeline", "a1", "a__b", "p" * 40, "churn2", "models", "pipeline", "x_1_y"]

PACKAGES_REFUSED = [
    "",
    " ",
    "../x",
    "/x",
    "a/b",
    "a\\b",
    "a.b",
    "a-b",
    "a b",
    " a",
    "a ",
    "a\n",
    "a\nb",
    "a\tb",
    "a\x00",
    "1abc",
    "_",
    "_a",
    "__init__",
    "__main__",
    "a_",
    "-a",
    "--help",
    "A",
    "Abc",
    "JSON",
    "Luigi",
    "é",
    "ａ",
    "ﬁ",
    "プロジェクト",
    "😀",
    '"',
    "'",
    "a'b",
    "$(touch pwned)",
    "`touch pwned`",
    "a;touch pwned",
    "{{ cookiecutter }}",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{{ cycler.__init__.__globals__.os.system('touch pwned') }}",
    "class",
    "None",
    "True",
    "import",
    "async",
    "match",
    "type",
    "json",
    "os",
    "sys",
    "typing",
    "site",
    "distutils",
    "imp",
    "compression",
    "test",
    "tests",
    "src",
    "conf",
    "docs",
    "lib",
    "tasks",
    "notebooks",
    "outputs",
    "vendor",
    "kart",
    "con",
    "nul",
    "aux",
    "com1",
    "lpt9",
    "luigi",
    "gokart",
    "sitecustomize",
    "usercustomize",
    "transformers",
    "mlflow",
    "kart_runtime",
    "pandas",
    "numpy",
    "sklearn",
    "scikit_learn",
    "matplotlib",
    "pyarrow",
    "omegaconf",
    "yaml",
    "pytest",
    "pip",
    "setuptools",
    "p" * 41,
    "p" * 5000,
]

CHOICES_REFUSED = ["", "azure", "S3", " s3", "s3 ", "github\n", "../x", "{{ 7 * 7 }}", "$(touch pwned)"]


def check_world(world: World) -> None:
    """Nothing was written outside the output folder, and nothing was executed."""
    assert world.files_elsewhere() == {"outer", "home", "clones", "current", "cookiecutter.yaml"}
    written = [path for path in world.root.rglob("pwned*") if path.is_file()]
    assert [path for path in written if "deploy" not in path.parts] == []  # there, files have the project's name


def check_files(project: Path, package: str) -> None:
    """Every file of a project can be parsed, and none holds a piece of a template."""
    for path in sorted(path for path in project.rglob("*") if path.is_file() and path.suffix != ".whl"):
        text = path.read_text(encoding="utf-8")
        leftover = re.sub(r"\$\{\{ [^{}]+ \}\}", "", text)  # an expression of GitHub's own
        assert not re.search(r"\{\{|\{%|\{#|cookiecutter\.", leftover), path
        parse = {".py": ast.parse, ".toml": tomllib.loads, ".json": json.loads, ".ipynb": json.loads}
        parse |= {".yaml": yaml.safe_load, ".yml": yaml.safe_load}
        if path.suffix in parse:
            parse[path.suffix](text)
    assert (project / "src" / package / "__main__.py").is_file()
    assert subprocess.run(["make", "-n", "help"], cwd=project, capture_output=True, check=False).returncode == 0


def check_texts(project: Path, answers: dict[str, Any]) -> None:
    """The texts come back as they were given, from each place where they are written."""
    content = (project / "pyproject.toml").read_text(encoding="utf-8")
    assert content.isascii()
    table = tomllib.loads(content)["project"]
    assert table["description"] == answers["description"]
    assert table["authors"] == [{"name": answers["author"]}]
    metadata = ProjectMetadata(str(project), PluginManager()).core
    assert metadata.description == answers["description"]
    assert metadata.name == table["name"]

    tokens = MarkdownIt().parse((project / "README.md").read_text(encoding="utf-8"))
    title, description = tokens[1].children, tokens[4].children
    assert "".join(token.content for token in title or []) == answers["project_name"]
    assert "".join(token.content for token in description or []) == answers["description"]

    notebook = json.loads((project / "notebooks" / "explore.ipynb").read_text(encoding="utf-8"))
    heading = MarkdownIt().parse("".join(notebook["cells"][0]["source"]))[1].children or []
    assert "".join(token.content for token in heading) == f"{answers['project_name']}: explore the outputs"


def check_refused(world: World, capfd: pytest.CaptureFixture[str], fields: tuple[str, ...], **options: Any) -> None:
    """Generating fails with one line for each of the fields, and leaves nothing."""
    with pytest.raises(FailedHookException):
        world.bake(**options)
    written = capfd.readouterr().err.split("Nothing was generated.")[0].splitlines()
    assert {line.partition(":")[0] for line in written} == set(fields)
    assert all(line.isascii() and len(line) < 250 for line in written)
    assert world.generated() == []
    check_world(world)


@pytest.mark.parametrize("text", OK, ids=lambda text: ascii(text)[:40])
def test_text_is_taken_and_comes_back(world: World, text: str) -> None:
    answers = dict.fromkeys(TEXTS, text)
    project = world.bake(answers)
    assert project.parent == world.output
    assert world.generated() == [project.name]
    assert re.fullmatch("[a-z0-9](-?[a-z0-9]+)*", project.name)
    (package,) = (path.name for path in (project / "src").iterdir())
    check_world(world)
    check_files(project, package)
    check_texts(project, answers)


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text)[:40])
def test_text_is_refused(world: World, capfd: pytest.CaptureFixture[str], text: str) -> None:
    check_refused(world, capfd, TEXTS, answers=dict.fromkeys(TEXTS, text))


@pytest.mark.parametrize(
    "text",
    [
        "{{ cookiecutter.project_name | package_name }}",
        "{{directory_name(cookiecutter.project_name)}}",
        "{{ cycler.__init__.__globals__.os.system('touch pwned') }}/src/{{cookiecutter.package_name}}",
    ],
)
def test_text_that_is_a_piece_of_the_template_is_refused(world: World, text: str) -> None:
    with pytest.raises(UndefinedVariableInTemplate):  # by cookiecutter, before it makes a folder
        world.bake({"project_name": text})
    assert world.generated() == []
    check_world(world)


@pytest.mark.parametrize("name", PACKAGES_OK)
def test_package_name_is_taken(world: World, name: str) -> None:
    project = world.bake({"package_name": name})
    check_world(world)
    check_files(project, name)
    assert tomllib.loads((project / "pyproject.toml").read_text())["tool"]["kart"]["package"] == name


@pytest.mark.parametrize("name", PACKAGES_REFUSED, ids=lambda name: ascii(name)[:40])
def test_package_name_is_refused(world: World, capfd: pytest.CaptureFixture[str], name: str) -> None:
    check_refused(world, capfd, ("package_name",), answers={"package_name": name})


@pytest.mark.parametrize("field", ["storage", "ci"])
@pytest.mark.parametrize("value", CHOICES_REFUSED)
def test_choice_that_does_not_exist_is_refused(world: World, field: str, value: str) -> None:
    with pytest.raises(ValueError, match=field):  # by cookiecutter itself, before it does anything
        world.bake({field: value})
    assert world.generated() == []
    check_world(world)


def test_everything_wrong_is_told_at_once(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FailedHookException):
        world.bake({"project_name": "a\nb", "package_name": "class", "description": "", "author": " x"})
    lines = capfd.readouterr().err.splitlines()[:5]
    assert lines == [
        "project_name: contains U+000A, which is not printable; remove it",
        "description: '' is empty; enter a few words",
        "author: ' x' starts or ends with a space; try 'x'",
        "package_name: 'class' is a Python keyword; try 'class_project'",
        "Nothing was generated.",
    ]


@pytest.mark.parametrize(
    "text", ["", "a\nb", "x" * 201, "{{ 7 * 7 }}", "{{ cycler.__init__.__globals__.os.system('touch pwned') }}"]
)
def test_defaults_in_the_users_own_configuration_are_checked_too(
    world: World, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    config = json.loads(world.config.read_text())
    world.config.write_text(json.dumps(config | {"default_context": {"author": text}}))
    check_refused(world, capfd, ("author",))


def test_choice_in_the_users_own_configuration_that_does_not_exist_is_left_out(world: World) -> None:
    config = json.loads(world.config.read_text())
    world.config.write_text(json.dumps(config | {"default_context": {"ci": "azure"}}))
    with pytest.warns(UserWarning, match="azure"):  # by cookiecutter, which then takes the default
        project = world.bake()
    assert (project / ".github/workflows/ci.yml").is_file()


def test_refused_answers_leave_a_folder_that_was_there_as_it_was(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    project = world.bake()
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with pytest.raises(FailedHookException):
        world.bake({"description": ""}, overwrite_if_exists=True)
    assert "Nothing was generated." in capfd.readouterr().err
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def replay(world: World, changes: dict[str, Any]) -> Path:
    """Write what cookiecutter would replay, with changes."""
    world.bake()
    (folder,) = world.output.iterdir()
    folder.rename(world.root / "temporary" / "first")
    (record,) = (world.root / "replay").iterdir()
    context = json.loads(record.read_text())
    context["cookiecutter"].update(changes)
    record.write_text(json.dumps(context))
    return record


@pytest.mark.parametrize(
    "changes",
    [
        {"project_name": ""},
        {"package_name": "../x"},
        {"package_name": "class"},
        {"description": "a\nb"},
        {"author": "{{ cycler.__init__.__globals__.os.system('touch pwned') }}"},
        {"storage": "azure"},
        {"storage": ["s3"]},
        {"ci": "GitHub"},
        {"ci": None},
        {"package_name": 7, "description": ["x"], "author": {"x": "y"}},
    ],
    ids=str,
)
def test_replayed_answers_are_checked_too(
    world: World, capfd: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    replay(world, changes)
    check_refused(world, capfd, tuple(changes), no_input=False, extra_context=None, replay=True)


def test_replayed_text_is_no_template(world: World) -> None:
    replay(world, {"project_name": "../}} {x}"})
    project = world.bake(no_input=False, extra_context=None, replay=True)
    check_world(world)
    check_files(project, "my_pipeline")
    assert project == world.output / "x"


def test_names_that_differ_only_by_case_do_not_overwrite_each_other(world: World) -> None:
    first = world.bake({"project_name": "Tumours"})
    content = (first / "README.md").read_bytes()
    with pytest.raises(Exception, match="already exists"):
        world.bake({"project_name": "TUMOURS"})
    assert (first / "README.md").read_bytes() == content


def test_a_folder_name_with_braces_is_no_template(world: World) -> None:
    folder = world.output / "{{ 7 * 7 }} {% raw"
    folder.mkdir()
    project = dataclasses.replace(world, output=folder).bake({"project_name": "x"})
    assert project == folder / "x"
    check_files(project, "x")


def test_template_without_the_engine_beside_it_is_refused(
    world: World, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.copytree(Path(__file__).parents[2] / "template", tmp_path / "alone")
    with pytest.raises(FailedHookException):
        world.bake(template=tmp_path / "alone")
    assert "kart_runtime is not next to the template" in capfd.readouterr().err
    assert world.generated() == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("\n\n\n\n\n\n", "my_pipeline"),
        ("Tumours & co.\n\nFinds them\nThe group\n2\n3\n", "tumours_co"),
        ("  Tumours \n\n\n\n\n\n", "tumours"),
        ("{{ 7 * 7 }}\n\n\n\n\n\n", None),
        ("x\n../x\n\n\n\n\n", None),
    ],
)
def test_typed_answers(world: World, typed: str, expected: str | None) -> None:
    template = Path(__file__).parents[2] / "template"
    words = ["cookiecutter", str(template), "--config-file", str(world.config), "--output-dir", str(world.output)]
    done = subprocess.run(
        [sys.executable, "-m", *words], input=typed, text=True, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode == 0) == (expected is not None), done.stderr
    assert "[6/6]" in done.stdout
    assert [path.name for path in world.output.glob("*/src/*")] == ([expected] if expected else [])
    if expected is None:
        assert world.generated() == []
    check_world(world)
