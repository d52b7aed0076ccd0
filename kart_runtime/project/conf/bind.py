"""Binding of a configuration to the code: every key is a declared setting or parameter, with a value of its type."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import luigi

from kart_runtime.errors import ConfigError, EnvVarMissing, closest_match
from kart_runtime.errors.secrets import note_password
from kart_runtime.project.conf.interpolation import Interpolation
from kart_runtime.project.conf.sections import KEYS, SECTIONS, SHARED, TO_TASKS, check, field_names, kinds_of
from kart_runtime.project.conf.shared import shared_values
from kart_runtime.project.conf.tree import GROUPS, Branch, Leaf, Node, leaves, origin_of, plain
from kart_runtime.project.conf.yaml_documents import read_scalar
from kart_runtime.project.names import TaskNames, is_task_parameter, own_parameters, parameters
from kart_runtime.project.project import local_folder
from kart_runtime.settings import LoggingSettings, RunSettings, Settings
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.input_file import InputFile
from kart_runtime.task.parameters import Override, coerce, dates, declaration, note_held, takes_text


@dataclass
class Binding:
    """Settings and overrides of a configuration, and the origin of each dotted key that it sets."""

    settings: Settings = field(default_factory=Settings)
    overrides: dict[type, dict[str, Override]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    shared: dict[str, Override] = field(default_factory=dict)


def bind(
    tree: Branch, names: TaskNames, root: Path, errors: list[ConfigError], *, modules: frozenset[str] = frozenset()
) -> Binding:
    """Return the settings and overrides of a composed configuration; keys of the broken `modules` are not checked."""
    return _Binder(tree, names, root, errors, modules).bind()


class _Binder:
    """Walk over the tree that collects settings, overrides and errors."""

    def __init__(
        self, tree: Branch, names: TaskNames, root: Path, errors: list[ConfigError], unknown: frozenset[str]
    ) -> None:
        self.tree, self.names, self.root, self.errors, self.unknown = tree, names, root, errors, unknown
        self.interpolation = Interpolation(tree)
        self.modules = names.modules()
        self.roots = {package.partition(".")[0] for package in names.packages}
        self.bound = Binding()

    def bind(self) -> Binding:
        values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        for name, node in self.tree.children.items():
            if name in SECTIONS:
                values[name] = self._section(name, node)
            elif name == "tasks" or name in self.roots:
                self._tasks((name,), node)
            elif name == SHARED:
                self._shared((name,), node)
            elif name != GROUPS:  # whose options are checked when they are read
                known = [*KEYS, *self.names.packages]
                self._refuse((name,), node, "unknown section", expected=", ".join(known), near=(name, known))
        self.bound.settings = Settings(RunSettings(**values["run"]), LoggingSettings(**values["logging"]))
        self._check_run_task()
        self._settings_of_tasks(values["run"])
        return self.bound

    def _section(self, section: str, node: Node) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if isinstance(node, Leaf):
            self._refuse((section,), node, "is not a map", expected="a map of settings")
            return values
        for name, child in node.children.items():
            path = (section, name)
            if name not in SECTIONS[section]:
                known = field_names(section)
                self._refuse(path, child, "unknown setting", expected=", ".join(known), near=(name, known))
                continue
            try:
                value = self._value(path, child)
                self._is_secret(path, child)  # which notes it: messages of a lock or a store may show it
                note_password(str(value))
                if self._is_from_text(child, value) and str not in kinds_of(section, name):
                    value = read_scalar(str(value))
                typed = child.text if isinstance(child, Leaf) and value is child.value else None
                values[name] = check(section, name, value, typed)
            except ConfigError as error:
                self._add_error(error)
            except ValueError as error:
                self._refuse(path, child, str(error))
            self.bound.origins[".".join(path)] = origin_of(child)
        return values

    def _shared(self, path: tuple[str, ...], node: Node) -> None:
        if isinstance(node, Leaf):
            self._refuse(path, node, "is not a map", expected="a map of values that others refer to")
            return
        for key, leaf in shared_values(self.tree, path).items():
            parts = tuple(key.split("."))
            secret = self._is_secret(parts, leaf)
            try:
                value = self._value(parts, leaf)
            except EnvVarMissing as error:  # a value of the plan may not need it
                self.bound.shared[key] = Override(None, leaf.origin, secret, error)
            except ConfigError as error:
                self._add_error(error)
            else:
                self.bound.shared[key] = Override(value, leaf.origin, secret)
                if secret:
                    note_held(parts[-1], value)
            self.bound.origins[key] = leaf.origin

    def _check_run_task(self) -> None:
        name = self.bound.settings.run.task
        if name is None or self.unknown:
            return
        try:
            self.names.resolve(name, file=self.bound.origins.get("run.task"), key="run.task")
        except ConfigError as error:
            self.errors.append(error)

    def _settings_of_tasks(self, run: dict[str, Any]) -> None:
        """Pass the settings that tasks take, if a layer sets them, to all tasks."""
        overrides = {}
        for name, parameter in TO_TASKS.items():
            if name in run and run[name] is not None:
                value = local_folder(run[name], self.root) if name == "workspace" else run[name]
                overrides[parameter] = Override(value, self.bound.origins[f"run.{name}"])
        if overrides:
            self.bound.overrides[TaskOnKart] = overrides

    def _tasks(self, path: tuple[str, ...], node: Node) -> None:
        name = ".".join(path)
        if name in self.unknown:
            return
        if name in self.names.packages:
            self._used(path, node)
        elif name in self.names.tasks:
            self._task(path, self.names.tasks[name], node)
        elif name in self.modules or any(each.startswith(f"{name}.") for each in (*self.unknown, *self.names.packages)):
            self._module(path, node)
        else:
            self._unknown_task(path, node)

    def _used(self, path: tuple[str, ...], node: Node) -> None:
        """Bind the tasks and shared values of a used project, whose own settings have no effect."""
        if isinstance(node, Leaf):
            self._refuse(path, node, "is not a map", expected="the keys tasks and shared of the used project")
            return
        for name, child in node.children.items():
            if name == SHARED:
                self._shared((*path, name), child)
            elif name in KEYS and name != "tasks":
                if any(not leaf.origin.startswith(f"{'.'.join(path)}/") for leaf in leaves(child)):
                    message = f"has no effect: settings are those of this project. Set {name} without {'.'.join(path)}."
                    self._refuse((*path, name), child, message)
            else:
                self._tasks((*path, name), child)

    def _module(self, path: tuple[str, ...], node: Node) -> None:
        if isinstance(node, Leaf):
            self._refuse(path, node, "is not a map", expected="a map of task classes")
            return
        for name, child in node.children.items():
            self._tasks((*path, name), child)

    def _unknown_task(self, path: tuple[str, ...], node: Node) -> None:
        prefix = ".".join(path[:-1])
        near = [
            name.removeprefix(f"{prefix}.").partition(".")[0]
            for name in (*self.names.tasks, *self.modules)
            if name.startswith(f"{prefix}.")
        ]
        elsewhere = [full for full in self.names.tasks if full.endswith(f".{path[-1]}")]
        if elsewhere:
            self._refuse(path, node, f"{prefix} has no task {path[-1]}", expected=" or ".join(elsewhere))
            return
        in_module = any(name.rpartition(".")[0] == prefix for name in self.names.tasks)
        kind = "task" if in_module or path[-1][:1].isupper() else "task module"
        if "." in path[-1]:
            self._refuse(path, node, f"unknown {kind}. Nest maps instead of writing dots.")
            return
        self._refuse(path, node, f"unknown {kind}", near=(path[-1], sorted(set(near))))

    def _task(self, path: tuple[str, ...], task: type[luigi.Task], node: Node) -> None:
        if isinstance(node, Leaf):
            self._refuse(path, node, "is not a map", expected="a map of parameters")
            return
        declared = parameters(task)
        if node.children and not issubclass(task, TaskOnKart):
            self._refuse(
                path, node, f"{path[-1]} is not a TaskOnKart. Only these take parameters from the configuration."
            )
            return
        for name, child in node.children.items():
            parameter = declared.get(name)
            if parameter is None:
                own = [key for key, param in own_parameters(task).items() if not is_task_parameter(param)]
                message = f"{path[-1]} has no parameter '{name}'"
                expected = ", ".join(own) if own else "nothing: it declares no such parameter"
                self._refuse((*path, name), child, message, expected=expected, near=(name, own or list(declared)))
            else:
                self._parameter((*path, name), task, parameter, child)

    def _parameter(
        self, path: tuple[str, ...], task: type[luigi.Task], parameter: luigi.Parameter[Any], node: Node
    ) -> None:
        origin = origin_of(node)
        is_place = issubclass(task, InputFile) and path[-1] == "path"  # messages name it
        secret = (not is_place and self._is_secret(path, node)) or path[-1] in declaration(task).hidden
        try:
            raw = self._value(path, node)
            if self._is_from_text(node, raw) and not takes_text(parameter):
                raw = read_scalar(str(raw))
            # The result of an interpolation is a value already; only what was typed may be taken as text.
            text = node.text if isinstance(node, Leaf) and raw is node.value else None
            value = coerce(parameter, raw, text=text)
        except EnvVarMissing as error:  # a task of the plan may not need it
            self._override(path, task, Override(None, origin, secret, error))
        except ConfigError as error:
            self._add_error(error)
        except ValueError as error:
            message = str(error)
            if secret:
                # The message would quote the value.
                message = f"the value of {plain(node)} is invalid for this {type(parameter).__name__}"
            self.errors.append(ConfigError(message, file=origin, key=".".join(path)))
        else:
            word = str(raw).strip() if dates.takes_words(parameter) and dates.is_word(raw) else ""
            self._override(path, task, Override(value, origin, secret, word=word))

    def _is_secret(self, path: tuple[str, ...], node: Node) -> bool:
        """Return whether a value, or one that it replaces, comes from the environment."""
        replaced = [each for leaf in leaves(node) for each in leaf.replaced]
        for raw in replaced:
            self.interpolation.note_environment(raw)  # programs may still log what is not used here
        return any(self.interpolation.is_secret(path, raw) for raw in (plain(node), *replaced))

    def _override(self, path: tuple[str, ...], task: type[luigi.Task], override: Override) -> None:
        self.bound.overrides.setdefault(task, {})[path[-1]] = override
        self.bound.origins[".".join(path)] = override.origin

    def _add_error(self, error: ConfigError) -> None:
        """Append an error once: several values may refer to the one at fault."""
        if str(error) not in map(str, self.errors):
            self.errors.append(error)

    def _is_from_text(self, node: Node, value: object) -> bool:
        """Return whether a value is the text that an interpolation has made, which has no type of its own."""
        return isinstance(value, str) and isinstance(node, Leaf) and value is not node.value

    def _value(self, path: tuple[str, ...], node: Node) -> object:
        return self.interpolation.value(path, plain(node), origin=origin_of(node))

    def _refuse(
        self,
        path: tuple[str, ...],
        node: Node,
        message: str,
        *,
        expected: str | None = None,
        near: tuple[str, list[str]] | None = None,
    ) -> None:
        guess = closest_match(*near) if near else None
        # A map is named on the line above its content.
        origin = node.origin or origin_of(node)
        self.errors.append(ConfigError(message, file=origin, key=".".join(path), expected=expected, suggestion=guess))
