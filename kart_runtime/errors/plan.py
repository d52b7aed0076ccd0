"""Errors of the plan: nothing has run yet."""

from __future__ import annotations

from collections.abc import Sequence

from kart_runtime.errors.base import KartError


class PlanError(KartError):
    """The tasks cannot be planned."""


class CyclicDependency(PlanError, ValueError):
    """Tasks depend on one another in a cycle.

    Parameters
    ----------
    cycle
        Names of the tasks: each requires the next, and the last one requires the first.
    """

    def __init__(self, cycle: Sequence[str]) -> None:
        self.cycle = tuple(cycle)
        arrows = "\n  requires ".join([*self.cycle, self.cycle[0]]) if self.cycle else "?"
        super().__init__(f"Dependency cycle:\n  {arrows}\nRemove one of these dependencies from requires().")


class EndlessRequirements(PlanError, RecursionError):
    """`requires()` never comes to an end.

    Parameters
    ----------
    task
        Name of the task.
    why
        What it does instead.
    """

    def __init__(self, task: str, why: str) -> None:
        self.task, self.why = task, why
        super().__init__(f"{task}.requires() does not end: {why}. Let it return no tasks from some task on.")


class NotATask(PlanError, TypeError):
    """Something that is not a task, where a task is expected.

    Parameters
    ----------
    where
        Place of the value, for example ``TrainModel.requires()``.
    found
        The value, as text.
    """

    def __init__(self, where: str, found: str) -> None:
        self.where, self.found = where, found
        super().__init__(f"{where}: expected a task, got {found}. Pass a task, or a list, tuple or dict of tasks.")


class UnstableValue(PlanError, ValueError):
    """A parameter value whose text differs from process to process, so that it has no unique id.

    Parameters
    ----------
    family
        The task.
    name
        The parameter.
    text
        The text of the value.
    """

    def __init__(self, family: str, name: str, text: str) -> None:
        self.family, self.name, self.text = family, name, text
        shown = text if len(text) <= 200 else f"{text[:200]}..."
        super().__init__(
            f"{family}.{name}: {shown} has a different text in each process, so the unique id would differ, too. Use a "
            "value with a fixed text, a SerializableParameter, or significant=False."
        )


class ParameterValueError(PlanError, ValueError):
    """A parameter does not take a value: it is of the wrong type, or its text is that of another value, too.

    Parameters
    ----------
    family
        The task.
    name
        The parameter.
    value
        The value, as text.
    why
        The reason.
    write
        What to do, as a sentence.
    """

    def __init__(self, family: str, name: str, value: str, why: str, write: str) -> None:
        self.family, self.name, self.value, self.why, self.write = family, name, value, why, write
        super().__init__(f"{family}: the value {value} of the parameter '{name}' cannot be used: {why}. {write}.")


class OutputClash(PlanError, ValueError):
    """Two different tasks would write one file.

    Parameters
    ----------
    url
        The file.
    tasks
        The two tasks, as text.
    """

    def __init__(self, url: str, tasks: Sequence[str]) -> None:
        self.url, self.tasks = url, tuple(tasks)
        super().__init__(
            f"{' and '.join(self.tasks)} would both write {url}. Change the name in output() of one of them, or "
            "make the unique id a part of it."
        )
