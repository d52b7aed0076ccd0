"""A project takes over what is new in the template, keeps what is the user's, and says what it could not merge."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from kart_runtime.cli import main
from kart_runtime.project.template import apply, render
from kart_runtime.project.template import update as update_module
from kart_runtime.project.template.record import PLAN, RECORD, TemplateError, read_record, unfinished_update
from kart_runtime.project.template.sources import Template
from kart_runtime.project.template.update import Options, Result, update

if TYPE_CHECKING:
    from conftest import Command, World

REPOSITORY = Path(__file__).parents[2]
TREE = "template/{{directory_name(cookiecutter.project_name)}}"
DESCRIPTION = 'Says "😀" \\ and more'


def git(folder: Path, *words: str) -> str:
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *author, *words], cwd=folder, text=True, capture_output=True, check=True)
    return done.stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "state")
    return git(folder, "rev-parse", "HEAD")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, path
    path.write_text(text.replace(old, new), encoding="utf-8")


def version() -> str:
    found = re.search(r'^version = "(.*)"$', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def later_version() -> str:
    major, minor, patch = version().split(".")
    return f"{major}.{minor}.{int(patch) + 1}"


def copy_repository(folder: Path) -> Path:
    for name in ("template", "kart_runtime"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder / name)
    return folder


TEXT = "".join(f"line {number}\n" for number in range(1, 9))
FIRST = {"upkeep/merged": TEXT, "upkeep/lines": TEXT, "upkeep/old": TEXT, "upkeep/gone": TEXT, "upkeep/dropped": "x\n"}
"""Files in the tree of the first commit: the scenarios, whatever the template itself has."""


def write(tree: Path, contents: dict[str, str]) -> None:
    for name, text in contents.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)


def publish(folder: Path) -> None:
    """Change what a later version might: tooling, the engine, prompts, filters, names, and files of the user."""
    tree = folder / TREE
    replace(folder / "pyproject.toml", f'version = "{version()}"', f'version = "{later_version()}"')
    answers = folder / "template/answers.py"
    answers.write_text(
        f'{answers.read_text()}\n\ndef shouted(text):\n    return text.upper()\n\n\nFILTERS = (*FILTERS, "shouted")\n'
    )
    add_prompt(folder, "team", "data")
    makefile = tree / "Makefile"
    makefile.write_text("# {{ cookiecutter.team | shouted }}\n" + makefile.read_text())
    base = tree / "src/{{cookiecutter.package_name}}/base.py"
    base.write_text(base.read_text() + "\nNEW = 1\n")
    (tree / "upkeep/old").rename(tree / "upkeep/renamed")
    (tree / "upkeep/dropped").unlink()
    changed = TEXT.replace("line 8", "new 8")
    write(tree, {"upkeep/merged": changed, "upkeep/lines": changed, "upkeep/gone": changed})
    write(tree, {"upkeep/renamed": changed, "upkeep/added": "new\n"})


def add_prompt(folder: Path, name: str, default: Any) -> None:
    path = folder / "template/cookiecutter.json"
    path.write_text(json.dumps({name: default, **json.loads(path.read_text())}))


@dataclass(frozen=True)
class Published:
    """Repository of the template with two commits, by its URL."""

    folder: Path
    first: str
    second: str

    @property
    def url(self) -> str:
        return self.folder.as_uri()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The template as others clone it: this one, and a later one."""
    work = copy_repository(tmp_path_factory.mktemp("work") / "kart")
    write(work / TREE, FIRST)
    git(work, "init", "--quiet")
    first = commit(work)
    publish(work)
    second = commit(work)
    bare = work.parent / "kart.git"
    git(work.parent, "clone", "--quiet", "--bare", "kart", "kart.git")
    return Published(bare, first, second)


@pytest.fixture(scope="session")
def generated(
    published: Published, make_world: Callable[[Path], World], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A committed project of the first commit; only to be copied."""
    world = make_world(tmp_path_factory.mktemp("generated") / "world")
    answers = {"description": DESCRIPTION, "ci": "none"}
    project = world.bake(answers, template=published.url, checkout=published.first, directory="template")
    record = json.loads((project / RECORD).read_text())
    assert record["source"] == published.url
    # a clone of a path costs a fraction of a clone of an address
    (project / RECORD).write_text(json.dumps({**record, "source": str(published.folder)}))
    git(project, "init", "--quiet")
    commit(project)
    return project


@pytest.fixture
def project(generated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "project"))


@pytest.fixture(scope="session")
def renders() -> dict[tuple[str, str], Path]:
    """Folders of renders by commit and answers."""
    return {}


@pytest.fixture(autouse=True)
def render_once(
    renders: dict[tuple[str, str], Path], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Render each commit once with the same answers: an update only reads the files, and a second costs a second."""

    def cached(template: Template, answers: dict[str, Any], folder: Path) -> Path:
        if template.commit is None:
            return render.render(template, answers, folder)
        key = (template.commit, json.dumps(answers, sort_keys=True))
        if key not in renders:
            renders[key] = render.render(template, answers, tmp_path_factory.mktemp("render") / "render")
        return renders[key]

    monkeypatch.setattr(update_module, "render", cached)


class Said:
    """Lines that an update has printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)

    def __str__(self) -> str:
        return "\n".join(self.lines)


def run(project: Path, **options: Any) -> tuple[Result, str]:
    """Update a project without setting it up, and return the result and what was printed."""
    said = Said()
    return update(project, Options(**{"setup": False, **options}), said), str(said)


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_record_says_where_the_project_came_from(generated: Path, published: Published) -> None:
    record = json.loads((generated / RECORD).read_text())
    assert (record["directory"], record["commit"]) == ("template", published.first)
    assert record["version"] == version()
    assert record["answers"] == {
        "project_name": "My pipeline",
        "package_name": "my_pipeline",
        "description": DESCRIPTION,
        "author": "The authors",
        "storage": "local",
        "ci": "none",
    }


def test_record_of_a_folder_without_git_and_of_one_with_uncommitted_changes(tmp_path: Path) -> None:
    folder = copy_repository(tmp_path / "kart")
    write_record = runpy.run_path(str(folder / "template/record.py"))["write_record"]

    def record(given: str) -> dict[str, Any]:
        context = {"author": "A", "_template": given, "_output_dir": str(tmp_path)}
        write_record(tmp_path, context, (folder / "template").resolve())
        document: dict[str, Any] = json.loads((tmp_path / RECORD).read_text())
        assert document["answers"] == {"author": "A"}
        return document

    plain = record(str(folder))
    assert (plain["source"], plain["commit"], "dirty" in plain) == (str(folder), None, False)
    git(folder, "init", "--quiet")
    clean = commit(folder)
    (folder / "unrelated").write_text("x")
    for given in (str(folder), f"{folder}/template", "kart", "."):
        assert [*record(given).values()][:3] == [str(folder.resolve()), "template", clean]
    for given in ("gh:team/kart", "git@example.org:team/kart.git", "https://example.org/kart.git"):
        assert record(given)["source"] == given
    assert record("https://me:token@example.org/kart.git")["source"] == "https://example.org/kart.git"
    (folder / "README.md").write_text("x")
    changed = record(str(folder))
    assert (changed["commit"], changed["dirty"]) == (None, True)


def test_update_merges_edits_of_both_sides(project: Path, published: Published) -> None:
    own = project / "src/my_pipeline/base.py"
    own.write_text(own.read_text() + "\nOWN = 1\n")
    makefile = project / "Makefile"
    makefile.write_text(makefile.read_text() + "\nown:\n\ttrue\n")
    replace(project / "pyproject.toml", '  "scikit-learn', '  "polars>=1.0",\n  "scikit-learn')
    for name in ("merged", "old"):
        replace(project / "upkeep" / name, "line 1\n", "own 1\n")
    (project / "upkeep/gone").unlink()
    write(project, {"docs/mine.md": "mine\n"})
    commit(project)
    result, said = run(project, check=True)
    assert result is Result.AVAILABLE
    assert "upkeep/renamed" in said
    assert git(project, "status", "--porcelain") == ""

    result, said = run(project)
    assert result is Result.DONE
    merged = TEXT.replace("line 1\n", "own 1\n").replace("line 8", "new 8")
    assert (project / "upkeep/merged").read_text() == merged
    assert (project / "upkeep/renamed").read_text() == merged
    assert (project / "upkeep/added").read_text() == "new\n"
    assert not [name for name in ("old", "dropped", "gone") if (project / "upkeep" / name).exists()]
    assert "upkeep/gone stays deleted" in said
    text = makefile.read_text()
    assert text.startswith("# DATA\n")  # the default of the new prompt, by a filter that is new, too
    assert text.endswith("\nown:\n\ttrue\n")
    pyproject = (project / "pyproject.toml").read_text()
    assert '"polars>=1.0"' in pyproject
    assert f">={later_version()}" in pyproject
    assert (project / "docs/mine.md").read_text() == "mine\n"
    assert own.read_text().endswith("OWN = 1\n")
    assert "NEW = 1" not in own.read_text()
    assert "left alone although the template has changed them: src/my_pipeline/base.py" in said
    wheels = [path.name for path in (project / "vendor").iterdir()]
    assert wheels == [f"kart_runtime-{later_version()}-py3-none-any.whl"]
    assert "New prompt team, answered with its default: 'data'" in said
    record = read_record(project)
    assert (record.commit, record.version, record.target) == (published.second, later_version(), None)
    assert record.answers["description"] == DESCRIPTION
    assert record.answers["team"] == "data"
    uncommitted = said.partition("Not committed yet: ")[2]
    assert "upkeep/renamed" in uncommitted
    assert RECORD in uncommitted
    assert not (project / PLAN).exists()

    commit(project)
    assert run(project, check=True)[0] is Result.DONE
    assert run(project)[0] is Result.DONE
    assert git(project, "status", "--porcelain") == ""


def test_project_without_edits_becomes_what_the_new_template_generates(
    project: Path, published: Published, world: World
) -> None:
    assert run(project)[0] is Result.DONE
    answers = {"description": DESCRIPTION, "ci": "none"}
    expected = files(world.bake(answers, template=published.url, directory="template"))
    record = json.loads(expected[RECORD])
    expected[RECORD] = (json.dumps({**record, "source": str(published.folder)}, indent=2) + "\n").encode()
    # an update leaves the files of the user alone, and the record of the sample, which these are a part of
    own = {name: files(project)[name] for name in expected if name.startswith(("src/", ".kart-sample"))}
    assert files(project) == {**expected, **own}


def test_conflict_is_remembered_until_it_is_solved(project: Path, published: Published, command: Command) -> None:
    path = project / "upkeep/lines"
    replace(path, "line 8", "own 8")
    before = commit(project)
    result, said = run(project)
    assert result is Result.TO_SOLVE
    assert "\n  upkeep/lines:8: conflict of the template update" in said
    text = path.read_text()
    assert "own 8\n" in text
    assert "new 8\n" in text
    assert read_record(project).commit == published.first  # until it is solved
    commit(project)

    checked = command(project, sys.executable, "-m", "my_pipeline", "check", ok=False)
    assert checked.returncode == 3
    assert "upkeep/lines:8: conflict of the template update" in checked.stdout
    again, said = run(project)
    assert again is Result.TO_SOLVE
    assert "upkeep/lines:8" in said

    lines = [line for line in text.splitlines(keepends=True) if not re.match("<<<<<<<|=======|>>>>>>>", line)]
    path.write_text("".join(lines))
    (pending,) = unfinished_update(project)
    assert "Run `kart update` to finish it" in pending
    assert run(project)[0] is Result.DONE
    record = read_record(project)
    assert (record.commit, record.target) == (published.second, None)
    assert unfinished_update(project) == []
    git(project, "reset", "--quiet", "--hard", before)
    assert run(project)[0] is Result.TO_SOLVE  # given up and begun again


def test_conflict_in_pyproject_is_named_by_check_and_can_be_finished(project: Path, command: Command) -> None:
    path = project / "pyproject.toml"
    text, number = re.subn(r'"kart-runtime\[.*"', '"kart-runtime[cli,redis]>=0.1"', path.read_text())
    assert number == 1
    path.write_text(text)
    commit(project)
    words = [sys.executable, "-m", "my_pipeline"]
    assert run(project)[0] is Result.TO_SOLVE
    checked = command(project, *words, "check", ok=False)
    assert re.search(r"pyproject\.toml:\d+: conflict of a merge", checked.stderr)
    text = path.read_text()
    path.write_text(re.sub(r"<<<<<<<.*?\n(.*?)=======\n.*?>>>>>>>.*?\n", r"\1", text, flags=re.DOTALL))
    done = command(project, *words, "update", "--no-setup", PYTHONPATH=str(project / "src"))
    assert "All conflicts of the update are solved" in done.stdout


def test_uncommitted_changes_are_refused(project: Path) -> None:
    replace(project / "upkeep/merged", "line 1\n", "own 1\n")
    (project / "upkeep/added").write_text("own\n")
    (project / "src/my_pipeline/base.py").write_text("OWN = 1\n")
    before = files(project)
    with pytest.raises(TemplateError, match=r"uncommitted changes: upkeep/added, upkeep/merged\. Commit or stash"):
        run(project)
    assert files(project) == before
    result, _ = run(project, allow_dirty=True)
    assert result is Result.TO_SOLVE
    assert "own 1" in (project / "upkeep/merged").read_text()
    assert "own\n" in (project / "upkeep/added").read_text()


def test_project_outside_git_is_refused_unless_that_is_wanted(project: Path) -> None:
    shutil.rmtree(project / ".git")
    before = files(project)
    with pytest.raises(TemplateError, match="not in a git repository"):
        run(project)
    assert files(project) == before
    assert run(project, allow_dirty=True)[0] is Result.DONE


@pytest.fixture(scope="session")
def rewritten(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newest template in a repository that has forgotten how it came about."""
    folder = tmp_path_factory.mktemp("rewritten") / "kart"
    git(folder.parent, "clone", "--quiet", str(published.folder), "kart")
    shutil.rmtree(folder / ".git")
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def test_with_a_lost_history_the_wheel_in_vendor_is_the_base(project: Path, rewritten: Path) -> None:
    replace(project / "upkeep/old", "line 1\n", "own 1\n")
    commit(project)
    result, said = run(project, template=str(rewritten))
    assert result is Result.DONE
    assert "from the wheel in vendor/" in said
    assert (project / "upkeep/renamed").read_text().startswith("own 1\n")
    assert not (project / "upkeep/dropped").exists()
    record = read_record(project)
    assert (record.source, record.commit) == (str(rewritten), git(rewritten, "rev-parse", "HEAD"))


def test_with_everything_lost_nothing_is_overwritten(project: Path, rewritten: Path) -> None:
    (wheel,) = (project / "vendor").iterdir()
    wheel.unlink()
    record = json.loads((project / RECORD).read_text())
    record["source"] = "file:///nowhere/kart.git"
    (project / RECORD).write_text(json.dumps(record))
    replace(project / "upkeep/merged", "line 1\n", "own 1\n")
    commit(project)
    with pytest.raises(TemplateError, match=r"cannot clone file:///nowhere/kart\.git: .*pass --template"):
        run(project)
    before = files(project)
    result, said = run(project, template=str(rewritten))
    assert result is Result.TO_SOLVE
    assert "is lost" in said
    after = files(project)
    for name in ("Makefile", "upkeep/merged", "upkeep/lines"):
        assert f"{name}:" in said
        assert set(before[name].splitlines()) <= set(after[name].splitlines())
    assert before.keys() <= after.keys()


def test_project_by_cruft_becomes_one_of_ours(project: Path, published: Published) -> None:
    record = json.loads((project / RECORD).read_text())
    (project / RECORD).unlink()
    context = {"cookiecutter": {**record["answers"], "_template": published.url, "_extensions": ["x"]}}
    document = {"template": published.url, "commit": published.first, "directory": "template", "context": context}
    (project / ".cruft.json").write_text(json.dumps({**document, "checkout": None, "skip": ["src"]}))
    replace(project / "upkeep/merged", "line 1\n", "own 1\n")
    commit(project)
    result, said = run(project)
    assert result is Result.DONE
    assert f"{RECORD} replaces .cruft.json." in said
    assert not (project / ".cruft.json").exists()
    assert read_record(project).commit == published.second
    assert (project / "upkeep/merged").read_text().startswith("own 1\n")
    assert (project / "upkeep/merged").read_text().endswith("new 8\n")


def test_earlier_commit_only_when_it_is_asked_for(project: Path, published: Published) -> None:
    run(project)
    commit(project)
    with pytest.raises(TemplateError, match="has no branch, tag or commit 'v9'"):
        run(project, checkout="v9")
    result, _ = run(project, checkout=published.first)
    assert result is Result.DONE
    assert (project / "upkeep/dropped").exists()
    assert read_record(project).commit == published.first


def test_interrupted_update_is_finished_by_the_next_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Path(shutil.copytree(project, project.with_name("expected")))
    run(expected)
    taken = iter(range(3))
    take = apply._take

    def killed(*arguments: Any) -> None:
        if next(taken, None) is None:
            raise KeyboardInterrupt
        take(*arguments)

    monkeypatch.setattr(apply, "_take", killed)
    with pytest.raises(KeyboardInterrupt):
        run(project)
    monkeypatch.undo()
    assert "was interrupted" in unfinished_update(project)[0]
    assert run(project, check=True)[0] is Result.TO_SOLVE
    result, said = run(project)
    assert result is Result.DONE
    assert "Finishing an update" in said
    assert files(project) == files(expected)


def test_name_that_the_new_template_has_reserved_is_kept(project: Path, published: Published, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(published.folder), "kart")
    path = tmp_path / "kart/template/answers.py"
    path.write_text(path.read_text() + '\nLIBRARIES.add("my_pipeline")\n')
    commit(tmp_path / "kart")
    assert run(project, template=str(tmp_path / "kart"))[0] is Result.DONE


def test_answer_that_the_new_template_rejects_is_refused(project: Path, published: Published, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(published.folder), "kart")
    path = tmp_path / "kart/template/cookiecutter.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "ci": ["github"]}))
    commit(tmp_path / "kart")
    before = files(project)
    with pytest.raises(
        TemplateError, match=r"cannot be rendered with the recorded answers:\n +none provided for choice"
    ):
        run(project, template=str(tmp_path / "kart"))
    assert files(project) == before


def test_make_targets_update(project: Path, make: Command) -> None:
    checked = make(project, "template-check", "UV=", ok=False)
    assert "An update is available" in checked.stdout
    assert "Error 3" in checked.stderr
    done = make(project, "template-update", "UV=", "ARGS=--no-setup")
    assert f"Updated to {later_version()}" in done.stdout


@pytest.fixture(scope="session")
def installed(published: Published, wheel: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `kart` of an environment into which the wheel of this repository is installed.

    It shares the libraries of the tests' own environment, so that nothing is downloaded.
    """
    folder = tmp_path_factory.mktemp("installed")
    built = wheel.build_wheel(REPOSITORY, folder)
    venv.create(folder / "venv", with_pip=False, symlinks=os.name != "nt")
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    words = ["-m", "uv", "pip", "install", "--quiet", "--no-deps", "--offline", "--python", str(python), str(built)]
    subprocess.run([sys.executable, *words], check=True)
    (site,) = (folder / "venv").rglob("site-packages")
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    # a path file cannot put the editable installation of this repository before the wheel
    (site / "libraries.pth").write_text("\n".join(libraries) + "\n")
    return scripts / "kart"


def kart(program: Path, *words: str, ok: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(program), *words], text=True, capture_output=True, env=env, check=False, **options)
    assert not ok or done.returncode == 0, done.stdout + done.stderr
    return done


def test_new_from_a_wheel_is_what_cookiecutter_generates(
    installed: Path, published: Published, world: World, tmp_path: Path
) -> None:
    kart(installed, "new", "Churn model", f"description={DESCRIPTION}", "--storage", "s3", "--no-input", cwd=tmp_path)
    project = tmp_path / "churn-model"
    answers = {"project_name": "Churn model", "description": DESCRIPTION, "storage": "s3"}
    expected = files(world.bake(answers, template=REPOSITORY, directory="template"))
    ours = files(project)
    record, other = (json.loads(content.pop(RECORD)) for content in (ours, expected))
    assert ours == expected
    other.pop("dirty", None)
    assert record == {**other, "source": "kart-runtime", "commit": None}

    git(project, "init", "--quiet")
    commit(project)
    assert "Up to date" in kart(installed, "update", "--check", cwd=project).stdout
    done = kart(installed, "update", "--no-setup", "--template", published.url, cwd=project)
    assert "from the wheel in vendor/" in done.stdout
    record = json.loads((project / RECORD).read_text())
    assert (record["source"], record["commit"]) == (published.url, published.second)


def test_wheel_is_a_template_too(project: Path, published: Published, wheel: ModuleType, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(published.folder), "kart")
    built = wheel.build_wheel(tmp_path / "kart", tmp_path / "dist")
    assert run(project, template=str(built))[0] is Result.DONE
    assert (project / "upkeep/added").exists()
    assert read_record(project).source == "kart-runtime"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x", "package_name=json"], "package_name: 'json' is a module of Python's standard library"),
        (["x", "--storage", "ftp"], "error: ftp provided for choice variable storage"),
        (["x", "projct_name=y"], "error: 'projct_name' is not a prompt of the template\n       did you mean 'project_"),
        (["x", "project_name=y"], "error: project_name is given twice: 'x' and 'y'."),
        (["a/b"], "error: 'a/b' is a path, but a project's name is expected"),
        (["x", "--template", "nowhere"], "error: the template's source nowhere does not exist"),
        (["x", "--checkout", "v1"], "error: --checkout needs --template with a git repository"),
    ],
)
def test_new_refuses_in_a_line(world: World, capfd: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["new", *words, "--no-input"]) == 2
    printed = capfd.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.out + printed.err
    assert list(Path.cwd().iterdir()) == []
    assert world.generated() == []


def test_new_without_answers_to_its_prompts_is_refused(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("kart")
    done = kart(program, "new", ok=False, cwd=tmp_path, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "pass --no-input" in done.stderr.lower()


def test_without_cookiecutter_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render.importlib.util, "find_spec", lambda name: None if name == "cookiecutter" else object())
    assert main(["new", "--no-input", "--output-dir", str(tmp_path)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "error: kart new needs cookiecutter (extra 'new' of kart-runtime): "
        f"{sys.executable} -m pip install cookiecutter"
    )
    assert second == "Nothing was run or changed."


def test_without_git_that_is_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    with pytest.raises(TemplateError, match="git is not installed"):
        run(project)
