"""What is written beside the output when a task runs? gokart's five log files; and the seed is set, since one names it.

Called by `attempt`, and by `luigi_bridge` where luigi's own worker runs the task.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from kart_runtime import ledger
from kart_runtime.parameters import secret_names
from kart_runtime.targets import path_of
from kart_runtime.task import MASK, TaskOnKart


class RunLogs:
    """The log files of one run of a task, written beside the output and never instead of it.

    Seeding is done here, too, because the file says what was seeded; it is done whether files are written or not.

    Parameters
    ----------
    task
        The task.
    """

    def __init__(self, task: TaskOnKart[Any]) -> None:
        self.task = task
        self.seed = task.get_random_seed()
        self.written: list[str] = []
        self._wanted = task.should_dump_supplementary_log_files
        self._files = task._log_files()

    def at_start(self) -> None:
        """Seed, and write down seed, parameters and versions."""
        methods = set_seed(self.task.fix_random_seed_methods, self.seed)
        if self._wanted:
            self._write("random_seed", {"seed": self.seed, "seed_methods": methods})
            self._write("task_params", visible_params(self.task))
            versions = ledger.module_versions()
            self._write("module_versions", "\n".join(f"{name}=={version}" for name, version in versions.items()))

    def at_success(self, seconds: float, outputs: list[Any]) -> None:
        """Write down the time and the task's own log, with where the outputs lie, as gokart does."""
        task = self.task
        task.task_log["file_path"] = [path_of(target) for target in outputs]
        if self._wanted:
            self._write("processing_time", seconds)
            self._write("task_log", task.task_log)

    def _write(self, kind: str, value: Any) -> None:
        self.written.append(self._files.write(kind, value))


def visible_params(task: TaskOnKart[Any]) -> dict[str, str]:
    """Return the significant parameters as text, with secrets masked.

    Parameters
    ----------
    task
        The task.
    """
    secrets = secret_names(type(task))
    params = task.to_str_params(only_significant=True)
    return {name: MASK if name in secrets else text for name, text in params.items()}


@lru_cache(maxsize=64)
def _seed_method(name: str) -> Callable[[int], Any] | None:
    module, _, rest = name.partition(".")
    try:
        found: Any = import_module(module)
        for part in rest.split("."):
            found = getattr(found, part)
    except (ModuleNotFoundError, AttributeError):
        return None
    return found if callable(found) else None


def set_seed(methods: tuple[str, ...], seed: int) -> list[str]:
    """Give a seed to functions named by their dotted paths; return the names of those that exist.

    Parameters
    ----------
    methods
        For example ``numpy.random.seed``.
    seed
        The seed.
    """
    done = []
    for name in methods:
        method = _seed_method(name)
        if method is not None:
            method(seed)
            done.append(name)
    return done
