"""Which errors can a user meet? This tree, and nothing else, comes out of the engine.

::

    KartError
    ├── ConfigError(ValueError)            a key, value or file of the configuration is not acceptable
    │   ├── ConfigErrors                   several of them at once
    │   ├── EnvVarMissing                  an environment variable that a value asks for is not set
    │   └── ExtraMissing(ImportError)      a library of an optional extra is not installed
    ├── PlanError
    │   ├── CyclicDependency(ValueError)   tasks that depend on one another in a cycle
    │   ├── NotATask(TypeError)            something else stands where a task is wanted
    │   ├── UnstableValue(ValueError)      a parameter's value has another text in each process
    │   └── OutputClash(ValueError)        two tasks would write one file
    ├── StoreError
    │   ├── UnknownScheme(ValueError)      no store for this url
    │   ├── ObjectMissing(FileNotFoundError)
    │   ├── ObjectCorrupt(ValueError)      bytes that cannot be decoded as the format says
    │   ├── RequestFailed(OSError)         a service refused a request, or did not answer
    │   └── RecordsNotStored(OSError)      log files or records could not be stored
    ├── CodecError
    │   ├── UnknownFormat(ValueError)      no codec for this suffix
    │   └── CannotEncode(TypeError)        the codec does not take this value
    ├── TaskError                          a task broke a rule of the engine
    │   ├── NotRequired(ValueError)        load() of something that requires() does not name
    │   ├── NothingDumped(RuntimeError)    run() ended and the output is not there
    │   └── EmptyDump(AssertionError)      an empty frame was dumped although that is forbidden
    ├── LockTimeout(TimeoutError)          another process held a task's lock all the time
    ├── LockLost(RuntimeError)             a lock ended while its task ran: it writes nothing more
    ├── ExecutorError                      a worker process, and not the work, is at fault
    │   ├── WorkerDied(RuntimeError)       it ended while running something
    │   ├── WorkersKilled(RuntimeError)    several workers of a cluster did, all with the same task
    │   ├── CannotSend(TypeError)          the work or its result cannot be pickled
    │   └── NotImportable(ImportError)     a module of the work is not to be found there
    └── BuildFailed                        task → exceptions; tasks not started → the failed ancestor

Errors of a single package are defined there: `BadArchive` (`codecs.archive`), `PandasTypeError` (`column_types`),
`SchemaMismatch` (`schemas`), `UnsafeWorkspace` (`history.abandoned`), `NotAPickleFile` (`gokart.tree`), `SlackError`
with `ChannelListNotLoadedError`, `ChannelNotFoundError` and `FileNotUploadedError` (`gokart.slack`), `CannotMigrate`
and `LibcstMissing` (`migrate`), `ObjectReplaced` (`stores.object_cache`).

Every class keeps its arguments as attributes and survives pickle, because outcomes cross process borders.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


def closest_match(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to `name`, or None when none is close.

    Parameters
    ----------
    name
        What was written.
    known
        What could have been meant.
    """
    import difflib  # needed only where something is wrong

    candidates = list(known)
    lowered = {candidate.lower(): candidate for candidate in candidates}
    if name.lower() in lowered:
        return lowered[name.lower()]
    found = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    return found[0] if found else None


class KartError(Exception):
    """Base of all errors that kart raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the attributes: the message is composed, so `args` would not fit the constructor."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[KartError], args: tuple[Any, ...], state: dict[str, Any]) -> KartError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(KartError, ValueError):
    """A configuration that must not be used: nothing has run.

    Parameters
    ----------
    message
        What is wrong.
    file
        Where it was written, as ``path`` or ``path:line``, or "command line".
    key
        The full dotted key.
    expected
        What would have been acceptable.
    suggestion
        The known name closest to the one written.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        key: str | None = None,
        expected: str | None = None,
        suggestion: str | None = None,
    ) -> None:
        self.message, self.file, self.key, self.expected, self.suggestion = message, file, key, expected, suggestion
        where = ": ".join(part for part in (file, key) if part)
        text = f"{where}: {message}" if where else message
        if expected:
            text += f" (expected {expected})"
        if suggestion:
            text += f". Did you mean '{suggestion}'?"
        super().__init__(text)


class ConfigErrors(ConfigError):
    """More than one thing is wrong with the configuration.

    Parameters
    ----------
    errors
        The mistakes, in the order found.
    """

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = tuple(errors)
        lines = "".join(f"\n  {error}" for error in self.errors)
        super().__init__(f"{len(self.errors)} problems in the configuration:{lines}")


class EnvVarMissing(ConfigError):
    """An environment variable that a value asks for is not set.

    Parameters
    ----------
    name
        The variable.
    file
        Where the value was written.
    key
        The value's dotted key.
    """

    def __init__(self, name: str, *, file: str, key: str) -> None:
        self.name = name
        message = f"the environment variable {name} is not set; set it, or write a default: ${{oc.env:{name},VALUE}}"
        super().__init__(message, file=file, key=key)


class ExtraMissing(ConfigError, ImportError):
    """A library is not installed that only some workspaces or settings need.

    Parameters
    ----------
    what
        What needs which library.
    extra
        The extra of kart-runtime that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        self.what, self.extra = what, extra
        super().__init__(f"{what}: pip install 'kart-runtime[{extra}]'")


@contextmanager
def require_extra(what: str, extra: str) -> Iterator[None]:
    """Raise `ExtraMissing` when an import inside the ``with`` block fails.

    Parameters
    ----------
    what, extra
        As for `ExtraMissing`.
    """
    try:
        yield
    except ImportError as error:
        raise ExtraMissing(what, extra) from error


class PlanError(KartError):
    """The tasks cannot be put into an order that could run."""


class CyclicDependency(PlanError, ValueError):
    """Tasks require one another in a circle.

    Parameters
    ----------
    cycle
        The tasks of the circle as text, each requiring the next, the last one again the first.
    """

    def __init__(self, cycle: Sequence[str]) -> None:
        self.cycle = tuple(cycle)
        arrows = "\n  requires ".join([*self.cycle, self.cycle[0]]) if self.cycle else "?"
        super().__init__(f"Tasks require one another in a circle:\n  {arrows}\nChange requires() of one of them.")


class NotATask(PlanError, TypeError):
    """Something else stands where a task is wanted.

    Parameters
    ----------
    where
        Where it stands, for example ``TrainModel.requires()``.
    found
        What was found, as text.
    """

    def __init__(self, where: str, found: str) -> None:
        self.where, self.found = where, found
        super().__init__(f"{where}: {found} is not a task. Give a task, or a list, tuple or dict of tasks.")


class UnstableValue(PlanError, ValueError):
    """A parameter holds a value whose text differs from process to process, so that it can have no unique id.

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
            f"{family}.{name}: {shown} is written differently in each process, so its unique id would be, too. Use a "
            "value with a fixed text, a SerializableParameter, or significant=False."
        )


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
            f"{' and '.join(self.tasks)} would both write {url}. Give one of them another name in output(), or let the "
            "unique id be part of the name."
        )


class StoreError(KartError):
    """The workspace did not do what was asked."""


class UnknownScheme(StoreError, ValueError):
    """There is no store for a url.

    Parameters
    ----------
    url
        The url.
    known
        The schemes that are known.
    hint
        What to install or write instead.
    """

    def __init__(self, url: str, known: Sequence[str], hint: str = "") -> None:
        self.url, self.known, self.hint = url, tuple(known), hint
        super().__init__(f"No store for '{url}'. Known: {', '.join(self.known)}.{' ' + hint if hint else ''}")


class ObjectMissing(StoreError, FileNotFoundError):
    """Something that should be in the workspace is not.

    Parameters
    ----------
    url
        Where it was looked for.
    hint
        How to get it.
    """

    def __init__(self, url: str, hint: str = "Run the task that makes it.") -> None:
        self.url, self.hint = url, hint
        super().__init__(f"{url} does not exist. {hint}")

    def __str__(self) -> str:
        # FileNotFoundError's own text would be built from errno and filename, which are not set here.
        return str(self.args[0])


class ObjectCorrupt(StoreError, ValueError):
    """A file of the workspace cannot be decoded.

    Parameters
    ----------
    url
        The file.
    found
        What went wrong.
    """

    def __init__(self, url: str, found: str) -> None:
        self.url, self.found = url, found
        super().__init__(f"{url} cannot be read: {found}. Delete it and run again to recompute it.")


class RequestFailed(StoreError, OSError):
    """A service that keeps objects refused a request, or did not answer.

    Parameters
    ----------
    url
        The object.
    what
        What was asked for, as a verb.
    found
        What the service or its client said.
    hint
        What to do.
    """

    def __init__(self, url: str, what: str, found: str, hint: str = "") -> None:
        self.url, self.what, self.found, self.hint = url, what, found, hint
        super().__init__(f"{url}: could not {what} it: {found.rstrip('.')}.{' ' + hint if hint else ''}")

    def __str__(self) -> str:
        # OSError's own text would be built from errno and filename, which are not set here.
        return str(self.args[0])


class RecordsNotStored(StoreError, OSError):
    """Log files or records of a build could not be stored; the outputs of its tasks are.

    Parameters
    ----------
    key
        One of them.
    number
        How many there are.
    found
        What went wrong with that one.
    """

    def __init__(self, key: str, number: int, found: str) -> None:
        self.key, self.number, self.found = key, number, found
        super().__init__(
            f"{number} log files or records could not be stored, among them {key}: {found} The outputs are stored."
        )

    def __str__(self) -> str:
        # OSError's own text would be built from errno and filename, which are not set here.
        return str(self.args[0])


class CodecError(KartError):
    """A value and a file format do not fit."""


class UnknownFormat(CodecError, ValueError):
    """There is no codec for a file's suffix.

    Parameters
    ----------
    path
        The file.
    known
        The suffixes that are known.
    """

    def __init__(self, path: str, known: Sequence[str]) -> None:
        self.path, self.known = path, tuple(known)
        super().__init__(f"No format for '{path}'. Known suffixes: {', '.join(self.known)}.")


class CannotEncode(CodecError, TypeError):
    """A format does not take a value of this type.

    Parameters
    ----------
    format
        The name of the format.
    accepted
        What it takes.
    found
        The type that was given.
    """

    def __init__(self, format: str, accepted: str, found: str) -> None:  # noqa: A002 - the field's word
        self.format, self.accepted, self.found = format, accepted, found
        super().__init__(f"{format} stores {accepted}, but {found} was dumped.")


class TaskError(KartError):
    """A task broke a rule of the engine."""


class NotRequired(TaskError, ValueError):
    """`load()` was asked for something that `requires()` does not name.

    Parameters
    ----------
    task
        The task that loads, as text.
    wanted
        What it asked for, as text.
    known
        What it requires, as text.
    """

    def __init__(self, task: str, wanted: str, known: Sequence[str]) -> None:
        self.task, self.wanted, self.known = task, wanted, tuple(known)
        super().__init__(
            f"{task} asked for {wanted}, which its requires() does not name. It requires: "
            f"{', '.join(self.known) or 'nothing'}."
        )


class NothingDumped(TaskError, RuntimeError):
    """`run()` ended without an error, but the output is not there.

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
            f"{task}.run() ended, but {', '.join(self.urls) or 'complete()'} "
            f"{'does not exist' if self.urls else 'is still False'}. Call self.dump(value) for every output."
        )


class EmptyDump(TaskError, AssertionError):
    """An empty frame was dumped although `fail_on_empty_dump` is set.

    Parameters
    ----------
    task
        The task, as text.
    """

    def __init__(self, task: str = "") -> None:
        self.task = task
        super().__init__(f"{task} dumped an empty DataFrame, and fail_on_empty_dump is set." if task else "")


class LockTimeout(KartError, TimeoutError):
    """A task could not be locked in time.

    Parameters
    ----------
    name
        What was to be locked.
    waited
        How long was waited, in seconds.
    holder
        Who holds it, as far as is known.
    """

    def __init__(self, name: str, waited: float, holder: str = "unknown") -> None:
        self.name, self.waited, self.holder = name, waited, holder
        super().__init__(
            f"{name} is locked by {holder}; gave up after {waited:.0f} s. Run again when that process has ended, or "
            "wait longer (lock_wait)."
        )


class LockLost(KartError, RuntimeError):
    """A task's lock may be another process's by now, so it writes nothing more.

    Parameters
    ----------
    name
        What was locked.
    why
        What happened.
    """

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(
            f"{name} has lost its lock: {why}. It writes nothing more. A build tries such a task again; run it again "
            "where that does not help."
        )


class BuildFailed(KartError):
    """Some tasks of a build failed; the others were run as far as they could be.

    Parameters
    ----------
    causes
        Task, as text, to the exception it raised.
    not_started
        Task that was not run, as text, to the failed or missing task it waits for.
    summary
        The build in one line.
    raised_exceptions
        Unique id to the list of exceptions, the form that gokart gives.
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
        lines += [f"  {task}: {type(error).__name__}: {error}" for task, error in self.causes.items()]
        shown = list(self.not_started.items())[:20]
        lines += [f"  {task}: not started, because {ancestor} did not finish" for task, ancestor in shown]
        if len(self.not_started) > len(shown):
            lines.append(f"  ... and {len(self.not_started) - len(shown)} more not started")
        return "\n".join(lines)


class ExecutorError(KartError):
    """A worker process did not get its work, or did not bring it back; the work itself is not at fault."""


class WorkerDied(ExecutorError, RuntimeError):
    """A worker process ended while running a call; no other call was lost with it.

    Parameters
    ----------
    pid
        The process.
    exit_code
        As `subprocess` gives it: negative for the signal that killed it. None when it is not known.
    task
        What it ran, as text.
    """

    def __init__(self, pid: int, exit_code: int | None, task: str = "") -> None:
        self.pid, self.exit_code, self.task = pid, exit_code, task
        running = f" while running {task}" if task else ""
        super().__init__(f"Worker process {pid} {_ending(exit_code)}{running}.")

    def running(self, task: str) -> WorkerDied:
        """Return this error with the name of the task in its message.

        Parameters
        ----------
        task
            The task, as text.
        """
        return WorkerDied(self.pid, self.exit_code, task)


_HINTS = {"SIGKILL": " (possibly out of memory)", "SIGSEGV": " (a fault in compiled code)"}
"""By name, because Windows has no SIGKILL."""


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "closed its connection"
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:  # a real-time signal has no name
        name = f"signal {-exit_code}"
    return f"was killed by {name}{_HINTS.get(name, '')}"


class WorkersKilled(ExecutorError, RuntimeError):
    """Several workers of a Dask cluster ended while they ran one task, so that it is not tried again.

    Parameters
    ----------
    workers
        How many.
    last
        The address of the last one.
    task
        What they ran, as text.
    """

    def __init__(self, workers: int, last: str, task: str = "a task") -> None:
        self.workers, self.last, self.task = workers, last, task
        super().__init__(
            f"Gave up on {task}: {workers} Dask worker{'s' if workers > 1 else ''} died running it, most recently "
            f"{last}. Check their logs; usually the task needs more memory than a worker has."
        )

    def running(self, task: str) -> WorkersKilled:
        """Return this error with the name of the task in its message.

        Parameters
        ----------
        task
            The task, as text.
        """
        return WorkersKilled(self.workers, self.last, task)


class CannotSend(ExecutorError, TypeError):
    """Something cannot go to or from a worker process, because it cannot be pickled.

    Parameters
    ----------
    what
        What was to be sent, as text.
    found
        Its type, or the type inside it that is in the way.
    why
        What pickling said.
    """

    def __init__(self, what: str, found: str, why: str) -> None:
        self.what, self.found, self.why = what, found, why
        super().__init__(
            f"{what} ({found}) cannot be pickled for a worker process: {why}. Create it inside run(), or use executor "
            "'threads' or 'serial'."
        )


class NotImportable(ExecutorError, ImportError):
    """A worker process cannot import what it needs for its work.

    Parameters
    ----------
    module
        The module, and the name in it, as far as that is known.
    why
        What the import said.
    worker
        The address of the worker, when it is one of a Dask cluster.
    """

    def __init__(self, module: str, why: str, worker: str = "") -> None:
        self.module, self.why, self.worker = module, why, worker
        if worker:
            who = f"The Dask worker {worker}"
            advice = (
                "Install what is missing where the workers run: they are sent the program's own packages, and nothing "
                "that is installed."
            )
        else:
            who = "A worker process"
            advice = (
                "Workers are new interpreters: install the module, or put its folder on sys.path (or PYTHONPATH) "
                "before the build starts."
            )
        super().__init__(f"{who} cannot import {module}: {why}. {advice}")
