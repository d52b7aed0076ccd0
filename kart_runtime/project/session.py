"""How does a configured project become tasks that can be built? Found, composed, loaded, bound; then activated.

Called by the command line, and by tests and notebooks of a project::

    with open_project(env="ci", overrides=["TrainModel.max_depth=2"]) as session:
        build(session.task("RunAll")())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import luigi

from kart_runtime.errors import ConfigError
from kart_runtime.project.conf.bind import Binding, bind
from kart_runtime.project.conf.dotlist import read_dotlist
from kart_runtime.project.conf.layers import Layers, choose_environment, compose
from kart_runtime.project.conf.tree import COMMAND_LINE, Branch, merge
from kart_runtime.project.names import TaskNames
from kart_runtime.project.problems import raise_all
from kart_runtime.project.project import Project, distinct_causes
from kart_runtime.settings import Settings
from kart_runtime.task.parameters import ActiveOverrides, Override, set_overrides


@dataclass
class Session:
    """A project with one configuration.

    Attributes
    ----------
    project
        The project.
    env
        The environment's name.
    layers
        What was laid over one another, lowest first.
    settings
        The settings.
    overrides
        Task class to parameter to value, as `kart_runtime.task.parameters` takes them.
    origins
        Dotted key to where its value was written.
    names
        The project's task classes.
    """

    project: Project
    env: str
    layers: tuple[str, ...]
    settings: Settings
    overrides: Mapping[type, Mapping[str, Override]]
    origins: Mapping[str, str]
    names: TaskNames
    _before: list[ActiveOverrides] = field(default_factory=list, repr=False)

    @property
    def tasks(self) -> dict[str, type[luigi.Task]]:
        """The task classes by full name."""
        return self.names.tasks

    def task(self, name: str | None = None) -> type[luigi.Task]:
        """Return a task class by its name, or by any ending of it that is unique.

        Parameters
        ----------
        name
            The name. None: what ``run.task`` says.

        Raises
        ------
        ConfigError
            There is no such task, more than one, or neither a name nor ``run.task``.
        """
        wanted = name if name is not None else self.settings.run.task
        if wanted is None:
            raise ConfigError(
                "no task was named, and run.task is not set",
                key="run.task",
                expected="a task's name, such as 'task: RunAll' in conf/base/run.yaml",
            )
        return self.tasks[self.names.resolve(wanted)]

    def activate(self) -> Session:
        """Put the configuration in force for this process, until `deactivate`."""
        self.project.put_on_path()
        self._before.append(set_overrides(self.overrides))
        return self

    def deactivate(self) -> None:
        """Put the configuration in force that was there before `activate`."""
        if self._before:
            set_overrides(self._before.pop())

    def __enter__(self) -> Session:
        return self.activate()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.deactivate()


def open_project(
    start: str | Path | Project | None = None, *, env: str | None = None, overrides: Sequence[str] = ()
) -> Session:
    """Return the project of a folder with its configuration, checked as a whole.

    Parameters
    ----------
    start
        A folder inside the project. None: the current directory.
    env
        The environment. None: ``$KART_ENV``, else ``dev``.
    overrides
        Texts such as ``TrainModel.max_depth=5``, which come last.

    Raises
    ------
    ConfigError
        With every mistake that was found; nothing has been put in force.
    """
    project = start if isinstance(start, Project) else Project.find(start)
    errors: list[ConfigError] = []
    layers = _layers(project, env, errors)
    names, broken = _names(project, errors)
    above = read_dotlist(overrides, names, errors)
    tree = merge(layers.tree, above)
    bound = bind(tree, names, project.root, errors, modules=broken) if isinstance(tree, Branch) else Binding()
    raise_all(errors)
    found = (*layers.names, COMMAND_LINE) if overrides else layers.names
    return Session(project, layers.env, found, bound.settings, bound.overrides, bound.origins, names)


def _layers(project: Project, env: str | None, errors: list[ConfigError]) -> Layers:
    """Return the layers; without a known environment those that every environment has, to find more mistakes."""
    try:
        chosen = choose_environment(project, env)
    except ConfigError as error:
        errors.append(error)
        chosen = "local"
    return compose(project, chosen, errors)


def _names(project: Project, errors: list[ConfigError]) -> tuple[TaskNames, frozenset[str]]:
    """Return the tasks, and the names of the modules that cannot be imported."""
    tasks, failed = project.import_tasks()
    errors.extend(distinct_causes(list(failed.values())))
    return TaskNames(tasks), frozenset(failed)
