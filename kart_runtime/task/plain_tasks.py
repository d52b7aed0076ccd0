"""Typed tasks without a `run()` of their own: `ExternalTask`, whose output comes from elsewhere, and `WrapperTask`."""

from __future__ import annotations

from typing import Any, TypeVar

import luigi

from kart_runtime.task import identity
from kart_runtime.task.base import TaskOnKart

T = TypeVar("T")


class ExternalTask(TaskOnKart[T], luigi.ExternalTask):
    """Output of the type `T` that something else makes: it is loaded like that of any task, and never run.

    If it does not exist, the tasks that require it cannot run, and kart reports an external input that was not found.
    Its content is not in the unique id; for a file that may change, use `InputFile`.

    Examples
    --------
    >>> class Vocabulary(ExternalTask[list[str]]):
    ...     def output(self):
    ...         return self.make_target("shared/vocabulary.json", use_unique_id=False)
    """

    run: Any = None


class WrapperTask(TaskOnKart[list[Any]], luigi.WrapperTask):
    """Task that only requires others, and is complete when they are.

    Examples
    --------
    >>> class Reports(WrapperTask):
    ...     def requires(self):
    ...         return [Report(country=country) for country in ("de", "fr")]
    """

    def output(self) -> Any:
        """Return nothing."""
        return []

    def run(self) -> None:
        """Do nothing."""

    def complete(self) -> bool:
        """Return whether all required tasks are complete; changes nothing."""
        return all(task.complete() for task in identity.dependencies(self))
