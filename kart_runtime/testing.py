"""Plugin of pytest for the tests of tasks: `given`, `kart_session`, ``@pytest.mark.config``; pytest finds it by itself.

Everything that a test with one of them builds is stored in a folder of its own, which pytest deletes later.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_origin

import pytest

if TYPE_CHECKING:  # pytest imports this module wherever kart is installed, so the engine waits until a test needs it
    from kart_runtime.project import Project, Session
    from kart_runtime.task.base import TaskOnKart

__test__ = False

_MARK = "config(*overrides, env=None): configure the project for this test, e.g. config('TrainModel.max_depth=2')"


class Given(Protocol):
    """Function that states the result of a task, so that the test does not run it, nor what it needs."""

    def __call__(self, task: TaskOnKart[Any] | type[TaskOnKart[Any]], value: Any) -> None:
        """State the result of a task.

        Parameters
        ----------
        task
            The task; a class stands for all of its tasks.
        value
            What the task would dump; for several outputs, their values in the structure of `output()`.

        Raises
        ------
        TypeError
            `task` is not a task of kart, or the value does not have the structure of its outputs.
        ValueError
            The test has already stated a result of this task, or of all tasks of this class.
        WrongType, CannotEncode
            The task could not store this value; raised when the task is needed.
        """
        ...


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    config.addinivalue_line("markers", _MARK)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let a marked test use `kart_session`, whether or not it asks for it."""
    names = getattr(item, "fixturenames", None)
    if names is not None and "kart_session" not in names and item.get_closest_marker("config") is not None:
        names.insert(0, "kart_session")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Leave the frames of the engine out of tracebacks, as pytest does with those that say so."""
    for name, module in sys.modules.copy().items():
        if name.startswith("kart_runtime."):
            vars(module).setdefault("__tracebackhide__", True)
    return (yield)


@pytest.fixture
def kart_session(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Session | None]:
    """Configure the project of the test's file for the test, with outputs in a folder of its own.

    The environment is that of the mark ``config``, else ``$KART_ENV``, else ``ci`` if the project has it; variables in
    the project's ``.env`` are not read. None outside of a project: then only the outputs are apart.
    """
    from kart_runtime.errors import ConfigError
    from kart_runtime.project import Project
    from kart_runtime.storage.workspace import as_folder
    from kart_runtime.task.base import TaskOnKart
    from kart_runtime.task.parameters import Override, overriding

    marks = list(request.node.iter_markers("config"))[::-1]  # of the module, the class, the test
    monkeypatch.setenv("KART_ENV_FILE", "")
    workspace = as_folder(tmp_path.as_posix())
    with ExitStack() as stack:
        try:
            project = Project.find(request.path)
        except ConfigError as error:
            if marks:
                pytest.fail(f"@pytest.mark.config: {error}", pytrace=False)
            stack.enter_context(overriding({TaskOnKart: {"workspace_directory": Override(workspace, "the test")}}))
            yield None
            return
        yield stack.enter_context(_opened(project, marks, workspace))


def _opened(project: Project, marks: list[pytest.Mark], workspace: str) -> Session:
    from kart_runtime.errors import ConfigError
    from kart_runtime.project import open_project

    overrides = [str(text) for mark in marks for text in mark.args]
    env = next((mark.kwargs["env"] for mark in marks[::-1] if "env" in mark.kwargs), None)
    try:
        return open_project(
            project, env=env or _environment(project), overrides=[*overrides, f"run.workspace={workspace}"]
        )
    except ConfigError as error:
        pytest.fail(f"the project's configuration: {error}", pytrace=False)


def _environment(project: Project) -> str | None:
    return "ci" if not os.environ.get("KART_ENV") and (project.conf / "ci").is_dir() else None


@pytest.fixture
def given(kart_session: Session | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    """Return a function that states the result of a task: ``given(LoadData, frame)``."""
    from kart_runtime.storage.workspace import as_folder
    from kart_runtime.task.base import TaskOnKart

    workspace = as_folder(tmp_path.as_posix()) if kart_session is None else kart_session.settings.run.workspace
    stated: list[Any] = []

    def give(task: TaskOnKart[Any] | type[TaskOnKart[Any]], value: Any) -> None:
        task = get_origin(task) or task  # of Published[Path]
        cls = task if isinstance(task, type) else type(task)
        if not issubclass(cls, TaskOnKart):
            raise TypeError(f"given() takes a task, or a class of tasks, and not {task!r}.")
        if task in stated:
            raise ValueError(
                f"given() has already stated the result of {task}. What was built from it stays as it is, so let each "
                "value have its own test, for example by pytest.mark.parametrize."
            )
        stated.append(task)
        result = _Result(cls, None if isinstance(task, type) else task, value, workspace)
        monkeypatch.setattr(cls, "output", result.output)
        monkeypatch.setattr(cls, "complete", result.complete)

    return give


class _Result:
    """Result of a task, or of all tasks of a class, which is stored when a build first asks for it."""

    def __init__(self, cls: type[TaskOnKart[Any]], task: TaskOnKart[Any] | None, value: Any, workspace: str) -> None:
        from kart_runtime.task.nested import map_structure

        self._task, self._value, self._workspace = task, value, workspace
        self._stored: set[str] = set()
        original_output, original_complete = cls.output, cls.complete

        def output(task: TaskOnKart[Any]) -> Any:
            targets = original_output(task)
            return map_structure(targets, self._inside(task)) if self._is_of(task) else targets

        def complete(task: TaskOnKart[Any]) -> bool:
            return self._store(task) if self._is_of(task) else original_complete(task)

        self.output, self.complete = output, complete

    def _is_of(self, task: TaskOnKart[Any]) -> bool:
        return self._task is None or task == self._task

    def _inside(self, task: TaskOnKart[Any]) -> Any:
        """Return a function that replaces a target that tasks only read, or that is outside of the test's folder."""
        from kart_runtime.storage.target import make_target, path_of
        from kart_runtime.task.input_file import InputTarget

        paths: list[str] = []

        def inside(target: Any) -> Any:
            paths.append(path_of(target))
            is_inside = hasattr(target, "dump") and paths[-1].startswith(self._workspace)
            if is_inside and not isinstance(target, InputTarget):
                return target
            name = f"given/{type(task).__name__}_{task.make_unique_id()}_{len(paths)}.pkl"
            return make_target(f"{self._workspace}{name}")

        return inside

    def _store(self, task: TaskOnKart[Any]) -> bool:
        unique_id = task.make_unique_id()
        if unique_id not in self._stored:
            _dump(task, task.output(), self._value, is_only=True)
            self._stored.add(unique_id)
        return True


def _dump(task: TaskOnKart[Any], output: Any, value: Any, *, is_only: bool = False) -> None:
    """Store a value in the structure of the outputs."""
    if isinstance(output, Mapping):
        if not isinstance(value, Mapping) or value.keys() != output.keys():
            raise TypeError(
                f"given({type(task).__name__}, ...) needs a dict with the keys {', '.join(map(repr, output))}."
            )
        for key, target in output.items():
            _dump(task, target, value[key])
    elif isinstance(output, list | tuple):
        if not isinstance(value, list | tuple) or len(value) != len(output):
            raise TypeError(f"given({type(task).__name__}, ...) needs a list of {len(output)} values, as its outputs.")
        for target, item in zip(output, value, strict=True):
            _dump(task, target, item)
    elif is_only:
        task.dump(value)
    else:
        task.dump(value, output)
