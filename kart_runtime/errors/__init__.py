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
`WrongType` (`declared_type`), `InvalidParameter` (`parameters.annotated`), `WrongOverride` and `AmbiguousVariant`
(`parameters.overrides`), `QueryFailed` (`sql_query`), `CannotRead` (`codecs.reading`), `FolderNotStorable`
(`storage.folder_files`), `InvalidRange` (`task.partitions`), `InvalidMetric` (`task.metrics`), `InvalidPlaceholder`
(`task.placeholders`), `PublishRefused` (`history.publication`), `MemoryExceeded` (`executors.processes.memory_watch`),
`SchemaMismatch` (`schemas`), `UnsafeWorkspace` (`history.cleanup.local_files`), `NotAPickleFile` (`gokart.tree`),
`SlackError` with `ChannelListNotLoadedError`, `ChannelNotFoundError` and `FileNotUploadedError` (`gokart.slack`),
`SignatureError` (`storage.signing`), `OutsideWorkspace` (`storage.confinement`), `InvalidName` (`task.metaclass`),
`CannotEdit` (`edits.python_source`), `ObjectReplaced` (`stores.object_cache`), `NotInMemory` (`storage.memory_target`),
`ExporterNotReady` (`exporters.base`), `TaskLockException` (`gokart.conflict_prevention_lock`), `TemplateError`
(`project.template.record`).

Every class keeps its arguments as attributes and survives pickle, because outcomes cross process borders.
"""

from kart_runtime.errors import secret_sources as secret_sources  # it notes those of the environment
from kart_runtime.errors.base import (
    KartError,
)
from kart_runtime.errors.configuration import (
    ConfigError,
    ConfigErrors,
    EnvVarMissing,
    ExtraMissing,
    LockSettingsIncomplete,
    how_to_add,
    require_extra,
)
from kart_runtime.errors.plan import (
    CyclicDependency,
    EndlessRequirements,
    NotATask,
    OutputClash,
    ParameterValueError,
    PlanError,
    UnstableValue,
)
from kart_runtime.errors.storage import (
    CannotEncode,
    CodecError,
    ObjectCorrupt,
    ObjectMissing,
    RecordsNotStored,
    RequestFailed,
    StoreError,
    UnknownFormat,
    UnknownScheme,
    WriteFailed,
)
from kart_runtime.errors.tasks import (
    BuildFailed,
    EmptyDump,
    InputReplaced,
    LockLost,
    LockTimeout,
    NothingDumped,
    NotRequired,
    ReservedName,
    TaskError,
)
from kart_runtime.errors.texts import (
    TRIES_NOTE,
    add_note,
    alike,
    closest_match,
    described,
    described_tries,
    more_failed,
    not_run_text,
    shortened,
    trace_of,
    warn,
    without_engine,
)
from kart_runtime.errors.workers import (
    CannotSend,
    ExecutorError,
    NotImportable,
    WorkerDied,
    WorkersKilled,
)

__all__ = [
    "TRIES_NOTE",
    "BuildFailed",
    "CannotEncode",
    "CannotSend",
    "CodecError",
    "ConfigError",
    "ConfigErrors",
    "CyclicDependency",
    "EmptyDump",
    "EndlessRequirements",
    "EnvVarMissing",
    "ExecutorError",
    "ExtraMissing",
    "InputReplaced",
    "KartError",
    "LockLost",
    "LockSettingsIncomplete",
    "LockTimeout",
    "NotATask",
    "NotImportable",
    "NotRequired",
    "NothingDumped",
    "ObjectCorrupt",
    "ObjectMissing",
    "OutputClash",
    "ParameterValueError",
    "PlanError",
    "RecordsNotStored",
    "RequestFailed",
    "ReservedName",
    "StoreError",
    "TaskError",
    "UnknownFormat",
    "UnknownScheme",
    "UnstableValue",
    "WorkerDied",
    "WorkersKilled",
    "WriteFailed",
    "add_note",
    "alike",
    "closest_match",
    "described",
    "described_tries",
    "how_to_add",
    "more_failed",
    "not_run_text",
    "require_extra",
    "shortened",
    "trace_of",
    "warn",
    "without_engine",
]
