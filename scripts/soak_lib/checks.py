"""Checks of faults that tests run a few times, with a count and a seed from outside.

    python -m soak_lib.checks {histories,races,locks} COUNT SEED

The last line is a JSON object: how often what was delivered. A check that fails raises.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from kart_runtime import build


def histories(count: int, seed: int) -> dict[str, int]:
    """Delete garbage in random histories of runs, against a model of what is needed."""
    from tests.runtime.history.cleanup import test_histories as histories_of

    played = 0
    play = histories_of.play

    def counted(*arguments: object) -> None:
        nonlocal played
        play(*arguments)
        played += 1

    histories_of.play = counted
    histories_of.check_histories(Path.cwd(), "memory", count, seed)
    histories_of.check_histories(Path.cwd(), "disk", max(count // 4, 1), seed)
    return {"history with gc": played}


def races(count: int, seed: int) -> dict[str, int]:
    """Delete garbage while builds begin to use it."""
    from tests.runtime.history.cleanup import test_races as races_of

    deleted, stayed = races_of.check_races(count, seed)
    if deleted + stayed != count:
        raise AssertionError(f"{deleted} deleted and {stayed} stayed, of {count}")
    return {"gc beside a build": deleted}


def locks(count: int, seed: int) -> dict[str, int]:
    """Kill processes that build the same tasks in one folder: a task runs twice only after a kill."""
    from tests.runtime import lock_chaos

    build(lock_chaos.Step(number=0, workspace_directory="warm"), return_value=False)  # imports everything once
    Path("ran.txt").unlink()
    found = lock_chaos.check(count, seed)
    if found.get("twice"):
        raise AssertionError(f"tasks ran twice: {found}")
    return {"kill of a lock's holder": found["kills"]}


def main() -> None:
    """Run one of them in an empty folder."""
    name, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with tempfile.TemporaryDirectory(prefix="kart-soak-") as folder:
        os.chdir(folder)
        print(json.dumps({"histories": histories, "races": races, "locks": locks}[name](count, seed)))
        os.chdir("/")


if __name__ == "__main__":
    main()
