"""Feed of a build: what asks for further tasks while it runs, such as the search for good parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import luigi


class Ended(NamedTuple):
    """How a task has ended: `error` is its own, or that of the task upstream because of which it cannot run."""

    error: BaseException | None
    metrics: Mapping[str, float | str] | None
    """What it measured; None if it was complete, and did not run."""


class BuildProgress(Protocol):
    """What a feed sees of the build."""

    @property
    def free_workers(self) -> int:
        """Number of workers that have nothing to do, and nothing that is ready."""
        ...

    def ended(self, task: luigi.Task) -> Ended | None:
        """Return how a task has ended; None if it may still run."""
        ...

    def note(self, task: luigi.Task, values: Mapping[str, Any]) -> None:
        """Add a line to the file of the run, in the workspace of a task."""
        ...


class Feed(Protocol):
    """Source of further tasks, asked whenever a task has ended."""

    def more(self, build: BuildProgress) -> Sequence[luigi.Task]:
        """Return tasks to add to the build; none if there are none now. It is asked again after each that ends."""
        ...

    def refused(self, tasks: Sequence[luigi.Task], error: BaseException) -> None:
        """Hear that tasks could not be planned, and do not run."""
        ...
