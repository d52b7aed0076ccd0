"""Layers of configuration: `conf/base` < `conf/ENV` < `conf/local`, merged into one tree.

The path of a file is the prefix of its keys: `conf/base/tasks/model/train.yaml` holds `tasks.model.train`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.project.conf.tree import GROUPS, Branch, Leaf, Node, merge
from kart_runtime.project.conf.yaml_documents import read_document
from kart_runtime.project.project import Project, is_leftover

BASE, LOCAL, DEFAULT = "base", "local", "dev"
VARIABLE = "KART_ENV"


@dataclass(frozen=True)
class Layers:
    """Composed configuration of an environment."""

    env: str
    names: tuple[str, ...]
    """Folders of the layers relative to the project, the lowest first."""
    tree: Branch


def environments(project: Project) -> list[str]:
    """Return the names of the environments that have a folder in `conf`."""
    folders = (path.name for path in project.conf.iterdir() if path.is_dir() and not is_leftover(Path(path.name)))
    return sorted(set(folders) - {BASE, LOCAL, GROUPS})


def choose_environment(project: Project, env: str | None) -> str:
    """Return `env`, else `$KART_ENV`, else `dev`; raise `ConfigError` if a requested environment has no folder."""
    known = environments(project)
    requested, source = (env, "--env") if env is not None else (os.environ.get(VARIABLE) or None, f"${VARIABLE}")
    if requested is None:
        return DEFAULT
    if requested in known:
        return requested
    if requested in {BASE, LOCAL}:
        raise ConfigError(
            f"'{requested}' is a layer of every environment, not an environment", file=source, expected=_one_of(known)
        )
    raise ConfigError(
        f"unknown environment '{requested}': folder {project.relative(project.conf)}/{requested} does not exist",
        file=source,
        expected=_one_of(known),
        suggestion=closest_match(requested, known),
    )


def _one_of(known: list[str]) -> str | None:
    return f"one of {', '.join(known)}" if known else None


def compose(project: Project, env: str, errors: list[ConfigError], *, local: bool = True) -> Layers:
    """Return the configuration of an environment without the command line; append broken files and keys to `errors`."""
    tree = Branch()
    names = []
    for name in dict.fromkeys((BASE, env, LOCAL)):
        if name == LOCAL and not local:
            continue
        folder = project.conf / name
        if folder.is_dir():
            names.append(project.relative(folder))
            merged = merge(tree, _read_layer(project, folder, errors))
            tree = merged if isinstance(merged, Branch) else tree
    return Layers(env, tuple(names), tree)


def _read_layer(project: Project, folder: Path, errors: list[ConfigError]) -> Branch:
    layer: Node = Branch()
    for path in _files(folder):
        if path.suffix == ".yml":
            errors.append(ConfigError("is not read. Rename it to end in .yaml.", file=project.relative(path)))
            continue
        above = read_file(project, path, path.relative_to(folder).with_suffix("").parts, errors)
        errors.extend(duplicate_keys(layer, above, ()))
        layer = merge(layer, above)
    return layer if isinstance(layer, Branch) else Branch()


def read_file(project: Project, path: Path, prefix: tuple[str, ...], errors: list[ConfigError]) -> Branch:
    """Return the tree of a YAML file below `prefix`, empty if it cannot be read."""
    name = project.relative(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        errors.append(ConfigError(f"cannot be read as UTF-8 text: {error}", file=name))
        return Branch()
    return read_document(text, name=name, prefix=prefix, errors=errors)


def _files(folder: Path) -> list[Path]:
    """Return the YAML files of a layer, without those that editors leave behind."""
    files = (path for path in folder.rglob("*") if path.suffix in {".yaml", ".yml"} and path.is_file())
    return sorted(path for path in files if not is_leftover(path.relative_to(folder)))


def duplicate_keys(below: Node, above: Node, path: tuple[str, ...]) -> Iterator[ConfigError]:
    """Yield an error for each value that two files of one layer set, because neither takes precedence."""
    if isinstance(below, Branch) and isinstance(above, Branch):
        for name in below.children.keys() & above.children.keys():
            yield from duplicate_keys(below.children[name], above.children[name], (*path, name))
    elif isinstance(below, Leaf) or isinstance(above, Leaf):
        yield ConfigError(
            f"also set in {below.origin}, in the same layer. Delete one of them.", file=above.origin, key=".".join(path)
        )
