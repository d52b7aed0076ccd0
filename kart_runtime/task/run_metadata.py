"""Metadata of a task's last run, from the log files beside its output, and its parameters as text."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import luigi

from kart_runtime.errors import ConfigError
from kart_runtime.errors.secrets import MASK, any_secret, masked
from kart_runtime.history.log_files import LogFiles
from kart_runtime.task.parameters import (
    ListTaskInstanceParameter,
    SecretParameter,
    TaskInstanceParameter,
    declaration,
    has_secrets,
    secret_names,
)
from kart_runtime.task.state import Identity


class RunMetadata:
    """Base class of `TaskOnKart` with gokart's methods that read a task's parameters and log files."""

    if TYPE_CHECKING:
        workspace_directory: Any
        param_kwargs: Any
        task_log: Any
        _kart: Identity

        def make_unique_id(self) -> str:
            """Return the unique id; the task has it."""
            ...

        @classmethod
        def from_str_params(cls, params_str: Any) -> Any:
            """Return a task; luigi's has it."""
            ...

    def get_info(self, only_significant: bool = False) -> dict[str, str]:
        """Return the parameters as text for people; a task-valued one as its class name and unique id.

        Parameters
        ----------
        only_significant
            Only what makes up the unique id.
        """
        secrets = secret_names(cast("Any", type(self)), self._kart.overrides)
        params = declaration(cast("Any", type(self))).params
        return {
            name: MASK
            if name in secrets or isinstance(params[name], SecretParameter)
            else _informed(params[name], value)
            for name, value in self.param_kwargs.items()
            if not only_significant or params[name].significant
        }

    def _log_files(self) -> LogFiles:
        return LogFiles(self.workspace_directory, type(self).__name__, self.make_unique_id())

    def get_task_log(self) -> dict[str, Any]:
        """Return the task log: of the run in progress, else of the stored one, else an empty one."""
        return cast("dict[str, Any]", self.task_log or self._logged("task_log", {}))

    def get_task_params(self) -> dict[str, str]:
        """Return the significant parameters as they were stored with the output; empty when they were not."""
        return cast("dict[str, str]", self._logged("task_params", {}))

    def get_processing_time(self) -> float | str:
        """Return how long `run()` took, in seconds; "unknown" when it was not stored."""
        return cast("float | str", self._logged("processing_time", "unknown"))

    def _logged(self, kind: str, otherwise: Any) -> Any:
        value = self._log_files().read(kind)
        fits = isinstance(value, dict if isinstance(otherwise, dict) else float | int)  # a damaged file holds anything
        return value if fits else otherwise

    @classmethod
    def restore(cls, unique_id: str) -> Any:
        """Return the task that has an id, from the parameters stored in the workspace.

        Parameters
        ----------
        unique_id
            The id, as in the names of the output files.

        Raises
        ------
        ObjectMissing
            When the workspace has no such task.
        ConfigError
            When it had another value of a secret, which is not stored.
        """
        workspace = declaration(cast("Any", cls)).defaults().values["workspace_directory"]
        params = LogFiles(workspace, cls.__name__, unique_id).target("task_params").load()
        secrets = secret_names(cast("Any", cls)) & {name for name, text in params.items() if text == MASK}
        task = cls.from_str_params({name: text for name, text in params.items() if name not in secrets})
        if secrets and task.make_unique_id() != unique_id:
            names = ", ".join(sorted(secrets))
            why = f"cannot be restored: {names} is secret, so it is not stored, and it has another value now"
            key = f"{cls.__name__}.restore({unique_id!r})"
            raise ConfigError(why, key=key, expected=f"the value of {names} that it was made with")
        return task


def _informed(param: Any, value: Any) -> str:
    if isinstance(param, TaskInstanceParameter):
        return f"{type(value).__name__}-{value.make_unique_id()}"
    return str(param.serialize(value))


def visible_params(task: Any) -> dict[str, str]:
    """Return the significant parameters as text, with secrets masked."""
    params: dict[str, str] = task._texts()
    if any_secret() or "://" in "".join(params.values()):  # a url may have a password
        params = {name: masked(text) for name, text in params.items()}
    overrides, values = task._kart.overrides, task.param_kwargs
    secrets, held = secret_names(type(task), overrides), _with_tasks(cast("Any", type(task)))
    if held and not (overrides.by_class and has_secrets(overrides)):
        held = tuple(name for name in held if holds_hidden(values[name]))
    if not secrets and not held:
        return params
    return {
        name: MASK if name in secrets else _without_held_secrets(values[name], text) if name in held else text
        for name, text in params.items()
    }


def holds_hidden(value: Any, seen: set[int] | None = None) -> bool:
    """Return whether one of these tasks, or of those that they hold, has a parameter that is not public."""
    seen = set() if seen is None else seen
    if isinstance(value, tuple | list):
        return any(holds_hidden(item, seen) for item in value)
    if not isinstance(value, luigi.Task) or id(value) in seen:
        return False
    seen.add(id(value))
    cls = type(value)
    return bool(declaration(cls).hidden) or any(holds_hidden(vars(value).get(name), seen) for name in _with_tasks(cls))


def _without_held_secrets(value: Any, text: str) -> str:
    """Return the text of a parameter; of tasks only the ids, since the text holds their parameters."""
    if isinstance(value, luigi.Task):
        unique_id = getattr(value, "make_unique_id", lambda: value.task_id)()
        return f"{value.get_task_family()}({unique_id})"
    if isinstance(value, tuple) and value and all(isinstance(item, luigi.Task) for item in value):
        return f"[{', '.join(_without_held_secrets(item, '') for item in value)}]"
    return text


def recorded_params(task: Any) -> dict[str, str]:
    """Return the significant parameters as a record has them: of a task its class and the beginning of its id."""
    params, held = visible_params(task), _with_tasks(cast("Any", type(task)))
    if held:
        values = task.param_kwargs
        params = params | {name: _short(values[name]) for name in held}
    return params


@lru_cache(maxsize=1024)
def _with_tasks(cls: type) -> tuple[str, ...]:
    """Return the names of the significant parameters whose values are tasks."""
    kinds = (TaskInstanceParameter, ListTaskInstanceParameter)
    return tuple(name for name, param in declaration(cast("Any", cls)).significant if isinstance(param, kinds))


def _short(value: Any) -> str:
    if isinstance(value, luigi.Task):
        unique_id = getattr(value, "make_unique_id", lambda: value.task_id[-8:])()
        return f"{type(value).__name__}[{unique_id[:8]}]"
    return f"[{', '.join(map(_short, value))}]" if isinstance(value, tuple | list) else str(value)
