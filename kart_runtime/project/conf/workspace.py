"""Workspace of a configuration, read without the tasks: importing them takes longer than a list of runs."""

from __future__ import annotations

from collections.abc import Sequence

from kart_runtime.errors import ConfigError
from kart_runtime.project.conf.interpolation import Interpolation
from kart_runtime.project.conf.layers import choose_environment, compose
from kart_runtime.project.conf.tree import GROUPS, Leaf, node_at
from kart_runtime.project.project import Project, local_folder
from kart_runtime.settings import RunSettings

_PATH = ("run", "workspace")


def configured_workspace(project: Project, env: str | None = None, options: Sequence[str] = ()) -> str:
    """Return the value of `run.workspace` in an environment, with the chosen `GROUP=OPTION` texts."""
    errors: list[ConfigError] = []  # other values may be broken: what has run can be looked at
    tree = compose(project, choose_environment(project, env), errors).tree
    if options or GROUPS in tree.children:  # an option may set the workspace
        from kart_runtime.project.conf.groups import choose
        from kart_runtime.project.names import TaskNames

        # As if all modules of tasks were broken: then their values are not checked.
        tree = choose(project, tree, options, TaskNames({}), errors, modules=frozenset({""})).tree
    node = node_at(tree, _PATH)
    value = Interpolation(tree).value(_PATH, node.value, origin=node.origin) if isinstance(node, Leaf) else None
    return local_folder(str(value or RunSettings().workspace), project.root)
