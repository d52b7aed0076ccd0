"""Groups of the configuration: `model=big` reads `conf/groups/model/big.yaml` above all other files.

A file names tasks as the command line does, since its path says nothing of them: `TrainModel:`, or the full key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.project.conf.dotlist import split_override
from kart_runtime.project.conf.interpolation import Interpolation
from kart_runtime.project.conf.layers import duplicate_keys, read_file
from kart_runtime.project.conf.sections import KEYS
from kart_runtime.project.conf.tree import (
    COMMAND_LINE,
    GROUPS,
    Branch,
    Leaf,
    Node,
    merge,
    nested,
    origin_of,
    plain,
    replaced,
)
from kart_runtime.project.names import TaskNames
from kart_runtime.project.project import Project, is_leftover

_TOP = frozenset(KEYS)


@dataclass(frozen=True)
class Choice:
    """Option of a group; None if the group has no effect."""

    group: str
    option: str | None
    origin: str


@dataclass(frozen=True)
class Chosen:
    """Tree with the values of the chosen options, their files, and the overrides that choose no option."""

    tree: Branch
    files: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    overrides: tuple[str, ...] = ()


def options_of(project: Project, errors: list[ConfigError]) -> dict[str, dict[str, Path]]:
    """Return the file of each option by group and option."""
    top = project.conf / GROUPS
    if not top.is_dir():
        return {}
    groups: dict[str, dict[str, Path]] = {}
    for path in sorted(top.rglob("*")):
        inside = path.relative_to(top)
        if is_leftover(inside) or path.is_dir():
            continue
        if path.suffix == ".yaml" and len(inside.parts) == 2:
            groups.setdefault(inside.parts[0], {})[path.stem] = path
        elif path.suffix in {".yaml", ".yml"}:
            form = f"{project.relative(top)}/GROUP/OPTION.yaml"
            errors.append(ConfigError(f"is no option of a group. Name it {form}.", file=project.relative(path)))
    return groups


def choose(
    project: Project,
    tree: Branch,
    overrides: Sequence[str],
    names: TaskNames,
    errors: list[ConfigError],
    *,
    modules: frozenset[str] = frozenset(),
) -> Chosen:
    """Return a tree with the options that configuration and command line choose; names of `modules` are not checked."""
    groups = options_of(project, errors)
    if not groups and GROUPS not in tree.children:
        return Chosen(tree, overrides=tuple(overrides))
    errors.extend(_misnamed(project, groups, names))
    tree, rest = _with_typed(tree, overrides, groups, names, errors)
    choices = [choice for choice in _choices(tree, errors) if _is_known(choice, groups, project, errors)]
    layer: Node = Branch()
    files = []
    for choice in choices:
        if choice.option is not None:
            path = groups[choice.group][choice.option]
            files.append(project.relative(path))
            above = _expanded(read_file(project, path, (), errors), names, modules, errors)
            errors.extend(duplicate_keys(layer, above, ()))
            layer = merge(layer, above)
    merged = merge(tree, layer)
    return Chosen(merged if isinstance(merged, Branch) else tree, tuple(files), tuple(choices), tuple(rest))


def _misnamed(project: Project, groups: Mapping[str, object], names: TaskNames) -> list[ConfigError]:
    """Return an error for each group whose `GROUP=OPTION` could mean something else."""
    taken = dict.fromkeys(_TOP, "a section") | {name: "a task" for name in groups if names.has(name)}
    return [
        ConfigError(
            f"a group cannot be called {group}, which is the name of {taken[group]}. Rename the folder.",
            file=f"{project.relative(project.conf)}/{GROUPS}/{group}",
        )
        for group in groups
        if group in taken
    ]


def _with_typed(
    tree: Branch, overrides: Sequence[str], groups: Mapping[str, object], names: TaskNames, errors: list[ConfigError]
) -> tuple[Branch, list[str]]:
    """Return the tree with the options that were typed, and the other overrides."""
    rest = []
    for text in overrides:
        key = text.partition("=")[0].strip()
        group = key.removeprefix(f"{GROUPS}.")
        try:
            if key != group or key in groups:
                value = split_override(text)[1].strip()
                option = None if value == "null" else value
                tree = replaced(tree, (GROUPS, group), Leaf(option, COMMAND_LINE))
            elif _may_be_group(key, groups, names):
                raise ConfigError(f"unknown group {key}", file=COMMAND_LINE, **_near(key, groups))
            else:
                rest.append(text)
        except ConfigError as error:
            errors.append(error)
    return tree, rest


def _may_be_group(key: str, groups: Mapping[str, object], names: TaskNames) -> bool:
    is_other = "." in key or key in _TOP or names.has(key) or names.with_parameter(key)
    return not is_other and closest_match(key, groups) is not None


def _choices(tree: Branch, errors: list[ConfigError]) -> list[Choice]:
    node = tree.children.get(GROUPS, Branch())
    if isinstance(node, Leaf):
        errors.append(ConfigError("is not a map", file=node.origin, key=GROUPS, expected="lines such as GROUP: OPTION"))
        return []
    interpolation = Interpolation(tree)
    choices = []
    for group, child in node.children.items():
        key, origin = f"{GROUPS}.{group}", origin_of(child) or child.origin
        try:
            value = interpolation.value((GROUPS, group), plain(child), origin=origin)
        except ConfigError as error:
            errors.append(error)
            continue
        if isinstance(value, list | Mapping):
            errors.append(ConfigError("is not one option", file=origin, key=key, expected="the name of an option"))
        else:
            choices.append(Choice(group, None if value is None else str(value), origin))
    return choices


def _is_known(
    choice: Choice, groups: Mapping[str, Mapping[str, Path]], project: Project, errors: list[ConfigError]
) -> bool:
    folder = f"{project.relative(project.conf)}/{GROUPS}"
    key = f"{GROUPS}.{choice.group}"
    if choice.group not in groups:
        message = f"unknown group {choice.group}: {folder}/{choice.group} does not exist or has no option"
        errors.append(ConfigError(message, file=choice.origin, key=key, **_near(choice.group, groups)))
        return False
    options = groups[choice.group]
    if choice.option is not None and choice.option not in options:
        message = f"group {choice.group} has no option {choice.option}: no {folder}/{choice.group}/{choice.option}.yaml"
        errors.append(ConfigError(message, file=choice.origin, key=key, **_near(choice.option, options)))
        return False
    return True


def _near(name: str, known: Mapping[str, object]) -> dict[str, str | None]:
    expected = f"one of {', '.join(known)}" if known else None
    return {"expected": expected, "suggestion": closest_match(name, known)}


def _expanded(tree: Branch, names: TaskNames, modules: frozenset[str], errors: list[ConfigError]) -> Branch:
    """Return the tree of an option with the full keys of its tasks."""
    layer: Node = Branch()
    tops = _TOP | {package.partition(".")[0] for package in names.packages}
    for name, node in tree.children.items():
        origin = node.origin or origin_of(node)
        if name == GROUPS:
            errors.append(ConfigError("an option cannot choose another one", file=origin, key=name))
            continue
        path: tuple[str, ...] = (name,)
        if name not in tops:
            if modules and not names.has(name):
                continue  # of a module that cannot be imported, perhaps
            try:
                path = tuple(names.resolve(name, file=origin).split("."))
            except ConfigError as error:
                errors.append(error)
                continue
        above = nested(path, node)
        errors.extend(duplicate_keys(layer, above, ()))
        layer = merge(layer, above)
    return layer if isinstance(layer, Branch) else Branch()
