"""Errors of tasks that run, of their locks, and of a build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kart_runtime.errors.base import KartError
from kart_runtime.errors.texts import alike, described_tries, more_failed, not_run_text


class TaskError(KartError):
    """Base class of mistakes in the code of a task."""


class NotRequired(TaskError, ValueError, AssertionError):
    """`load()` of something that the task does not require.

    Parameters
    ----------
    task
        The task that loads, as text.
    wanted
        The requested task or key, as text.
    known
        What the task requires, as text.
    """

    def __init__(self, task: str, wanted: str, known: Sequence[str]) -> None:
        self.task, self.wanted, self.known = task, wanted, tuple(known)
        super().__init__(
            f"{task} tried to load {wanted}, which it does not require itself. Return it from requires(), or hold it "
            f"as a parameter. It requires: {', '.join(self.known) or 'nothing'}."
        )


class InputReplaced(TaskError, RuntimeError):
    """An input file was replaced after the build had planned with its content.

    Parameters
    ----------
    task
        The task that stands for the file.
    path
        Path or url of the file.
    """

    def __init__(self, task: str, path: str) -> None:
        self.task, self.path = task, path
        super().__init__(f"{task}: {path} was replaced while the build ran. Run again to compute with the new content.")


class NothingDumped(TaskError, RuntimeError):
    """`run()` finished without an error, but an output is missing.

    Parameters
    ----------
    task
        The task, as text.
    urls
        The outputs that are missing.
    """

    def __init__(self, task: str, urls: Sequence[str]) -> None:
        self.task, self.urls = task, tuple(urls)
        super().__init__(
            f"{task}.run() finished without writing {', '.join(self.urls)}. Call self.dump(value) for every output."
            if self.urls
            else f"{task}.run() finished, but complete() is still False. Call self.dump(value) for every output."
        )


class ReservedName(TaskError, TypeError):
    """A task class declares a parameter whose name the engine uses for something else.

    Parameters
    ----------
    task
        The class.
    name
        The parameter.
    suggestion
        A name that is free.
    """

    def __init__(self, task: str, name: str, suggestion: str) -> None:
        self.task, self.name, self.suggestion = task, name, suggestion
        super().__init__(
            f"{task}: a parameter cannot be called '{name}', since every task has an attribute or a method of that "
            f"name. Call it '{suggestion}', for example."
        )


class EmptyDump(TaskError, AssertionError):
    """An empty frame was dumped, and `fail_on_empty_dump` is set.

    Parameters
    ----------
    task
        The task, as text.
    """

    def __init__(self, task: str = "") -> None:
        self.task = task
        message = (
            f"{task} dumped an empty DataFrame, which fail_on_empty_dump forbids. Check its inputs, or unset the "
            "option."
        )
        super().__init__(message if task else "")


class LockTimeout(KartError, TimeoutError):
    """A task could not be locked in time.

    Parameters
    ----------
    name
        Name of the lock.
    waited
        Time waited, in seconds.
    holder
        Process that holds the lock, if known.
    is_suspended
        Whether its task waits for other tasks, which its `run()` has yielded.
    """

    def __init__(self, name: str, waited: float, holder: str = "unknown", *, is_suspended: bool = False) -> None:
        self.name, self.waited, self.holder, self.is_suspended = name, waited, holder, is_suspended
        super().__init__(
            f"Timed out after {waited:.0f} s waiting for {name}, locked by {holder}. Run again when that process has "
            "finished, or raise lock_wait."
        )


class LockLost(KartError, RuntimeError):
    """A task has lost its lock, which another process may hold by now; the task writes nothing more.

    Parameters
    ----------
    name
        Name of the lock.
    why
        The cause.
    is_unanswered
        Whether no server has said so: none has answered until the lock had expired.
    """

    def __init__(self, name: str, why: str, *, is_unanswered: bool = False) -> None:
        self.name, self.why, self.is_unanswered = name, why, is_unanswered
        super().__init__(
            f"Lost the lock on {name}: {why}. This attempt stops writing; the build retries the task. If the retries "
            "fail, run it again."
        )


class BuildFailed(KartError):
    """Some tasks of a build failed; all tasks that do not depend on them have run.

    Parameters
    ----------
    causes
        Task, as text, to the exception it raised.
    not_started
        Task that was not run, as text, to the failed or missing task upstream.
    summary
        Summary of the build, one line.
    raised_exceptions
        Unique id to the list of exceptions, as in gokart.
    """

    def __init__(
        self,
        causes: Mapping[str, BaseException],
        not_started: Mapping[str, str] | None = None,
        summary: str = "",
        raised_exceptions: Mapping[str, Sequence[BaseException]] | None = None,
    ) -> None:
        self.causes = dict(causes)
        self.not_started = dict(not_started or {})
        self.summary = summary
        self.raised_exceptions = {key: list(errors) for key, errors in (raised_exceptions or {}).items()}
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [self.summary or f"{len(self.causes)} task(s) failed"]
        for first, same, other in alike(self.causes):
            lines.append(f"  {first}: {described_tries(self.causes[first])}")
            lines += [f"  {more_failed(same)}"] if same else []
            lines += [f"  {task}: {described_tries(self.causes[task])}" for task in other]
        lines += [f"  {not_run_text(self.not_started)}"] if self.not_started else []
        return "\n".join(lines)
