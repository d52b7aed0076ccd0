"""What does the configuration say, before anybody asks what it means? The layers of ``conf``, laid over one another.

``conf/base`` < ``conf/<environment>`` < ``conf/local``; the command line comes on top of them in `dotlist`. A file's
path gives the prefix of its keys: ``conf/base/tasks/model/train.yaml`` holds ``tasks.model.train``.
Called by `session`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.project.conf.tree import Branch, Leaf, Node, merge
from kart_runtime.project.conf.yaml_documents import read_document
from kart_runtime.project.project import Project

BASE, LOCAL, DEFAULT = "base", "local", "dev"
VARIABLE = "KART_ENV"


@dataclass(frozen=True)
class Layers:
    """The composed configuration.

    Attributes
    ----------
    env
        The environment's name.
    names
        The layers that were found, lowest first, as paths from the project's root.
    tree
        The values, each with its origin.
    """

    env: str
    names: tuple[str, ...]
    tree: Branch


def environments(project: Project) -> list[str]:
    """Return the names of the environments that have a folder in ``conf``."""
    folders = (path.name for path in project.conf.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(set(folders) - {BASE, LOCAL})


def choose_environment(project: Project, env: str | None) -> str:
    """Return the environment: the one asked for, else ``$KART_ENV``, else ``dev``.

    Raises
    ------
    ConfigError
        The environment that was asked for has no folder. ``dev`` needs none when nobody asked for it.
    """
    known = environments(project)
    asked, where = (env, "--env") if env is not None else (os.environ.get(VARIABLE) or None, f"${VARIABLE}")
    if asked is None:
        return DEFAULT
    if asked in known:
        return asked
    if asked in {BASE, LOCAL}:
        raise ConfigError(
            f"'{asked}' is a layer of every environment, not one of them", file=where, expected=_listed(known)
        )
    raise ConfigError(
        f"there is no environment '{asked}': no folder {project.relative(project.conf)}/{asked}",
        file=where,
        expected=_listed(known),
        suggestion=closest_match(asked, known),
    )


def _listed(known: list[str]) -> str | None:
    return f"one of {', '.join(known)}" if known else None


def compose(project: Project, env: str, errors: list[ConfigError]) -> Layers:
    """Return the configuration of an environment, without the command line.

    Parameters
    ----------
    project
        The project.
    env
        The environment's name.
    errors
        Mistakes are appended here: broken YAML, empty values, keys written twice.
    """
    tree = Branch()
    names = []
    for name in dict.fromkeys((BASE, env, LOCAL)):
        folder = project.conf / name
        if folder.is_dir():
            names.append(project.relative(folder))
            merged = merge(tree, _read_layer(project, folder, errors))
            tree = merged if isinstance(merged, Branch) else tree
    return Layers(env, tuple(names), tree)


def _read_layer(project: Project, folder: Path, errors: list[ConfigError]) -> Branch:
    layer: Node = Branch()
    for path in _files(folder):
        name = project.relative(path)
        if path.suffix == ".yml":
            errors.append(ConfigError("is not read: rename it to end in .yaml", file=name))
            continue
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            errors.append(ConfigError(f"cannot be read as UTF-8 text: {error}", file=name))
            continue
        prefix = path.relative_to(folder).with_suffix("").parts
        above = read_document(text, name=name, prefix=prefix, errors=errors)
        errors.extend(_written_twice(layer, above, ()))
        layer = merge(layer, above)
    return layer if isinstance(layer, Branch) else Branch()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in {".yaml", ".yml"} and path.is_file())


def _written_twice(below: Node, above: Node, path: tuple[str, ...]) -> Iterator[ConfigError]:
    """Yield a mistake for each value that two files of one layer set: no rule would say which one wins."""
    if isinstance(below, Branch) and isinstance(above, Branch):
        for name in below.children.keys() & above.children.keys():
            yield from _written_twice(below.children[name], above.children[name], (*path, name))
    elif isinstance(below, Leaf) or isinstance(above, Leaf):
        yield ConfigError(
            f"also set in {below.origin}, which is the same layer; keep one", file=above.origin, key=".".join(path)
        )
