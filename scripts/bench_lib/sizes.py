"""How much is measured? Three sets of sizes: everything, quick, and just enough to see that the bench works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The sizes of one invocation.

    Parameters
    ----------
    tasks
        The numbers of tasks that every peer runs, in each shape.
    growth
        The numbers of tasks that kart_runtime and the bare loop run besides.
    deep
        The length of the chain that must work with the default recursion limit.
    rows
        The rows of the data frame.
    seconds
        How long each of the eight tasks computes or sleeps.
    dynamic
        How many requirements one task yields.
    remote
        The numbers of tasks whose outputs are stored elsewhere.
    megabytes
        The size of the large value that is stored elsewhere.
    rounds
        How often everything is repeated.
    timeout
        After how many seconds a child is ended.
    repeats
        How often a round measures what is over in a moment: imports, one task.
    patience
        What has taken more seconds than this is measured once.
    """

    tasks: tuple[int, ...]
    growth: tuple[int, ...]
    deep: int
    rows: int
    seconds: float
    dynamic: int
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
    remote=(5,),
    megabytes=20,
    rounds=1,
    timeout=60,
    repeats=1,
    patience=60,
)
