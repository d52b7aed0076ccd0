"""Sizes of the measurements: full, quick, and just enough to check that the bench works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Sizes of one invocation.

    Parameters
    ----------
    tasks
        Numbers of tasks that every peer runs, in each shape.
    growth
        Further numbers of tasks, for kart_runtime and the bare loop only.
    deep
        Length of the chain that must work with the default recursion limit.
    rows
        Number of rows of the data frame.
    seconds
        Seconds that each of the eight tasks computes or sleeps.
    dynamic
        Number of requirements that one task yields.
    records
        Number of attempts in the history that commands read.
    remote
        Numbers of tasks with a remote workspace.
    megabytes
        Size of the large value in a remote workspace.
    rounds
        Number of rounds.
    timeout
        Time limit of one child, in seconds.
    repeats
        Samples per round of short programs: imports, one task.
    patience
        A program that takes more seconds than this is measured only once.
    """

    tasks: tuple[int, ...]
    growth: tuple[int, ...]
    deep: int
    rows: int
    seconds: float
    dynamic: int
    records: int
    remote: tuple[int, ...]
    megabytes: int
    rounds: int
    timeout: float
    repeats: int
    patience: float


FULL = Sizes(
    tasks=(1_000, 3_000),
    growth=(1_000, 3_000, 10_000, 30_000, 100_000),
    deep=20_000,
    rows=2_000_000,
    seconds=1.0,
    dynamic=500,
    records=100_000,
    remote=(50, 1_000),
    megabytes=2_000,
    rounds=3,
    timeout=300,
    repeats=3,
    patience=20,
)
QUICK = Sizes(
    tasks=(200,),
    growth=(300, 1_000, 3_000),
    deep=20_000,
    rows=100_000,
    seconds=0.25,
    dynamic=25,
    records=10_000,
    remote=(10,),
    megabytes=200,
    rounds=2,
    timeout=30,
    repeats=1,
    patience=0.5,
)
SMOKE = Sizes(
    tasks=(30,),
    growth=(30,),
    deep=60,
    rows=1_000,
    seconds=0.01,
    dynamic=5,
    records=300,
    remote=(5,),
    megabytes=20,
    rounds=1,
    timeout=60,
    repeats=1,
    patience=60,
)
