"""How shall a build behave? One frozen tree of settings, which crosses process borders as it is.

The tree is declared here and filled by `kart_runtime.project` from YAML, the environment and the command line; the
engine's own calls (`build(...)`) take the same names as arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RunSettings:
    """What a run does and where it writes.

    Attributes
    ----------
    task
        What `run` builds when no task is named: a class name or any dotted suffix of its path.
    workspace
        The folder that outputs are written below; reaches each task as `workspace_directory`.
    seed
        The seed of every task. None: each task's seed is made from its unique id.
    executor
        Where tasks run: "serial", "threads", "processes" or "dask". None: dask where there is an address, else serial
        for one worker, else processes.
    workers
        How many tasks run at once. None: 1; on a Dask cluster, what the cluster can.
    address
        Of the scheduler of a Dask cluster, such as ``tcp://HOST:8786``.
    resources
        How much there is of what tasks declare that they need, by name. 1 of what is not named.
    locks
        Who may run a task when several processes share a workspace: "none" (anybody); "file", for processes of one
        machine; "workspace", for machines that share an object store (or a disk); or the url of a redis server,
        "redis://HOST:PORT".
    lock_wait
        How long to wait for tasks that other processes run, in seconds in which nothing else can be started.
    hand_off_mb
        How many megabytes of dumped values may be kept in memory, for tasks of the same process. 0: none.
    log_files
        Whether the five log files are written with each output.
    fail_on_empty_dump
        Whether dumping an empty DataFrame is an error.
    """

    task: str | None = None
    workspace: str = "./resources/"
    seed: int | None = None
    executor: str | None = None
    workers: int | None = None
    address: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    locks: str = "none"
    lock_wait: int = 600
    hand_off_mb: int = 256
    log_files: bool = True
    fail_on_empty_dump: bool = False


@dataclass(frozen=True)
class LoggingSettings:
    """What is logged, and how.

    Attributes
    ----------
    level
        A level name of the standard library's logging.
    format
        A format of the standard library's logging.
    """

    level: str = "INFO"
    format: str = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@dataclass(frozen=True)
class Settings:
    """The whole tree."""

    run: RunSettings = field(default_factory=RunSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
