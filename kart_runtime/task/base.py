"""Base class of tasks, `TaskOnKart`: parameters, requirements, outputs and `run()`.

`TaskOnKart` is a real `luigi.Task`. Constructing one touches no store and wraps nothing: `__init__` resolves the
parameters. Everything else is asked later, by the plan (which decides) and an attempt (which runs it).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast, overload

import luigi
from luigi.parameter import ParameterVisibility

from kart_runtime.errors import EmptyDump, LockSettingsIncomplete
from kart_runtime.errors.secrets import MASK, masked
from kart_runtime.storage.codecs import DataFrameType
from kart_runtime.storage.codecs.libraries import library_of
from kart_runtime.storage.codecs.losses import dumping
from kart_runtime.storage.staging import active_run
from kart_runtime.storage.target import Target, path_of
from kart_runtime.task import column_types, folders, identity, loading, metrics, partitions, progress
from kart_runtime.task.declared_type import check_value, declared_type
from kart_runtime.task.gokart_methods import GokartMethods
from kart_runtime.task.metaclass import TaskMeta
from kart_runtime.task.nested import iter_flat, map_structure
from kart_runtime.task.object_labels import labels_of
from kart_runtime.task.origin import is_from_other_task
from kart_runtime.task.parameters import (
    ActiveOverrides,
    ExplicitBoolParameter,
    ListTaskInstanceParameter,
    TaskInstanceParameter,
    active_overrides,
    declaration,
    process_overrides,
    resolve,
    secret_names,
    under_active_overrides,
    under_no_overrides,
    using_overrides,
)
from kart_runtime.task.rerun import OutputsRewritten
from kart_runtime.task.run_metadata import RunMetadata
from kart_runtime.task.scratch import scratch_folder
from kart_runtime.task.state import Identity, TaskRun
from kart_runtime.task.targets import TaskTargets
from kart_runtime.task.task_html import task_html

if TYPE_CHECKING:
    import numpy as np

T_co = TypeVar("T_co", covariant=True)
K = TypeVar("K")

NO_FIXED_SEED = -42497368
"""Value of `fix_random_seed_value` that means "none", as in gokart."""


def _engine(kind: type[luigi.Parameter[Any]], default: Any, description: str) -> Any:
    """Return an engine parameter: not part of the id, and keyword-only."""
    return kind(default=default, description=description, significant=False, positional=False)


def noop(*_report: Any) -> None:
    """Ignore a progress report."""


class TaskOnKart(TaskTargets, RunMetadata, GokartMethods, luigi.Task, Generic[T_co], metaclass=TaskMeta):
    """A step of a pipeline whose output has the type `T`; a task of a list is also a task of a sequence.

    Subclasses declare luigi parameters; `requires()`, if the tasks held as parameters are not all; `output()`, if it is
    not one file, or `suffix`; and `run()`, which loads its inputs by `self.load()` and stores its result by
    `self.dump(value)`. `run()` may put values into the dict `self.task_log`, which is stored in the log file of that
    name.

    Type checkers know the arguments of the constructor, and the types of the attributes, by annotations:
    ``depth: int = parameter(default=3)``, or ``depth: luigi.IntParameter = luigi.IntParameter(default=3)``. Without one
    they know only the attribute.

    Examples
    --------
    >>> class Example(TaskOnKart[str]):
    ...     def run(self):
    ...         self.dump("Hello, world!")
    """

    workspace_directory: str = _engine(luigi.Parameter, "./resources/", "The folder that outputs are stored below.")
    local_temporary_directory: str = _engine(
        luigi.Parameter, "", "The local folder below which models are packed and unpacked; the system's if empty."
    )
    rerun: bool = _engine(luigi.BoolParameter, False, "Run even if all outputs exist.")
    strict_check: bool = _engine(
        luigi.BoolParameter, False, "Count as complete only if all requirements and their outputs are there, too."
    )
    modification_time_check: bool = _engine(
        luigi.BoolParameter, False, "Count as complete only if no input is newer than an output."
    )
    serialized_task_definition_check: bool = _engine(
        luigi.BoolParameter, False, "Make the code of the task's methods a part of its unique id."
    )
    delete_unnecessary_output_files: bool = _engine(
        luigi.BoolParameter, False, "On luigi's command line: delete outputs of no task in the graph, and end."
    )
    significant: bool = _engine(
        luigi.BoolParameter, True, "Whether this task counts in the unique ids of the tasks that require it."
    )
    fix_random_seed_methods: tuple[str, ...] = _engine(
        luigi.ListParameter, ("random.seed", "numpy.random.seed"), "The functions that are given the seed before run()."
    )
    FIX_RANDOM_SEED_VALUE_NONE_MAGIC_NUMBER: ClassVar[int] = NO_FIXED_SEED
    fix_random_seed_value: int = _engine(
        luigi.IntParameter, NO_FIXED_SEED, "The seed; by default it is made from the unique id."
    )
    redis_host: str | None = _engine(luigi.OptionalParameter, None, "The redis server that locks tasks; none: no lock.")
    redis_port: int | None = _engine(luigi.OptionalIntParameter, None, "The port of the redis server.")
    redis_timeout: int = _engine(luigi.IntParameter, 180, "Seconds after which a lock that nobody renews ends.")
    fail_on_empty_dump: bool = _engine(ExplicitBoolParameter, False, "Whether dumping an empty DataFrame is an error.")
    store_index_in_feather: bool = _engine(
        ExplicitBoolParameter, True, "Whether feather files keep the index of a pandas DataFrame."
    )
    cache_unique_id: bool = _engine(
        ExplicitBoolParameter, True, "Work out the id and the requirements once for each task object."
    )
    should_dump_supplementary_log_files: bool = _engine(
        ExplicitBoolParameter, True, "Whether the five log files are stored with the output."
    )
    complete_check_at_run: bool = _engine(
        ExplicitBoolParameter, True, "Ask again whether the task is complete when its turn comes and others share it."
    )
    should_lock_run: bool = _engine(
        ExplicitBoolParameter, False, "Whether the task is locked by redis while it runs; then others go first."
    )

    suffix_by_type: bool = _engine(
        ExplicitBoolParameter, False, "Whether the declared type of the output chooses the suffix of its default file."
    )

    suffix: ClassVar[str | None] = None
    """Suffix of the default output, such as ".parquet". None: by the declared type (`suffix_by_type`), or ".pkl"."""

    check_dump_type: ClassVar[bool] = True
    """Whether `dump` refuses a value that is not of the type `T`, where that is certain."""

    # luigi's worker puts functions here, and below, that report to its scheduler.
    set_tracking_url = staticmethod(noop)

    executor: ClassVar[str | None] = None
    """Executor of this class: "serial", "threads", "processes" or "dask". None: that of the build."""

    timeout: ClassVar[float | None] = None
    """Seconds that a try may take before it is ended; 0: no limit. None: luigi's `worker_timeout`, or `run.timeout`."""

    retries: ClassVar[int | None] = None
    """How often a task is tried again after a failure: 2 means up to three tries. None: as `run.retries` says."""

    retry_delay: ClassVar[float | None] = None
    """Seconds before the second try, doubled before each further one. None: as `run.retry_delay` says."""

    if not TYPE_CHECKING:  # else a class that states luigi's attribute would replace a property

        @property
        def worker_timeout(self) -> float | None:
            """Return the seconds after which luigi's own worker ends this task: its `timeout`."""
            value = getattr(type(self), "timeout", None)
            return None if value is None or isinstance(value, luigi.Parameter) else self.timeout

    memory_gb: ClassVar[float | None] = None
    """Gigabytes that a task may use in a worker process, which ends it beyond that; None: no limit."""

    publish: ClassVar[str | Mapping[str, str] | None] = None
    """Path below the workspace that the output is published as after a build; a dict of paths by output key."""

    schema: ClassVar[Any] = None
    """Pandera schema of the task's frames, or a dict of schemas by output key."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        values = resolve(type(self), args, kwargs)
        declaration(type(self)).note_hidden(values)
        self._adopt(values)

    _plain_init = __init__

    def _adopt(self, values: dict[str, Any]) -> None:
        vars(self).update(values)
        self.param_kwargs = values
        self.task_log: dict[str, Any] = {}
        self._kart = Identity(active_overrides())
        self._kart_run: TaskRun | None = None
        self._kart_reran: bool | OutputsRewritten | None = None
        if values["should_lock_run"] and (values["redis_host"] is None) is not (values["redis_port"] is None):
            missing = "redis_host" if values["redis_host"] is None else "redis_port"
            key = f"{type(self).get_task_family()}.{missing}"
            raise LockSettingsIncomplete("should_lock_run needs redis_host and redis_port; set both", key=key)

    def __reduce__(self) -> tuple[Any, ...]:
        overrides = self._kart.overrides
        if not overrides.by_class:
            return _rebuilt_early, (type(self), self.param_kwargs, tuple(self._kart.arguments[1]))
        if overrides is not process_overrides():  # the other process has those of this one
            return _rebuilt, (type(self), self.param_kwargs, overrides)
        return _rebuilt, (type(self), self.param_kwargs)

    # -- identity ------------------------------------------------------------------------------------------------

    @classmethod
    def get_params(cls) -> list[tuple[str, luigi.Parameter[Any]]]:
        """Return the declared parameters, by name, in the order of declaration."""
        return list(declaration(cls).params.items())

    @classmethod
    def get_param_values(cls, params: Any, args: Any, kwargs: Any) -> list[tuple[str, Any]]:  # noqa: ARG003 - luigi's form
        """Return the value that each parameter gets in a call."""
        return list(resolve(cls, args, kwargs).items())

    def to_str_params(self, only_significant: bool = False, only_public: bool = False) -> dict[str, str]:
        """Return the parameters as text, without private ones.

        Parameters
        ----------
        only_significant
            Only those in the unique id.
        only_public
            Only those that luigi's scheduler may show.
        """
        if only_significant and not only_public:
            return self._texts().copy()
        return cast("dict[str, str]", super().to_str_params(only_significant, only_public))

    @cached_property
    def task_id(self) -> str:
        """Return luigi's id, which its scheduler uses."""
        params = self.to_str_params(only_significant=True, only_public=True)
        return cast("str", luigi.task.task_id_str(self.get_task_family(), params))

    def make_unique_id(self) -> str:
        """Return the unique id in output file names: 32 hexadecimal digits, from parameters and dependencies."""
        return self._kart.unique_id or identity.unique_id(self)

    def __eq__(self, other: object) -> bool:
        """Return whether two tasks are of one class and workspace and have the same unique id."""
        if self is other:
            return True
        if type(self) is not type(other):
            return False
        task = cast("TaskOnKart[Any]", other)
        return (
            self.workspace_directory == task.workspace_directory
            and self._texts() == task._texts()  # the id needs all that is upstream, too
            and self.make_unique_id() == task.make_unique_id()
        )

    def _texts(self) -> dict[str, str]:
        texts = self._kart.texts
        if texts is None:
            values, declared = self.param_kwargs, declaration(type(self))
            texts = self._kart.texts = {
                name: identity.stable_text(declared.family, name, param, values[name])
                for name, param in declared.significant
            }
            for name in self._kart.overrides.identifying:
                texts[name] = declared.params[name].serialize(values[name])
        return texts

    def __hash__(self) -> int:
        if self._kart.hash is None:
            # The id needs all that is upstream; in a sweep, many tasks differ in nothing else.
            own = self.make_unique_id() if self._kart.overrides.swept else tuple(self._texts().values())
            self._kart.hash = hash((type(self), self.workspace_directory, own))
        return self._kart.hash

    def __repr__(self) -> str:
        return self._describe(only_public=False)

    def __str__(self) -> str:
        return self._describe(only_public=True)

    def _describe(self, only_public: bool) -> str:
        shown = masked(", ".join([f"{name}={text}" for name, text in self._shown_params(only_public)]))
        return f"{self.get_task_family()}[{self.make_unique_id()}]({shown})"

    def _shown_params(self, only_public: bool) -> list[tuple[str, str]]:
        secrets = secret_names(type(self), self._kart.overrides)
        return [
            (name, MASK if name in secrets else _shown(param, self.param_kwargs[name]))
            for name, param in declaration(type(self)).significant
            if not only_public or param.visibility == ParameterVisibility.PUBLIC
        ]

    def _repr_html_(self) -> str:
        return task_html(self)

    # -- graph ---------------------------------------------------------------------------------------------------

    def requires(self) -> Any:
        """Return the tasks that must be complete first, by default those held as parameters."""
        return self.make_task_instance_dictionary() or []

    def output(self) -> Any:
        """Return the targets of the result, by default `make_target()`, one file in the folder of the module."""
        return self.make_target()

    def input(self) -> Any:
        """Return the outputs of the required tasks, in the structure of `requires()`."""
        return map_structure(identity.requirements(self), lambda task: None if task is None else task.output())

    def complete(self) -> bool:
        """Return whether the task is complete; changes nothing.

        A task without outputs is, as in gokart and under luigi's worker; a build runs it nevertheless.
        """
        return self._is_complete(without_outputs=True)

    def _is_complete(self, without_outputs: bool) -> bool:
        if self.rerun:
            if self._kart_reran is None:
                self._kart_reran = OutputsRewritten(self)
                return False
            if not self._kart_reran:
                return False
        outputs = list(iter_flat(self.output()))
        if not (outputs or without_outputs) or not all(target.exists() for target in outputs):
            return False
        if is_from_other_task(self, outputs):
            return False
        if self.strict_check or self.modification_time_check:
            inputs = list(iter_flat(self.input()))
            if not all(task.complete() for task in identity.dependencies(self)):
                return False
            if not all(target.exists() for target in inputs):
                return False
            return not self.modification_time_check or not _newer(inputs, outputs)
        return True

    def clone(self, cls: Any = None, **kwargs: Any) -> Any:
        """Return a task of another class, or of this one, with this task's values for shared parameters.

        `rerun`, `strict_check` and `modification_time_check` are not copied.

        Parameters
        ----------
        cls
            The class, by default that of this task.
        **kwargs
            Parameter values that differ.
        """
        own = {"rerun", "strict_check", "modification_time_check"}
        cls = cls or type(self)
        task = under_active_overrides(self)
        held = vars(task)  # where a secret is that nobody needs to look up
        shared = {
            name: held[name] if name in held else getattr(task, name)
            for name, _ in cls.get_params()
            if name not in own and (name in held or hasattr(task, name))
        }
        return cls(**{**shared, **kwargs})

    # -- values --------------------------------------------------------------------------------------------------

    @overload
    def load(self, target: TaskOnKart[K]) -> K: ...

    @overload
    def load(self, target: str | Target | None = None) -> Any: ...

    @overload
    def load(self, target: Sequence[TaskOnKart[K]]) -> list[K]: ...

    def load(self, target: Any = None) -> Any:
        """Return the stored values of required tasks.

        Parameters
        ----------
        target
            A required task, a list of them, a key of `requires()` (or of the outputs of the only required task), or a
            target. None: everything, in the structure of `requires()`, with tuples as lists.

        Raises
        ------
        NotRequired
            `requires()` does not return it.
        ObjectMissing
            It does not exist.
        """
        return loading.load_values(self, target)

    def scratch(self) -> Path:
        """Return a local folder of this task that survives failures, kills and retries, for checkpoints.

        It is named after the class and the unique id, and deleted when the task has succeeded in a build. Two processes
        that run the task at once get different folders.

        Examples
        --------
        >>> class Train(TaskOnKart[dict]):
        ...     def run(self):
        ...         checkpoint = self.scratch() / "checkpoint.pkl"
        """
        return scratch_folder(self)

    def load_generator(self, target: Any = None) -> Iterator[Any]:
        """Iterate over the values that `load` would return, loading each on demand; those of a dict as (key, value).

        Parameters
        ----------
        target
            As for `load`.
        """
        return loading.generate_values(self, target)

    def load_range(
        self, task: type[TaskOnKart[K]], name: str, first: Any = None, last: Any = None, **others: Any
    ) -> partitions.PartitionValues[K]:
        """Return the values of required partitions by date or number, each loaded when it is asked for.

        Parameters
        ----------
        task
            The class of the partitions, which `requires()` returns by `partitions(task, ...)`.
        name
            The parameter that counts them, such as "day".
        first, last
            The ends, both included. None: all that are required.
        **others
            Values of other parameters, if tasks that differ in these are required, too.

        Raises
        ------
        NotRequired
            `requires()` does not return one of them.
        """
        return partitions.load_range(self, task, name, (first, last), others)

    def load_previous(self, name: str, steps: int = 1) -> T_co | None:
        """Return what this task has stored for an earlier date or number; None if nothing is stored.

        Nothing is computed for it, and the unique id stays the same: it is no requirement. What was loaded is recorded,
        so that `kart plan` tells when it changes later.

        Parameters
        ----------
        name
            The parameter that counts the partitions, such as "day".
        steps
            How many of its steps earlier: days for a DateParameter, months for a MonthParameter.
        """
        return cast("T_co | None", partitions.load_previous(self, name, steps))

    # The type of what is stored is covariant all the same: `dump` is called inside `run()`, on `self`.
    @overload
    def dump(self, obj: T_co, target: None = None, custom_labels: dict[Any, Any] | None = None) -> None: ...  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]

    @overload
    def dump(self, obj: Any, target: str | Target, custom_labels: dict[Any, Any] | None = None) -> None: ...

    def dump(self, obj: Any, target: Any = None, custom_labels: dict[Any, Any] | None = None) -> None:
        """Store a result; all results of a `run()` become visible together, when it has ended without an error.

        Until then, this task alone can load them. A `run()` that is called directly, or by luigi's worker, makes each
        visible at once.

        Parameters
        ----------
        obj
            The value.
        target
            Key of the output in `output()`, or a target. None: the only output.
        custom_labels
            Labels for the object, on stores that support them (GCS). They take precedence over those of the engine.

        Raises
        ------
        WrongType
            The value is not of the type that the class declares (`check_dump_type`).
        EmptyDump
            The value is an empty frame, and `fail_on_empty_dump` is set.
        CannotEncode
            The format cannot store the value.
        LockLost
            The task may have lost its lock; nothing is stored.
        """
        run = self._kart_run
        declared = target is None and self.check_dump_type and (run is None or run.checks_types)
        column_types.check_types(self.task_namespace, obj, type(self).__name__)
        if self.fail_on_empty_dump and column_types.is_empty_frame(obj):
            raise EmptyDump(str(self))
        key, target = target, loading.output_target(self, target)
        if declared:
            check_value(self, obj, TaskOnKart)
        # targets in memory, and those of users, accept only the value
        labels = labels_of(self, custom_labels) if getattr(target, "supports_labels", False) else None
        named = dumping.set(type(self).__name__)
        # In a thread that run() has started, the run has to be made known.
        token = None if run is None or active_run.get() is run else active_run.set(run)
        try:
            if run is not None and run.may_commit is not None and run.staged is None and isinstance(target, Target):
                stored = target.dump(obj, labels, run.may_commit)
            else:
                stored = target.dump(obj) if labels is None else target.dump(obj, labels)
        finally:
            if token is not None:
                active_run.reset(token)
            dumping.reset(named)
        if run is None or stored is None:
            return
        if not (run.staged and stored.url in run.staged):
            run.stored += (stored,)
        if isinstance(obj, dict):
            metrics.note_output(self, key, stored.url, obj)

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record a value that this run has measured, for `kart show`, `kart compare` and the report.

        Parameters
        ----------
        name
            Name, such as ``auc`` or ``val/loss``.
        value
            A number; also NaN and infinity.
        step
            Number of the step, such as an epoch: each step is kept, and the last value counts. None: only the value.

        Raises
        ------
        InvalidMetric
            `value` is no number, the name has other characters than letters, digits, spaces and ``_ - . /``, or there
            are more than 200 names.

        Examples
        --------
        >>> class Train(TaskOnKart[Model]):
        ...     def run(self):
        ...         for epoch in range(10):
        ...             self.log_metric("loss", model.step(), step=epoch)
        """
        metrics.log_metric(self, name, value, step)

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record several values that this run has measured, as `log_metric` does.

        Parameters
        ----------
        values
            Name to number.
        step
            Number of the step.

        Raises
        ------
        InvalidMetric
            As `log_metric`.
        """
        metrics.log_metrics(self, values, step)

    def progress(self, iterable: Iterable[K], total: float | None = None, text: str = "") -> Iterable[K]:
        """Return the items of an iterable, and show how many of them have been taken, while a run is watched.

        Outside of a run it is the iterable itself. Loops may be nested: the inner one shows how far the outer one is
        between two items.

        Parameters
        ----------
        iterable
            Anything to loop over, also without a length.
        total
            Number of items, if the iterable has no length.
        text
            What is shown beside it, such as ``epoch``.

        Examples
        --------
        >>> class Train(TaskOnKart[Model]):
        ...     def run(self):
        ...         for epoch in self.progress(range(10)):
        ...             model.step()
        """
        return progress.iterate(self, iterable, total, text)

    def set_progress_percentage(self, percentage: float) -> None:
        """Show how much of the task is done, as in luigi.

        Parameters
        ----------
        percentage
            From 0 to 100.
        """
        progress.say_percentage(progress.progress_of(self), percentage)

    def set_status_message(self, message: str) -> None:
        """Show what the task is doing, as in luigi.

        Parameters
        ----------
        message
            A few words.
        """
        progress.say_status(progress.progress_of(self), message)

    def folder(self, target: Any = None) -> AbstractContextManager[Path]:
        """Return a block that gives an empty folder, which is stored, whole, when the block and `run()` have ended.

        Parameters
        ----------
        target
            Key of the output in `output()`, or a target of `make_folder_target`. None: the only output.

        Examples
        --------
        >>> class Train(TaskOnKart[Path]):
        ...     def run(self):
        ...         with self.folder() as path:
        ...             (path / "weights.txt").write_text("1 2 3")
        """
        return folders.filled(self, target)

    # -- randomness ----------------------------------------------------------------------------------------------

    def get_random_seed(self) -> int:
        """Return the seed of this task: the fixed one, else one derived from its unique id."""
        if self.fix_random_seed_value != NO_FIXED_SEED:
            return self.fix_random_seed_value
        return int(self.make_unique_id(), 16) % (2**32 - 1)  # numpy takes 32 bits

    @property
    def rng(self) -> np.random.Generator:
        """Return the random generator of this task, for use under any executor; each run starts with a new one."""
        run = self._kart_run or self._kart_own_run
        if run.rng is None:
            import numpy as np

            run.rng = np.random.default_rng(self.get_random_seed())
        return cast("np.random.Generator", run.rng)

    @cached_property
    def _kart_own_run(self) -> TaskRun:
        """State outside a run."""
        return TaskRun()


TaskTargets._generic_base = TaskOnKart


def kart_task(task: luigi.Task) -> TaskOnKart[Any] | None:
    """Return the task if it is kart's, else None; cheaper than isinstance(), as luigi's classes are abstract."""
    return cast("TaskOnKart[Any]", task) if "_kart" in task.__dict__ else None


def is_complete(task: luigi.Task) -> bool:
    """Return what `complete()` does, but False for a task without outputs, since nothing shows that it has run."""
    if type(task).complete is TaskOnKart.complete:
        return cast("TaskOnKart[Any]", task)._is_complete(without_outputs=False)
    return bool(task.complete())


def _rebuilt(cls: Any, values: dict[str, Any], overrides: ActiveOverrides | None = None) -> Any:
    if overrides is None:
        return cls(**values)
    with using_overrides(overrides):
        return cls(**values)


def _rebuilt_early(cls: Any, values: dict[str, Any], given: tuple[str, ...]) -> Any:
    """Return a task that was made under no configuration: as the default of a parameter, it is made again under one."""
    with under_no_overrides():
        task = cls(**values)
    if cls.__init__ is cls._plain_init and len(task._kart.arguments[1]) == len(values):  # else there was one before
        task._kart.arguments = (), {name: values[name] for name in given}
    return task


def _shown(param: Any, value: Any) -> str:
    if isinstance(param, TaskInstanceParameter):
        return f"{value.get_task_family()}({value.make_unique_id()})"
    if isinstance(param, ListTaskInstanceParameter):
        return f"[{', '.join(f'{task.get_task_family()}({task.make_unique_id()})' for task in value)}]"
    return str(param.serialize(value))


def _newer(inputs: list[Any], outputs: list[Any]) -> bool:
    """Return whether an input is newer than an output; files that are both are ignored."""
    both = set(map(path_of, inputs)) & set(map(path_of, outputs))
    input_times = [target.last_modification_time() for target in inputs if path_of(target) not in both]
    output_times = [target.last_modification_time() for target in outputs if path_of(target) not in both]
    if not input_times or not output_times:
        return False
    # As seconds, because times of S3 have a zone and those of files have none.
    newest: float = max(time.timestamp() for time in input_times)
    oldest: float = min(time.timestamp() for time in output_times)
    return newest > oldest


def get_dataframe_type_from_task(task: TaskOnKart[Any] | type[TaskOnKart[Any]]) -> DataFrameType:
    """Return the library of the frames that a task stores, "pandas" by default.

    Parameters
    ----------
    task
        A task or its class.
    """
    cls = task if isinstance(task, type) else type(task)
    return library_of(declared_type(cls, TaskOnKart)) or "pandas"
