"""Errors that the engine raises.

::

    KartError
    ├── ConfigError(ValueError)            invalid key, value or file of the configuration
    │   ├── ConfigErrors                   several of them
    │   ├── EnvVarMissing                  a referenced environment variable is not set
    │   ├── ExtraMissing(ImportError)      the library of an extra is not installed
    │   └── LockSettingsIncomplete(AssertionError)   parameters of a lock that do not fit together
    ├── PlanError
    │   ├── CyclicDependency(ValueError)   tasks depend on one another in a cycle
    │   ├── EndlessRequirements(RecursionError)  requires() never comes to an end
    │   ├── NotATask(TypeError)            something else in place of a task
    │   ├── UnstableValue(ValueError)      a parameter's value has no stable text
    │   ├── ParameterValueError(ValueError)  a parameter does not take a value
    │   └── OutputClash(ValueError)        two tasks would write one file
    ├── StoreError
    │   ├── UnknownScheme(ValueError)      no store for this url
    │   ├── ObjectMissing(FileNotFoundError)
    │   ├── ObjectCorrupt(ValueError)      bytes that are not those stored, or not in the format
    │   ├── WriteFailed(OSError)           a file cannot be written: permissions, a full disk
    │   ├── RequestFailed(OSError)         a service refused a request, or did not answer
    │   └── RecordsNotStored(OSError)      log files or records could not be stored
    ├── CodecError
    │   ├── UnknownFormat(ValueError, AssertionError)   no codec for this suffix
    │   └── CannotEncode(TypeError, AssertionError)     the codec does not take this value
    ├── TaskError                          a task broke a rule of the engine
    │   ├── NotRequired(ValueError, AssertionError)     load() of something that is not required
    │   ├── NothingDumped(RuntimeError)    run() finished without writing an output
    │   ├── InputReplaced(RuntimeError)    an input file was replaced while the build ran
    │   ├── ReservedName(TypeError)        a parameter is called like something of the engine
    │   └── EmptyDump(AssertionError)      an empty frame was dumped, which is forbidden
    ├── LockTimeout(TimeoutError)          another process holds the lock of a task
    ├── LockLost(RuntimeError)             a task lost its lock while it ran
    ├── ExecutorError                      the worker process is at fault, not the task
    │   ├── WorkerDied(RuntimeError)       it died while running a task
    │   ├── WorkersKilled(RuntimeError)    several workers of a cluster died running one task
    │   ├── CannotSend(TypeError)          a task or its result cannot be pickled
    │   └── NotImportable(ImportError)     a module is missing in the worker
    └── BuildFailed                        task → exception; task not run → failed ancestor

Errors of a single package are defined there: `BadArchive` (`codecs.archive`), `PandasTypeError` (`column_types`),
`WrongType` (`declared_type`), `InvalidParameter` (`parameters.annotated`), `QueryFailed` (`sql_query`), `CannotRead`
(`codecs.reading`), `SchemaMismatch` (`schemas`), `UnsafeWorkspace` (`history.cleanup.local_files`), `NotAPickleFile`
(`gokart.tree`), `InvalidRange` (`task.partitions`), `InvalidPlaceholder` (`task.placeholders`), `PublishRefused`
(`history.publication`),
`SlackError` with `ChannelListNotLoadedError`, `ChannelNotFoundError` and `FileNotUploadedError` (`gokart.slack`),
`CannotEdit` (`edits.python_source`), `ObjectReplaced` (`stores.object_cache`), `NotInMemory` (`storage.memory_target`),
`MemoryExceeded` (`executors.processes.memory_watch`),
`TaskLockException` (`gokart.conflict_prevention_lock`), `TemplateError` (`project.template.record`).

Every class keeps its arguments as attributes and survives pickle, because outcomes cross process borders.
"""

from __future__ import annotations

import logging
import re
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TypeVar

K = TypeVar("K")


def closest_match(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to `name`, or None if none is close."""
    import difflib  # needed only where something is wrong

    candidates = list(known)
    lowered = {candidate.lower(): candidate for candidate in candidates}
    if name.lower() in lowered:
        return lowered[name.lower()]
    matches = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    return matches[0] if matches else None


_MOST_CHARACTERS = 10_000
"""Length of an error's text in messages and records; some hold the data that was at fault."""


def described(error: BaseException) -> str:
    """Return type and text of an error, whatever its class does when it is asked, and shortened if very long."""
    try:
        text = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as second:  # noqa: BLE001 - it must not hide the first
        text = f"(no text: its __str__ raised {type(second).__name__})"
    return shortened(f"{type(error).__name__}: {text}")


def shortened(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Return a text without its middle if it is longer than `most` characters."""
    if len(text) <= most:
        return text
    head = most * 3 // 4
    return f"{text[:head]}\n... {len(text) - most} characters left out ...\n{text[head - most :]}"


def trace_of(error: BaseException) -> str:
    """Return the traceback of an error as text, as `described` returns its own text."""
    try:
        return shortened("".join(traceback.format_exception(error)), 10 * _MOST_CHARACTERS)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001
        return f"{''.join(traceback.format_tb(error.__traceback__))}{described(error)}\n"


TRIES_NOTE = "failed in "
"""Beginning of the note that an error has after several tries."""


def described_tries(error: BaseException) -> str:
    """Return the errors of all tries, if there was more than one, else what `described` returns."""
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(TRIES_NOTE)]
    return shortened(notes[-1]) if notes else described(error)


def alike(errors: Mapping[K, BaseException]) -> list[tuple[K, list[K], list[K]]]:
    """Return the errors by kind and place, as the first one, those with its text, and those with another text."""
    groups: dict[Any, tuple[K, list[K], list[K]]] = {}
    for key, error in errors.items():
        first, same, other = groups.setdefault((type(error), _place(error)), (key, [], []))
        if key != first:
            (same if described_tries(error) == described_tries(errors[first]) else other).append(key)
    return list(groups.values())


def _place(error: BaseException) -> Any:
    """Return the line that an error was raised at; for one from another process, the last line that its note names."""
    lines = [line for note in getattr(error, "__notes__", ()) for line in note.splitlines() if line[:8] == '  File "']
    if lines or error.__traceback__ is None:
        return lines[-1] if lines else described(error)
    *_, (frame, number) = traceback.walk_tb(error.__traceback__)
    return frame.f_code.co_filename, number


def not_run_text(not_started: Mapping[str, str]) -> str:
    """Return one line for the tasks that were not run, by the name of what did not complete upstream of each."""
    causes = list(dict.fromkeys(not_started.values()))
    upstream = f"upstream {causes[0]}" if len(causes) == 1 else f"{len(causes)} tasks upstream"
    if len(not_started) == 1:
        return f"{next(iter(not_started))} was not run, because {upstream} did not complete"
    kinds = Counter(re.split(r"[\[(]", name, maxsplit=1)[0] for name in not_started)
    names = [f"{number} {name}" if number > 1 else name for name, number in kinds.items()]
    shown = list(not_started) if len(not_started) <= _MOST_NAMES else names[:_MOST_CLASSES]
    more = f" and {len(names) - len(shown)} more classes" if len(names) > len(shown) else ""
    return f"{len(not_started)} tasks were not run, because {upstream} did not complete: {', '.join(shown)}{more}"


def more_failed(names: Sequence[str]) -> str:
    """Return one line for the tasks that failed as the one before them."""
    shown = ", ".join(names[:_MOST_CLASSES]) + (", ..." if len(names) > _MOST_CLASSES else "")
    return f"{len(names)} more failed in the same way: {shown}"


_MOST_NAMES = 5
"""Tasks that are named; of more, their classes are counted."""

_MOST_CLASSES = 20


def without_engine(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of kart above the first one of other code; all of them if there is none."""
    rest = trace
    while rest is not None and rest.tb_frame.f_globals.get("__name__", "").startswith("kart_runtime."):
        rest = rest.tb_next
    return rest or trace


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an error, unless its class forbids it."""
    with suppress(Exception):
        error.add_note(note)


def warn(logger: logging.Logger, message: str, *args: object) -> None:
    """Log a warning; a handler that raises costs only the message, which is then printed."""
    try:
        logger.warning(message, *args, stacklevel=2)
    except Exception as error:  # noqa: BLE001 - of a handler of the user's own
        with suppress(Exception):
            sys.stderr.write(f"{message % args}\n(a log handler raised {described(error)})\n")


class KartError(Exception):
    """Base class of the errors that kart raises."""

    def __str__(self) -> str:
        # Those that are OSErrors, too, would build their text from errno and filename, which are not set.
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the attributes: the message is composed, so `args` would not fit the constructor."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[KartError], args: tuple[Any, ...], state: dict[str, Any]) -> KartError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(KartError, ValueError):
    """Invalid configuration; nothing has run.

    Parameters
    ----------
    message
        The mistake.
    file
        Place of the mistake: ``path``, ``path:line`` or "command line".
    key
        Full dotted key.
    expected
        Accepted values.
    suggestion
        Known name closest to the given one.
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
    """Several mistakes in the configuration.

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
    """An environment variable that a configuration value refers to is not set.

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
        message = f"environment variable {name} is not set. Set it, or give it a default: ${{oc.env:{name},VALUE}}"
        super().__init__(message, file=file, key=key)


class ExtraMissing(ConfigError, ImportError):
    """The library of an optional extra is not installed.

    Parameters
    ----------
    what
        What needs the library, and which one.
    extra
        The extra of kart-runtime that installs it.
    """

    def __init__(self, what: str, extra: str) -> None:
        self.what, self.extra = what, extra
        super().__init__(f"{what}. {how_to_add(extra)}")


def how_to_add(extra: str) -> str:
    """Return what installs an extra; never `pip install kart-runtime`, which an index could answer with another one."""
    return f"Write kart-runtime[{extra}] into the dependencies of pyproject.toml, and run: make setup (or uv sync)"


class LockSettingsIncomplete(ConfigError, AssertionError):
    """Parameters of a lock that do not fit together, such as a host without a port; the arguments of `ConfigError`."""


@contextmanager
def require_extra(what: str, extra: str) -> Iterator[None]:
    """Raise `ExtraMissing` if an import inside the ``with`` block fails."""
    try:
        yield
    except ImportError as error:
        raise ExtraMissing(what, extra) from error


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


class StoreError(KartError):
    """Base class of errors raised by a store."""


class UnknownScheme(StoreError, ValueError):
    """No store is known for the scheme of a URL.

    Parameters
    ----------
    url
        The url.
    known
        The known schemes.
    hint
        What to do.
    """

    def __init__(self, url: str, known: Sequence[str], hint: str = "") -> None:
        self.url, self.known, self.hint = url, tuple(known), hint
        super().__init__(f"No store for '{url}'. Known: {', '.join(self.known)}.{' ' + hint if hint else ''}")


class ObjectMissing(StoreError, FileNotFoundError):
    """An object does not exist in the workspace.

    Parameters
    ----------
    url
        The object.
    hint
        What to do.
    """

    def __init__(self, url: str, hint: str = "Run the task that makes it.") -> None:
        self.url, self.hint = url, hint
        super().__init__(f"{url} does not exist. {hint}")


class WriteFailed(StoreError, OSError):
    """A file of the workspace cannot be written.

    Parameters
    ----------
    path
        The file.
    reason
        What the system says, such as "Permission denied".
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"cannot write {path}: {reason}. Check the permissions and the free space of its folder, or set "
            "run.workspace to another one."
        )


class ObjectCorrupt(StoreError, ValueError):
    """A file in the workspace is not what was stored, or cannot be decoded.

    Parameters
    ----------
    url
        The file.
    found
        The cause.
    producer
        The task that stores it; None if it is not known.
    consumer
        The task that loads it, as text.
    """

    def __init__(self, url: str, found: str, producer: Any = None, consumer: str = "") -> None:
        self.url, self.found, self.producer, self.consumer = url, found, producer, consumer
        of = f", the output of {producer}," if producer is not None else ""
        for_ = f" for {consumer}" if consumer else ""
        super().__init__(f"{url}{of} cannot be read{for_}: {found.rstrip('.')}. {_remedy(producer)}")


def _remedy(producer: Any) -> str:
    run = True if producer is None else getattr(producer, "run", None)
    if run is None or run is NotImplemented:
        return "No task of kart's stores it: provide the right file, or correct the task's parameters."
    return "Delete it and run again to recompute it."


class RequestFailed(StoreError, OSError):
    """An object store refused a request, or did not answer.

    Parameters
    ----------
    url
        The object.
    what
        The request, as a verb.
    found
        Message of the service or its client.
    hint
        What to do.
    """

    def __init__(self, url: str, what: str, found: str, hint: str = "") -> None:
        self.url, self.what, self.found, self.hint = url, what, found, hint
        super().__init__(f"{url}: could not {what} it: {found.rstrip('.')}.{' ' + hint if hint else ''}")


class RecordsNotStored(StoreError, OSError):
    """Log files or records of a build could not be stored; the outputs of its tasks are.

    Parameters
    ----------
    key
        One of them.
    number
        Number of files.
    found
        Cause of the failure of `key`.
    """

    def __init__(self, key: str, number: int, found: str) -> None:
        self.key, self.number, self.found = key, number, found
        super().__init__(
            f"Failed to write {number} log files or run records, including {key}: {found.rstrip('.')}. "
            "All task outputs were saved."
        )


class CodecError(KartError):
    """Base class of errors of file formats."""


class UnknownFormat(CodecError, ValueError, AssertionError):
    """No codec is known for the suffix of a file.

    Parameters
    ----------
    path
        The file.
    known
        The known suffixes.
    suggestion
        Known suffix closest to the one of the file.
    task
        The task whose output it is, as text.
    """

    def __init__(self, path: str, known: Sequence[str], suggestion: str | None = None, task: str = "") -> None:
        self.path, self.known, self.suggestion, self.task = path, tuple(known), suggestion, task
        name = path.rpartition("/")[2]
        suffix = f".{name.rpartition('.')[2]}" if "." in name else ".xyz"
        text = f"No format for '{path}'{f', an output of {task}' if task else ''}."
        if suggestion:
            text += f" Did you mean '{suggestion}'?"
        super().__init__(
            f"{text} Use a known suffix; or pass a codec for this output, make_target(path, processor=MyCodec()); or "
            f"register one for all such files, kart_runtime.register_codec('{suffix}', 'package.module:MyCodec'). "
            f"Known suffixes: {', '.join(self.known)}."
        )


class CannotEncode(CodecError, TypeError, AssertionError):
    """A file format cannot store a value of this type.

    Parameters
    ----------
    format
        Name of the format.
    accepted
        Types that it stores.
    found
        Type of the value.
    """

    def __init__(self, format: str, accepted: str, found: str) -> None:  # noqa: A002 - the field's word
        self.format, self.accepted, self.found = format, accepted, found
        super().__init__(f"{format} stores {accepted}, but {found} was dumped.")


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
            f"{task} tried to load {wanted}, which its requires() does not return. It requires: "
            f"{', '.join(self.known) or 'nothing'}."
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
    """

    def __init__(self, name: str, waited: float, holder: str = "unknown") -> None:
        self.name, self.waited, self.holder = name, waited, holder
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
    """

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
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


class ExecutorError(KartError):
    """Base class of failures of worker processes; the task itself is not at fault."""


class WorkerDied(ExecutorError, RuntimeError):
    """A worker process died while running a task.

    Parameters
    ----------
    pid
        Its process id.
    exit_code
        Exit code as in `subprocess`: negative for the signal that killed it. None if unknown.
    task
        The task, as text.
    """

    def __init__(self, pid: int, exit_code: int | None, task: str = "") -> None:
        self.pid, self.exit_code, self.task = pid, exit_code, task
        running = f" while running {task}" if task else ""
        super().__init__(f"Worker process {pid} {_ending(exit_code)}{running}.")

    def running(self, task: str) -> WorkerDied:
        """Return this error with the name of the task in its message."""
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
    """Several workers of a Dask cluster died running one task, so it is not retried.

    Parameters
    ----------
    workers
        Number of workers.
    last
        Address of the last one.
    task
        The task, as text.
    """

    def __init__(self, workers: int, last: str, task: str = "a task") -> None:
        self.workers, self.last, self.task = workers, last, task
        super().__init__(
            f"Gave up on {task}: {workers} Dask worker{'s' if workers > 1 else ''} died running it, most recently "
            f"{last}. Check their logs; usually the task needs more memory than a worker has."
        )

    def running(self, task: str) -> WorkersKilled:
        """Return this error with the name of the task in its message."""
        return WorkersKilled(self.workers, self.last, task)


class CannotSend(ExecutorError, TypeError):
    """A value cannot be sent to or from a worker process, because it cannot be pickled.

    Parameters
    ----------
    what
        The value, as text.
    found
        Its type, or the type inside it that cannot be pickled.
    why
        Message of the pickler.
    """

    def __init__(self, what: str, found: str, why: str) -> None:
        self.what, self.found, self.why = what, found, why
        super().__init__(
            f"{what} ({found}) cannot be pickled for a worker process: {why}. Create it inside run(), or use executor "
            "'threads' or 'serial'."
        )


class NotImportable(ExecutorError, ImportError):
    """A worker process cannot import a module that its task needs.

    Parameters
    ----------
    module
        The module, and the name in it if known.
    why
        Message of the import.
    worker
        Address of the Dask worker; empty for a worker process of this program.
    """

    def __init__(self, module: str, why: str, worker: str = "") -> None:
        self.module, self.why, self.worker = module, why, worker
        if worker:
            who = f"The Dask worker {worker}"
            advice = (
                "Install it on the machines of the workers: kart sends them the program's own packages, not installed "
                "ones."
            )
        else:
            who = "A worker process"
            advice = (
                "Workers are new interpreters: install the module, or put its folder on sys.path (or PYTHONPATH) "
                "before the build starts."
            )
        super().__init__(f"{who} cannot import {module}: {why}. {advice}")
