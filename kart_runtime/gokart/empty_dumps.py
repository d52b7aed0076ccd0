"""Do the tasks of a pipeline take what they are given? Each is run once more with nothing stored, and frames compared.

`check_tasks` is called by `luigi_command` for ``--test-run-pandas``; `assert_frame_contents_equal` by users' tests.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import luigi

from kart_runtime.task import identity
from kart_runtime.task.base import TaskOnKart

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)

# pytest collects by name; these names are part of luigi's command line.
__test__ = False


class test_run(TaskOnKart[Any]):  # noqa: N801 - luigi's command line makes --test-run-pandas of it
    """What is tested: ``--test-run-pandas`` and ``--test-run-namespace``."""

    __test__ = False

    pandas = luigi.BoolParameter(default=False, description="Run every task once more, storing nothing.")
    namespace = luigi.OptionalStrParameter(
        default=None, description='Only tasks of this namespace; "__not_user_specified" for those without one.'
    )


@dataclass(frozen=True)
class TaskCheck:
    """How one task took it.

    Attributes
    ----------
    task
        The task.
    error
        What it raised; None when nothing.
    """

    task: TaskOnKart[Any]
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Return whether it ran to its end."""
        return self.error is None

    def format(self) -> str:
        """Return the result in one line."""
        task = self.task
        line = (
            f"status={'OK' if self.ok else 'NG'}; namespace={task.task_namespace}; "
            f"name={type(task).__name__}; id={task.make_unique_id()};"
        )
        return line if self.error is None else f"{line} message={type(self.error)}: {self.error}"


def check_tasks(root: luigi.Task, namespace: str | None = None) -> list[TaskCheck]:
    """Run a task and all that it requires, each once, with `dump` doing nothing, and say how each took it.

    The inputs have to be there. Results are logged.

    Parameters
    ----------
    root
        The task.
    namespace
        Only tasks of this namespace. None: all.
    """
    wanted = [task for task in _tasks(root) if namespace is None or task.task_namespace == namespace]
    checks = [TaskCheck(task, _error_of(task)) for task in wanted]
    _log.info("Results of the test run:\n%s", "\n".join(check.format() for check in checks))
    return checks


def _tasks(root: luigi.Task) -> Iterator[TaskOnKart[Any]]:
    waiting, seen = deque([root]), {root}
    while waiting:
        task = waiting.popleft()
        if isinstance(task, TaskOnKart) and callable(task.run):
            yield task
        for upstream in identity.dependencies(task):
            if upstream not in seen:
                seen.add(upstream)
                waiting.append(upstream)


def _error_of(task: TaskOnKart[Any]) -> Exception | None:
    try:
        with _storing_nothing(task):
            _run_to_the_end(task)
    except Exception as error:  # noqa: BLE001 - whatever a task raises is its result
        return error
    return None


@contextmanager
def _storing_nothing(task: TaskOnKart[Any]) -> Iterator[None]:
    vars(task)["dump"] = _forget
    try:
        yield
    finally:
        del vars(task)["dump"]


def _forget(*_args: Any, **_kwargs: Any) -> None:
    """Stand in for `dump`."""


def _run_to_the_end(task: TaskOnKart[Any]) -> None:
    running: Any = task.run()
    if not isinstance(running, Generator):
        return
    send = None
    while True:
        try:
            wanted = running.send(send)
        except StopIteration:
            return
        send = wanted.paths if isinstance(wanted, luigi.DynamicRequirements) else luigi.task.getpaths(wanted)


def assert_frame_contents_equal(actual: pd.DataFrame, expected: pd.DataFrame, **kwargs: Any) -> None:
    """Raise AssertionError unless two frames hold the same; the order of rows and columns does not count.

    Parameters
    ----------
    actual, expected
        The frames. Index and columns have to be unique, else there would be no order to put them into.
    **kwargs
        Passed to `pandas.testing.assert_frame_equal`.
    """
    import pandas as pd

    for name, frame in (("actual", actual), ("expected", expected)):
        _demand(isinstance(frame, pd.DataFrame), f"{name} is a {type(frame).__name__}, not a DataFrame")
        _demand(frame.index.is_unique, f"the index of {name} is not unique")
        _demand(frame.columns.is_unique, f"the columns of {name} are not unique")
    _demand(set(actual.columns) == set(expected.columns), f"columns: {_difference(actual.columns, expected.columns)}")
    _demand(set(actual.index) == set(expected.index), f"index: {_difference(actual.index, expected.index)}")
    pd.testing.assert_frame_equal(actual, expected.reindex(actual.index)[actual.columns], **kwargs)


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _difference(actual: Any, expected: Any) -> str:
    only_actual = sorted(map(repr, set(actual) - set(expected)))
    only_expected = sorted(map(repr, set(expected) - set(actual)))
    return f"only in actual: {', '.join(only_actual) or 'none'}; only in expected: {', '.join(only_expected) or 'none'}"
