"""Session: a project with one configuration, which is checked as a whole and then activated.

In tests and notebooks::

    with open_project(env="ci", overrides=["TrainModel.max_depth=2"]) as session:
        build(session.task("RunAll")())
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import luigi

from kart_runtime.errors import ConfigError
from kart_runtime.errors.secrets import MASK
from kart_runtime.history.run_header import RunInfo, set_project_info
from kart_runtime.project.conf.bind import bind
from kart_runtime.project.conf.dotlist import apply_overrides
from kart_runtime.project.conf.groups import Choice, choose
from kart_runtime.project.conf.layers import LOCAL, Layers, choose_environment, compose
from kart_runtime.project.conf.mounted import used_tree
from kart_runtime.project.conf.shared import shared_values, unused_keys
from kart_runtime.project.conf.tree import COMMAND_LINE, Branch, merge
from kart_runtime.project.env_file import read_env_file
from kart_runtime.project.names import TaskNames, parameters
from kart_runtime.project.problems import raise_all
from kart_runtime.project.project import Project, distinct_causes
from kart_runtime.project.used import UsedProject, file_roots, import_all, used_projects
from kart_runtime.settings import Settings, format_setting
from kart_runtime.storage.time_limits import set_project_timeout
from kart_runtime.task.parameters import ActiveOverrides, Override, set_overrides
from kart_runtime.task.parameters.dates import fix_now


@dataclass
class Session:
    """Project with one configuration. As a context manager, it is active inside the `with` block.

    Attributes
    ----------
    project
        The project.
    env
        Name of the environment.
    layers
        Names of the layers, the lowest first.
    settings
        The settings.
    overrides
        Task class to parameter to configured value.
    origins
        Dotted key to the place of its value: `path:line` or `command line`.
    names
        Task classes of the project.
    choices
        Chosen options of groups.
    shared
        Full key to shared value.
    unused
        Full key to origin of each shared value that no value of this configuration uses.
    used
        The projects that this one uses.
    active
        What `activate` makes active in place of `overrides`; None: these.
    several
        Full key to text of the values of which each variant has one.
    """

    project: Project
    env: str
    layers: tuple[str, ...]
    settings: Settings
    overrides: Mapping[type, Mapping[str, Override]]
    origins: Mapping[str, str]
    names: TaskNames
    choices: tuple[Choice, ...] = ()
    shared: Mapping[str, Override] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)
    used: tuple[UsedProject, ...] = ()
    active: ActiveOverrides | None = None
    several: Mapping[str, str] = field(default_factory=dict)
    _before: list[tuple[ActiveOverrides, Callable[[], RunInfo]]] = field(default_factory=list, repr=False)
    _timeouts: list[float | None] = field(default_factory=list, repr=False)

    @property
    def tasks(self) -> dict[str, type[luigi.Task]]:
        """Task classes by full name."""
        return self.names.tasks

    @property
    def unset(self) -> list[ConfigError]:
        """Errors of the parameters whose environment variable is not set; raised by the tasks that need them."""
        overrides = (override for values in self.overrides.values() for override in values.values())
        return [override.error for override in overrides if isinstance(override.error, ConfigError)]

    def task(self, name: str | None = None) -> type[luigi.Task]:
        """Return a task class by name.

        Parameters
        ----------
        name
            Full name, or any suffix of it that is unique. None: the task set in `run.task`.

        Returns
        -------
        type
            The task class.

        Raises
        ------
        ConfigError
            There is no such task, more than one, or neither a name nor `run.task`.
        """
        name = name if name is not None else self.settings.run.task
        if name is None:
            raise ConfigError(
                "no task given, and run.task is not set",
                key="run.task",
                expected="the name of a task, such as 'task: RunAll' in conf/base/run.yaml",
            )
        return self.tasks[self.names.resolve(name)]

    def info(self, label: str = "") -> RunInfo:
        """Return what a run is asked for: the environment, and the checked values of the command line by full keys."""
        overrides = dict(_given(self)) | dict(self.several)
        return RunInfo(env=self.env, overrides=overrides, label=label, project=str(self.project.root))

    def activate(self) -> Session:
        """Apply the configuration to this process, until `deactivate`; return the session itself."""
        self.project.put_on_path()
        self._before.append((set_overrides(self.active or self.all_overrides()), set_project_info(self.info)))
        self._timeouts.append(set_project_timeout(self.settings.run.network_timeout))
        return self

    def all_overrides(self) -> dict[type, dict[str, Override]]:
        """Return the overrides with those that make the paths of input files relative to their project."""
        overrides = {cls: dict(named) for cls, named in self.overrides.items()}
        for cls, named in file_roots(self.project, self.used, self.tasks, self._path_of).items():
            overrides[cls] = {**named, **overrides.get(cls, {}), **{k: v for k, v in named.items() if k == "path"}}
        return overrides

    def _path_of(self, cls: type) -> Override | None:
        """Return the configured path of an input file."""
        named = (self.overrides.get(base, {}) for base in cls.__mro__)
        return next((overrides["path"] for overrides in named if "path" in overrides), None)

    def deactivate(self) -> None:
        """Restore the configuration that applied before `activate`."""
        if self._before:
            overrides, info = self._before.pop()
            set_overrides(overrides)
            set_project_info(info)
            set_project_timeout(self._timeouts.pop())

    def __enter__(self) -> Session:
        return self.activate()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.deactivate()


def open_project(
    start: str | Path | Project | None = None, *, env: str | None = None, overrides: Sequence[str] = ()
) -> Session:
    """Open the project of a folder, and check its whole configuration.

    The variables of the project's `.env` are set first, if they are not set already.

    Parameters
    ----------
    start
        Folder or file inside the project, or a `Project`. None: the current directory.
    env
        Name of the environment. None: `$KART_ENV`, or `dev`.
    overrides
        Texts such as `TrainModel.max_depth=5`, which take precedence over all files.

    Returns
    -------
    Session
        The project with its configuration, not active yet.

    Raises
    ------
    ConfigError
        There is no project, or its configuration is invalid; a `ConfigErrors` holds several errors.
    """
    return compose_project(start, env=env).session(overrides)


@dataclass(frozen=True)
class ComposedProject:
    """Project with the configuration of its files, before options of groups are chosen and overrides applied.

    Attributes
    ----------
    project, used
        The project, and those that it uses.
    layers
        The layers of its own files.
    names
        Task classes of the project.
    tree
        All layers as one tree.
    errors
        What is wrong so far.
    """

    project: Project
    used: tuple[UsedProject, ...]
    layers: Layers
    names: TaskNames
    tree: Branch
    errors: tuple[ConfigError, ...]
    _broken: frozenset[str]
    _below: tuple[str, ...]

    def session(self, overrides: Sequence[str] = ()) -> Session:
        """Return the project with one configuration, not active yet; raise `ConfigError` for an invalid one."""
        errors = list(self.errors)
        chosen = choose(self.project, self.tree, overrides, self.names, errors, modules=self._broken)
        tree = apply_overrides(chosen.tree, chosen.overrides, self.names, errors)
        bound = bind(tree, self.names, self.project.root, errors, modules=self._broken)
        raise_all(errors)
        layer_names = (*self._below, *self.layers.names, *chosen.files, *((COMMAND_LINE,) if overrides else ()))
        unused = unused_keys(tree) & unused_keys(self.layers.tree)  # an option may replace the value that uses one
        return Session(
            self.project,
            self.layers.env,
            layer_names,
            bound.settings,
            bound.overrides,
            bound.origins,
            self.names,
            chosen.choices,
            bound.shared,
            {key: leaf.origin for key, leaf in shared_values(tree).items() if key in unused},
            self.used,
        )


def compose_project(start: str | Path | Project | None = None, *, env: str | None = None) -> ComposedProject:
    """Read the configuration of a project's files, and import its tasks; the arguments are those of `open_project`."""
    project = start if isinstance(start, Project) else Project.find(start)
    read_env_file(project.root)
    fix_now()
    errors: list[ConfigError] = []
    layers = _layers(project, env, errors)
    used = used_projects(project, errors)
    names, broken = _names(project, used, errors)
    below, below_names = used_tree(used, layers.env, names.tasks, broken, errors)
    composed = merge(below, layers.tree)
    tree = composed if isinstance(composed, Branch) else layers.tree
    return ComposedProject(project, tuple(used), layers, names, tree, tuple(errors), broken, tuple(below_names))


def _layers(project: Project, env: str | None, errors: list[ConfigError]) -> Layers:
    """Return the layers; if the environment is unknown, those of every environment, to find more errors."""
    try:
        name = choose_environment(project, env)
    except ConfigError as error:
        errors.append(error)
        name = LOCAL
    return compose(project, name, errors)


def _names(
    project: Project, used: Sequence[UsedProject], errors: list[ConfigError]
) -> tuple[TaskNames, frozenset[str]]:
    """Return the names of the tasks, and those of the modules that cannot be imported."""
    tasks, failed = import_all(project, used)
    errors.extend(distinct_causes(list(failed.values())))
    return TaskNames(tasks, [other.package for other in used]), frozenset(failed)


def _given(session: Session) -> Iterator[tuple[str, str]]:
    for choice in session.choices:
        if choice.origin == COMMAND_LINE:
            yield choice.group, choice.option or "null"
    for key, origin in session.origins.items():
        if COMMAND_LINE in origin.split(", "):  # one of several entries may be from there
            yield key, _text(session, key)


def _text(session: Session, key: str) -> str:
    """Return the value of a key as it could be written on a command line."""
    owner, _, name = key.rpartition(".")
    if owner in ("run", "logging"):
        return format_setting(getattr(getattr(session.settings, owner), name))
    if key in session.shared:
        return _shown(session.shared[key])
    task = session.tasks[owner]
    override = session.overrides[task][name]
    value = override.value
    if override.error is None and not isinstance(value, str | bool | int | float | list | tuple | dict | None):
        text = parameters(task)[name].serialize(value)
        return MASK if override.secret else str(text)
    return _shown(override)


def _shown(override: Override) -> str:
    if override.error is not None:
        return "(not set)"
    return MASK if override.secret else format_setting(override.value)
