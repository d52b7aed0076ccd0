"""Cause and fix of each error, and arguments to compose an example of its message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kart_runtime.task.schemas import SchemaFailure


class Entry(NamedTuple):
    """Part of an error's description that its class does not tell.

    Attributes
    ----------
    cause
        What leads to it, as a sentence.
    fix
        What to do, as a sentence.
    example
        Arguments of the class for the message that the page shows; without any, it shows none.
    options
        Keyword arguments for it.
    """

    cause: str
    fix: str
    example: tuple[Any, ...] = ()
    options: Mapping[str, Any] = {}


GROUPS: Mapping[str, tuple[str, ...]] = {
    "Configuration": ("ConfigError",),
    "Planning": ("PlanError",),
    "A failed build": ("BuildFailed",),
    "Tasks": ("TaskError",),
    "Workspaces": ("StoreError",),
    "File formats": ("CodecError",),
    "Locks": ("LockTimeout", "LockLost"),
    "Workers": ("ExecutorError",),
    "Projects": ("TemplateError", "CannotEdit"),
    "gokart": ("SlackError", "CannotMigrate"),
}
"""Section to the classes that it holds, with their subclasses."""

_FAILURE = SchemaFailure("price", "greater_than(0)", 1, (("3", "-1.5"),))
_URL = "s3://my-bucket/churn/model/TrainModel_5b1ae537.pkl"
_TASK = "TrainModel[5b1ae537]"

ENTRIES: Mapping[str, Entry] = {
    "ConfigError": Entry(
        "A key, value or file of the configuration, an option of `build()` or a word on the command line is invalid. "
        "Nothing has run.",
        "Correct the value in the file and line of the message; `kart config` shows every value and its source.",
        ("TrainModel has no parameter 'max_dept'",),
        {
            "file": "conf/base/tasks/model/train.yaml:2",
            "key": "tasks.model.train.TrainModel.max_dept",
            "suggestion": "max_depth",
        },
    ),
    "ConfigErrors": Entry(
        "The configuration has several mistakes; kart reports all of them at once.",
        "Correct each; `kart check` looks at every environment.",
    ),
    "EnvVarMissing": Entry(
        "A value refers to an environment variable, `${oc.env:NAME}`, that is not set in this shell, container or job.",
        "Set it where the project runs, or write a default.",
        ("KART_BUCKET",),
        {"file": "conf/prod/run.yaml:3", "key": "run.workspace"},
    ),
    "WrongOverride": Entry(
        "A block `with configured(...)` names a task or parameter that does not exist, or a value of another type.",
        "Correct the text. A task is named by its class, or by more of its module if two classes have the name.",
        ("SplitData has no parameter 'test_sise'",),
        {
            "origin": "src/pkg/tasks/report.py:12",
            "key": "SplitData.test_sise",
            "expected": "test_size",
            "suggestion": "test_size",
            "task": "Report",
        },
    ),
    "AmbiguousVariant": Entry(
        "Code asks for a parameter that has several values in this run, in a thread that `run()` has started itself, "
        "or in the program outside of tasks: nobody knows there which variant is meant.",
        "Read the value, or make the task, in `run()`, and pass it to the thread.",
        ("TrainModel.max_depth",),
    ),
    "ExtraMissing": Entry(
        "A feature needs a library that is not installed: frames, a bucket, redis, Dask, Slack.",
        "Add the extra to the project's dependency on kart-runtime, and run `make setup`; see "
        "[install](../how-to/install.md#extras).",
        ("a workspace in S3 needs boto3", "s3"),
    ),
    "ExporterNotReady": Entry(
        "An exporter has no address, or a class of yours that sends runs could not be imported or made. A run goes on "
        "without it, with a warning; `kart export` ends with this error.",
        "Set the variable that the message names, or mend the class; see [exporters](../how-to/export-runs.md).",
        ("the exporter mlflow has no address: set MLFLOW_TRACKING_URI, such as http://HOST:5000",),
    ),
    "LockSettingsIncomplete": Entry(
        "`redis_host` is set without `redis_port`, or the other way round.", "Set both, or use `run.locks` instead."
    ),
    "CyclicDependency": Entry(
        "A task requires, directly or not, itself.",
        "Remove one of the dependencies from `requires()`; often a task should take a result as a parameter instead.",
        (["TrainModel", "SplitData"],),
    ),
    "EndlessRequirements": Entry(
        "`requires()` returns a new task each time, for example one for the day before, without an end.",
        "Return no tasks from some task on.",
        ("DailyReport(day=2026-01-31)", "it requires another task of its class, more than 100,000 times"),
    ),
    "NotATask": Entry(
        "`requires()`, `build()` or a parameter got a class, a string or None.",
        "Pass a task: `TrainModel()`, not `TrainModel`.",
        ("TrainModel.requires()", "the class SplitData"),
    ),
    "UnstableValue": Entry(
        "The value of a significant parameter prints differently in each process: a set, an object with its address.",
        "Use a value with a fixed text, a `SerializableParameter`, or `significant=False`.",
        ("TrainModel", "options", "<object at 0x7f3a>"),
    ),
    "ParameterValueError": Entry(
        "An argument has another type than the parameter, or its text is that of another value, too.",
        "Write the value as the message says.",
        ("TrainModel", "max_depth", "'four'", "it is no int", "Pass an int"),
    ),
    "OutputClash": Entry(
        "Two tasks with different ids write one file, because `output()` names it without the id.",
        "Keep the unique id in the name, or change one of the names.",
        ("outputs/report.json", ["Report(kind=tree)", "Report(kind=forest)"]),
    ),
    "UnknownScheme": Entry(
        "The workspace's URL begins with something that kart has no store for.",
        "Correct the URL, or [add a store](../how-to/add-a-store.md).",
        ("abfs://team/data", ["folders", "s3", "gs", "memory"]),
    ),
    "ObjectMissing": Entry(
        "Something loads an output that no run has stored, or that was deleted meanwhile.",
        "Run the task. If it is an external input, provide the file.",
        (_URL,),
    ),
    "NotInMemory": Entry(
        "An in-memory target was read in another process than the one that wrote it.", "Use a target in the workspace."
    ),
    "WriteFailed": Entry(
        "The file system refused: permissions that changed while the build ran, a full disk, a file in place of a "
        "folder.",
        "Free space, correct the owner or the permissions of the folder, or set `run.workspace` to another one. Run "
        "again: completed tasks are saved.",
        ("outputs/model/metrics.json", "No space left on device"),
    ),
    "ObjectCorrupt": Entry(
        "Size or checksum are not those that were recorded, or the bytes do not match the suffix: a copy that was cut, "
        "a file that somebody edited.",
        "Delete the file and run again, let `kart verify --fix` do both, or set `run.on_corrupt: recompute`.",
        (_URL, "it has 4,096 bytes, and 81,920 were stored", _TASK),
    ),
    "RequestFailed": Entry(
        "The service refused a request: no bucket (kart does not create one), no credentials, a permission that is "
        "missing (S3 also reports it for a missing object if listing is not allowed), or an endpoint that is silent. "
        "Short failures are retried before.",
        "Check `KART_BUCKET`, `AWS_PROFILE` or `GOOGLE_APPLICATION_CREDENTIALS`, `AWS_ENDPOINT_URL`, and the "
        "[permissions](../how-to/remote-workspace.md). Run again: completed tasks are saved.",
        ("s3://my-bucket/churn/", "list", "NoSuchBucket", "Create the bucket, or correct the workspace's url."),
    ),
    "ObjectReplaced": Entry(
        "Another program replaced an object while this one read it.",
        "Run again; use locks if builds share a workspace.",
    ),
    "RecordsNotStored": Entry(
        "Log files or run records could not be written; the outputs were.",
        "Nothing has to run again, but the history of this run is incomplete: `kart gc` may not know what it uses.",
        ("log/runs/20260131-0930.jsonl", 3, "AccessDenied"),
    ),
    "SignatureError": Entry(
        "A key is set, and an output is not signed, was altered or swapped, or is signed by a key that is not known "
        "here. It was not decoded.",
        "Find out who wrote it. Then delete it and run again, or [sign it](../how-to/sign-outputs.md).",
        (_URL, "it was altered after it was signed"),
        {"producer": _TASK},
    ),
    "OutsideWorkspace": Entry(
        "The path of an output, made of a parameter for example, or a link on the way leads out of the workspace.",
        "Correct the path or the parameter. If it is meant, set `run.outside_paths: allow`.",
        (_TASK, "outputs/../../x.pkl", "outputs/", "'..' leads out of it"),
    ),
    "InvalidName": Entry(
        "A task class, made by `type()`, has a name with slashes: files are named by it.",
        "Use letters, digits and underscores.",
        ("../../x", "../../x"),
    ),
    "FolderNotStorable": Entry(
        "A folder that `run()` has filled holds something that would not be the same elsewhere: a link to a folder or "
        "to nothing, a pipe, a name that is no text.",
        "Copy what a link leads to into the folder, or delete it before the block ends; see "
        "[Store a folder](../how-to/store-folders.md).",
        (
            "outputs/model/Train_5b1ae537.files/0b1c2d3e4f5a6b7c",
            "'blobs' is a link to the folder /data/blobs. Copy it.",
        ),
    ),
    "UnsafeWorkspace": Entry(
        "`kart gc` cannot tell which tasks a retained run uses, or the workspace is a folder in which nothing may be "
        "deleted. Nothing was deleted.",
        "Do what the message says, or try again a day later if a run was killed.",
        ("outputs/", "run 20260131-0930 may still be active and has not recorded its tasks. Retry in 24 hours."),
    ),
    "UnknownFormat": Entry(
        "`output()` or `suffix` names a format that kart does not know.",
        "Use a [known suffix](formats.md), pass a codec of your own, or [register one](../how-to/add-a-format.md).",
        ("scores.parqet", [".csv", ".json", ".parquet", ".pkl"], ".parquet", "Score[5b1ae537]"),
    ),
    "CannotEncode": Entry(
        "The value does not fit the format that the suffix in `output()` selects.",
        "Convert the value, or use another suffix; `.pkl` takes anything.",
        ("parquet", "pandas and polars frames", "list"),
    ),
    "BadArchive": Entry(
        "A model's folder could not be packed, or its archive is damaged.",
        "Run the task again; the message names the problem.",
    ),
    "NotAPickleFile": Entry("A tree of tasks is dumped to another suffix than `.pkl`.", "Write `.pkl`."),
    "InvalidRange": Entry(
        "`partitions()`, `load_range()` or `--range` got ends that make no range of the parameter.",
        "Write both ends as values of the parameter, the earlier one first.",
        ("Daily.day", "the range ends before it begins: 2026-01-31..2026-01-01. Write the earlier end first."),
    ),
    "InvalidPlaceholder": Entry(
        "A path such as `daily/{day}.parquet` names something that is no parameter of the task, or has no short text.",
        "Correct the name in braces. A brace that belongs to the file's name is written twice.",
        ("Daily", "daily/{dya}.parquet", "Daily has no parameter 'dya'. Did you mean '{day}'?"),
    ),
    "NotRequired": Entry(
        "`self.load(...)` names a task or key that `requires()` does not return.",
        "Return it from `requires()`, or declare a parameter that holds it: `data: LoadData = parameter()`.",
        (_TASK, "LoadData", ["SplitData"]),
    ),
    "NothingDumped": Entry(
        "`run()` returned without writing every output.",
        "Call `self.dump(value)`, or `self.dump(value, 'key')` for each of several outputs.",
        (_TASK, ["outputs/model/TrainModel_5b1ae537.pkl"]),
    ),
    "InvalidMetric": Entry(
        "`self.log_metric()` got something that is no number, a name with other characters, or more than 200 names.",
        "[Log a number](../how-to/log-metrics.md) under a short name, and dump long tables as an output.",
        (_TASK, "metric 'auc' is str 'high'. Log a number."),
    ),
    "InputReplaced": Entry(
        "An [input file](../how-to/use-input-files.md) changed between the plan and the task that loads it.",
        "Run again.",
        ("InputFile(path=data/tumors.csv)", "data/tumors.csv"),
    ),
    "QueryFailed": Entry(
        "The database of a [SqlSource](../how-to/use-input-files.md#query-a-database) cannot be reached, or refuses "
        "the query; the message has the database's own words, without passwords.",
        "Correct what the message names: the url, the driver, the SQL or the values that are bound.",
        ("Orders[5b1ae537](day=2026-01-31)", "there is no SQLite database /home/ada/shop/data/shop.db."),
    ),
    "PublishRefused": Entry(
        "An output cannot be [published](../how-to/publish-results.md) under a name: it leaves the workspace, ends "
        "unlike the output, is the path of an output, or two tasks of a build would be published as it.",
        "Choose another name, as the message says.",
        ("models/current.zip", "TrainModel stores .pkl, and the suffix says how the file is read."),
    ),
    "ReservedName": Entry(
        "A class declares a parameter with the name of an attribute or method that every task has.",
        "Choose another name.",
        ("TrainModel", "output", "output_"),
    ),
    "InvalidParameter": Entry(
        "A class declares a parameter by `parameter()`, and its annotation or its options fit no kind of parameter.",
        "Change the annotation as the message says, or declare one of luigi's parameters.",
        ("TrainModel", "columns", "no parameter takes its annotation, list[str]. Write Sequence[...] or tuple[...]."),
    ),
    "EmptyDump": Entry(
        "A task dumped a frame without rows, and `fail_on_empty_dump` is set.", "Check its inputs.", (_TASK,)
    ),
    "PandasTypeError": Entry(
        "A column holds values of another type than the `PandasTypeConfig` of the task's namespace declares.",
        "Convert the column before `dump()`, or change `type_dict()`; see "
        "[check data frames](../how-to/check-dataframes.md).",
    ),
    "SchemaMismatch": Entry(
        "A frame does not fit the pandera `schema` of its task.",
        "Correct the code that makes the frame, or the schema.",
        (_TASK, "dump", [_FAILURE]),
    ),
    "WrongType": Entry(
        "A task declared as `TaskOnKart[T]` dumped something that is no `T`.",
        "Correct the value or the declaration.",
        (_TASK, "pandas.DataFrame", "list"),
    ),
    "CannotRead": Entry(
        "The `options` of an [input file](../how-to/use-input-files.md#set-the-options-of-the-reader) or query do not "
        "fit the function that reads it, or it fails with them.",
        "Correct `options` in the class or its YAML file.",
        ("data/sales.csv", "pandas.read_csv", "pandas.read_csv has no option 'spe'. Did you mean 'sep'?"),
    ),
    "LockTimeout": Entry(
        "Another process ran the same task for longer than `run.lock_wait`.",
        "Run again when it has finished, or raise `run.lock_wait`. The lock of a dead process ends at once (`file`), "
        "after 60 s (`workspace`) or after `redis_timeout` (redis).",
        (_TASK, 600, "host worker-7, process 4711"),
    ),
    "TaskLockException": Entry(
        "A program that locks by itself with gokart's functions could not get the lock.", "Try again later."
    ),
    "LockLost": Entry(
        "The process was paused (a closed laptop, swapping, a long call into C code) for longer than its lock lasts.",
        "Nothing, if the build succeeds: it retries. Otherwise raise `redis_timeout`; see "
        "[locking](../explanation/locking.md).",
        (_TASK, "it was not renewed for 75 s, so it expired or another process acquired it"),
    ),
    "BuildFailed": Entry(
        "Some tasks failed, or external inputs are missing. Everything that does not depend on them has run and is "
        "saved.",
        "Correct each cause in `error.causes` and run again: only what is missing runs.",
        ({_TASK: ValueError("max_depth must be positive")}, {"EvaluateModels[9c01fe22]": _TASK}),
    ),
    "WorkerDied": Entry(
        "The process ended while it ran a task: out of memory, a fault in compiled code, `os._exit`.",
        "Use fewer workers, or `memory_gb` for large tasks, so that fewer of them run at once. "
        "kart retries the task once.",
        (4711, -9, _TASK),
    ),
    "WorkersKilled": Entry(
        "Three workers of the Dask cluster died while they ran the task.",
        "Give workers more memory, or the task less data; the workers' logs may say more.",
        (3, "tcp://10.0.0.7:40123", _TASK),
    ),
    "MemoryExceeded": Entry(
        "The processes of a task held more than `memory_gb` of its class. They were ended; other tasks went on.",
        "Raise `memory_gb`, or let the task hold less at once; see [memory](../how-to/run-in-parallel.md#memory).",
        (_TASK, 2.0, 2.3),
    ),
    "TaskTimeout": Entry(
        "A try of the task took longer than the `timeout` of its class, or of the build.",
        "Look at where it was. Raise the limit, or give the call that waits a time-out of its own; see "
        "[limits](../how-to/limit-time-and-retry.md).",
        (_TASK, 60.0, (("/project/train.py", 12, "run"),)),
    ),
    "CannotSend": Entry(
        "A task, its parameter or an error holds something that cannot be pickled: a connection, a lock, a generator.",
        "Create it inside `run()`, or use the executor `threads` or `serial`.",
        ("the parameter 'connection' of TrainModel", "sqlite3.Connection", "cannot pickle 'sqlite3.Connection' object"),
    ),
    "NotImportable": Entry(
        "A module of the task is not on the search path of the worker.",
        "Install the module, or put its folder on `PYTHONPATH`; on Dask, install it on the workers' machines.",
        ("features.text", "No module named 'features'"),
    ),
    "TemplateError": Entry(
        "`kart new` or `kart update` could not find, render or merge the template; the project is unchanged.",
        "Do what the message says: most often the template's address or a commit of it is wrong, or git is missing.",
    ),
    "CannotEdit": Entry(
        "A file cannot be read as Python or YAML, so a command that changes it left it as it is.",
        "Correct the file, and run the command again.",
    ),
    "SlackError": Entry(
        "A request to Slack failed. kart logs it as a warning; the run continues.", "Check the token and the channel."
    ),
    "ChannelListNotLoadedError": Entry("Slack did not list its channels.", "Give the app the scope `channels:read`."),
    "ChannelNotFoundError": Entry("No public channel has this name.", "Correct the name, or invite the app."),
    "FileNotUploadedError": Entry("Slack did not accept the file.", "Give the app the scope `files:write`."),
    "CannotMigrate": Entry(
        "A file cannot be read as Python or as luigi's configuration, so `kart migrate` left it as it is.",
        "Do what the message says, and run it again.",
    ),
}
