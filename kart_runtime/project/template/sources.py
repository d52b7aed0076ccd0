"""Sources of the template: a git repository or its URL, a folder, a wheel of the engine, or the installed engine."""

from __future__ import annotations

import re
import shutil
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kart_runtime.project.template.git import git, message
from kart_runtime.project.template.record import INSTALLED, TemplateError

DIRECTORY = "template"
ARCHIVE = "_template.zip"
"""Member of the package in a wheel: the template and what its hooks need, except for the package itself."""

_PACKAGE = Path(__file__).resolve().parents[2]
_ABBREVIATIONS = {
    "gh": "https://github.com/{}.git",
    "gl": "https://gitlab.com/{}.git",
    "bb": "https://bitbucket.org/{}",
}
"""Those of cookiecutter."""


@dataclass(frozen=True)
class Template:
    """One version of the template, as files.

    Attributes
    ----------
    source
        What to record as its source.
    repository
        Folder with the template, the engine's package and its pyproject.toml.
    directory
        Folder of the template in the repository.
    commit
        Commit of the repository; None without one.
    """

    source: str
    repository: Path
    directory: str
    commit: str | None = None

    @property
    def folder(self) -> Path:
        """Folder of cookiecutter.json."""
        return self.repository / self.directory

    @property
    def version(self) -> str:
        """Version of the engine beside the template."""
        return str(
            tomllib.loads((self.repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        )

    def checked(self) -> Template:
        """Return this template; raise `TemplateError` if the repository has none."""
        for name in (f"{self.directory}/cookiecutter.json", "pyproject.toml"):
            if not (self.repository / name).is_file():
                raise TemplateError(f"{self.source} is not a repository of the template: it has no {name}.")
        return self


@dataclass(frozen=True)
class Clone:
    """Clone of a git repository; `checkout` gives the template at a commit."""

    source: str
    folder: Path

    def resolve(self, reference: str | None) -> str:
        """Return the commit of a branch, tag or commit; None: of the default branch."""
        names = ["HEAD"] if reference is None else [f"refs/remotes/origin/{reference}", reference]
        for name in names:
            done = git(
                "rev-parse",
                "--verify",
                "--quiet",
                "--end-of-options",
                f"{name}^{{commit}}",
                folder=self.folder,
                check=False,
            )
            if done.returncode == 0:
                return done.stdout.decode().strip()
        raise TemplateError(f"{self.source} has no branch, tag or commit '{reference or 'HEAD'}'.")

    def has(self, commit: str) -> bool:
        """Return whether the history holds a commit."""
        return git("cat-file", "-e", f"{commit}^{{commit}}", folder=self.folder, check=False).returncode == 0

    def is_ancestor(self, commit: str, descendant: str) -> bool:
        """Return whether `descendant` contains `commit`."""
        done = git("merge-base", "--is-ancestor", commit, descendant, folder=self.folder, check=False)
        return done.returncode == 0

    def checkout(self, commit: str, directory: str, folder: Path) -> Template:
        """Return the template at a commit, in a new folder."""
        git("clone", "--quiet", "--shared", "--no-checkout", "--", str(self.folder), str(folder), folder=self.folder)
        git("checkout", "--quiet", "--detach", commit, folder=folder)
        return Template(self.source, folder, directory, commit).checked()


def without_password(source: str) -> str:
    """Return a URL without user and password, which do not belong into a file that is committed."""
    return re.sub(r"^(https?://)[^/@]*@", r"\1", source)


def is_git(source: str) -> bool:
    """Return whether a source is a git repository or the URL of one."""
    path = Path(source).expanduser()
    if path.exists():
        return (path / ".git").exists() or (path / "HEAD").is_file()
    return bool(re.match(r"[\w+.-]{2,}://|[\w.-]+@[\w.-]+:", source)) or source.partition(":")[0] in _ABBREVIATIONS


def clone(source: str, folder: Path) -> Clone:
    """Clone a git repository into a new folder."""
    name, _, rest = source.partition(":")
    url = _ABBREVIATIONS[name].format(rest) if name in _ABBREVIATIONS else source
    path = Path(source).expanduser()
    if path.exists():  # recorded in full: a relative path would mean nothing in the project
        source = url = str(path.absolute())
    done = git("clone", "--quiet", "--no-checkout", "--", url, str(folder), folder=folder.parent, check=False)
    if done.returncode:
        raise TemplateError(
            f"cannot clone {without_password(source)}: {message(done)}. Correct the source, or pass --template with "
            "the path or URL of the template's repository, or a wheel of kart-runtime."
        )
    return Clone(without_password(source), folder)


def open_files(source: str, folder: Path) -> Template:
    """Return the template of a source without history; what is unpacked goes to a new folder.

    Raises
    ------
    TemplateError
        There is no such file or folder, or it holds no template.
    """
    path = Path(source).expanduser()
    if source == INSTALLED:
        return open_installed(folder)
    if path.suffix == ".whl" and path.is_file():
        return open_wheel(path, folder)
    if path.is_dir():
        return Template(str(path.absolute()), path.resolve(), DIRECTORY).checked()
    raise TemplateError(
        f"the template's source {without_password(source)} does not exist. Pass --template with the path or URL of the "
        "template's repository, or a wheel of kart-runtime."
    )


def open_installed(folder: Path) -> Template:
    """Return the template of the engine that runs: its repository, or what its wheel holds, in a new folder."""
    repository = _PACKAGE.parent
    if (repository / DIRECTORY / "cookiecutter.json").is_file() and not (_PACKAGE / ARCHIVE).is_file():
        return Template(str(repository), repository, DIRECTORY)
    if not (_PACKAGE / ARCHIVE).is_file():
        raise TemplateError("this installation of kart-runtime holds no template. Pass --template PATH-OR-URL.")
    folder.mkdir(parents=True)
    with zipfile.ZipFile(_PACKAGE / ARCHIVE) as archive:
        archive.extractall(folder)
    ignore = shutil.ignore_patterns("__pycache__", "*.py[co]", ".*", ARCHIVE)
    shutil.copytree(_PACKAGE, folder / _PACKAGE.name, ignore=ignore)
    return Template(INSTALLED, folder, DIRECTORY).checked()


def open_wheel(path: Path, folder: Path) -> Template:
    """Return the template that a wheel of the engine holds, in a new folder."""
    inner = f"{_PACKAGE.name}/{ARCHIVE}"
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.startswith(f"{_PACKAGE.name}/") and name != inner]
            archive.extractall(folder, names)
            with archive.open(inner) as file, zipfile.ZipFile(file) as template:
                template.extractall(folder)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise TemplateError(f"{path} holds no template of kart: {error}") from error
    return Template(INSTALLED, folder, DIRECTORY).checked()


def vendored_wheels(root: Path) -> Iterator[Path]:
    """Yield the wheels of the engine in a project's vendor folder."""
    yield from sorted((root / "vendor").glob("kart_runtime-*.whl"))
