"""Replay of a Dockerfile without a container engine, in a folder in place of the image.

It covers what the template's Dockerfile uses. Absolute paths become paths below the folder of their stage, the base
image is a virtual environment of the tests' Python, and each RUN line is executed by sh, as an engine does.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SHARED_CACHE = {"UV_NO_CACHE": "0", "UV_COMPILE_BYTECODE": "0", "UV_PYTHON_PREFERENCE": "only-system"}
"""What the replay does not repeat: downloads, and compilation."""


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Yield the word and the rest of each instruction."""
    lines = [line for line in dockerfile.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        word, _, rest = line.partition(" ")
        yield word, rest


def context(project: Path) -> dict[str, Path]:
    """Return the files that `.dockerignore` lets through to the engine, by their names."""
    text = (project / ".dockerignore").read_text()
    rules = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    names = {path.relative_to(project).as_posix(): path for path in sorted(project.rglob("*")) if path.is_file()}
    return {name: path for name, path in names.items() if not _ignored(name, rules)}


def _ignored(name: str, rules: Sequence[str]) -> bool:
    ignored = False
    for rule in rules:  # the last one that matches decides
        pattern = re.escape(rule.removeprefix("!")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if re.fullmatch(f"{pattern}(?:/.*)?", name):
            ignored = not rule.startswith("!")
    return ignored


def layers(project: Path) -> list[tuple[str, str]]:
    """Return each instruction with its cache key: where it differs, an engine builds this layer and all that follow."""
    files = context(project)
    stages: dict[str, str] = {}
    stage = key = ""
    found = []
    for word, rest in instructions(project / "Dockerfile"):
        if word == "FROM":
            key, stage = _digest(rest), rest.partition(" AS ")[2]
        else:
            content = list(_copied(rest, files, stages)) if word == "COPY" else []
            key = _digest(key, word, rest, *content)
        stages[stage] = key
        found.append((f"{word} {rest}", key))
    return found


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _copied(rest: str, files: Mapping[str, Path], stages: Mapping[str, str]) -> Iterator[str]:
    if rest.startswith("--from="):
        yield stages[rest.removeprefix("--from=").partition(" ")[0]]
    else:
        for source in rest.split()[:-1]:
            yield from (f"{name} {_digest(files[name].read_text('latin-1'))}" for name in _selected(source, files))


def _selected(source: str, files: Mapping[str, Path]) -> list[str]:
    """Return the names that a source of COPY stands for."""
    inside = "" if source == "." else f"{source}/"
    return [name for name in files if name.startswith(inside) or fnmatch.fnmatchcase(name, source)]


@dataclass
class Image:
    """Result of a build, or with `read` only what it says of its containers.

    Attributes
    ----------
    folder
        In place of `/`.
    environment
        Variables of its containers.
    user
        User of its containers.
    entrypoint, command
        Program, and its arguments unless a container is given others.
    workdir
        Folder in which a container starts.
    output
        What the RUN lines have printed.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    workdir: str = "/"
    output: str = ""

    def path(self, text: str) -> str:
        """Return a text with the absolute paths that it holds below the folder."""
        return re.sub(r"(?<![\w.*/$])/(?=[a-z])", f"{self.folder}/", text)

    def start(
        self,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        volumes: Mapping[str, str] | None = None,
        workdir: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a container.

        Parameters
        ----------
        arguments
            In place of the image's command.
        environment
            Further variables. Nothing else of this process's environment is there.
        volumes
            Path in the container to a path on this machine.
        workdir
            Another folder to start in; that of a project, where the image has not been built.
        """
        for inside, outside in (volumes or {}).items():
            place = Path(self.path(inside))
            shutil.rmtree(place, ignore_errors=True)
            place.unlink(missing_ok=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(outside)
        given = {name: self.path(value) for name, value in (environment or {}).items()}
        environ = {**self.environment, **given}
        program = shutil.which(self.entrypoint[0], path=environ["PATH"])
        assert program is not None
        words = [program, *self.entrypoint[1:], *(arguments or self.command)]
        folder = workdir or self.path(self.workdir)
        return subprocess.run(words, cwd=folder, env=environ, text=True, capture_output=True, timeout=300, check=False)


def read(project: Path, folder: Path) -> Image:
    """Return an image whose layers are not built: the project and the tests' Python stand in for them."""
    image = _Build(project, folder, {}, execute=False).image
    python = str(Path(sys.executable).parent)
    image.environment |= {"PATH": f"{python}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(project / "src")}
    Path(image.environment["HOME"]).mkdir(parents=True, exist_ok=True)
    return image


def build(project: Path, folder: Path, environment: Mapping[str, str] | None = None) -> Image:
    """Build the image, and return it; `environment` is added to that of the RUN lines."""
    return _Build(project, folder, {**SHARED_CACHE, **(environment or {})}).image


class _Build:
    """One replay."""

    def __init__(self, project: Path, folder: Path, extra: Mapping[str, str], *, execute: bool = True) -> None:
        self._files = context(project)
        self._folder = folder
        self._extra = extra
        self._output = ""
        self._execute = execute
        for word, rest in instructions(project / "Dockerfile"):
            getattr(self, f"_{word.lower()}")(rest)
        self.image.output = self._output

    def _from(self, rest: str) -> None:
        name = rest.partition(" AS ")[2] or "image"
        self.image = Image(self._folder / name)
        (self.image.folder / "tmp").mkdir(parents=True)
        if self._execute:
            base = self.image.folder / "usr/local"
            uv = [sys.executable, "-m", "uv", "venv", "--quiet", "--seed", "--python", sys.executable, str(base)]
            subprocess.run(uv, check=True)
            self.image.environment["PATH"] = f"{base / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def _env(self, rest: str) -> None:
        for pair in shlex.split(rest):
            name, _, value = pair.partition("=")
            before = self.image.environment.get(name, "")
            self.image.environment[name] = self.image.path(value).replace(f"${name}", before)

    def _workdir(self, rest: str) -> None:
        self.image.workdir = rest
        Path(self.image.path(rest)).mkdir(parents=True)

    def _user(self, rest: str) -> None:
        self.image.user = rest

    def _entrypoint(self, rest: str) -> None:
        self.image.entrypoint = json.loads(rest)

    def _cmd(self, rest: str) -> None:
        self.image.command = json.loads(rest)

    def _copy(self, rest: str) -> None:
        if not self._execute:
            return
        *sources, target = rest.split()
        if sources[0].startswith("--from="):
            stage, path = sources
            source = self._folder / stage.removeprefix("--from=") / path.lstrip("/")
            Path(self.image.path(target)).symlink_to(source)  # it holds its own path
            return
        for source in sources:
            for name in _selected(source, self._files):
                inside = name.removeprefix(f"{source}/") if target == source else name
                place = Path(self.image.path(self.image.workdir)) / target / inside
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self._files[name], place)

    def _run(self, rest: str) -> None:
        if not self._execute:
            return
        outside = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
        environ = {**outside, "HOME": os.environ["HOME"], **self.image.environment, **self._extra}
        words = ["sh", "-c", self.image.path(rest)]
        folder = self.image.path(self.image.workdir)
        done = subprocess.run(words, cwd=folder, env=environ, text=True, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, f"{rest}\n{done.stdout}\n{done.stderr}"
        self._output += done.stdout


def docker_run(image: Image, words: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Carry out the words of a `docker run`; `environment` is that of the caller."""
    parser = argparse.ArgumentParser()
    for name, action in (("--rm", "store_true"), ("--user", "store"), ("--env", "append"), ("--volume", "append")):
        parser.add_argument(name, action=action)
    parser.add_argument("image")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args(words)
    variables = {}
    for pair in given.env or ():
        name, _, value = pair.partition("=")
        if "=" in pair or name in environment:  # docker passes over a variable that is not set
            variables[name] = value or environment[name]
    volumes = dict(reversed(text.split(":")[:2]) for text in given.volume or ())
    return image.start(given.arguments, variables, volumes)
