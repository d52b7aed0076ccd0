"""Bare loop: writes the same six files as an engine, and skips a task whose output exists.

The names are the same (a hash of the parameters and the upstream ids), the sizes about the same, and the output goes
through a temporary file and a rename. It walks no graph and checks nothing.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import time

from bench_lib.graphs import dependencies

LOGS = ("task_log", "task_params", "random_seed", "processing_time")
VERSIONS = "python==3.11.7\ndateutil==2.9.0.post0\nluigi==3.8.1\nnumpy==2.4.6\nsix==1.17.0"


def write_logs(name: str, contents: tuple[object, ...]) -> None:
    """Write the five log files of one task in place."""
    for kind, content in zip(LOGS, contents, strict=True):
        with open(f"resources/log/{kind}/{name}.pkl", "wb") as file:  # noqa: PTH123  # pathlib would cost more than the write
            file.write(pickle.dumps(content))
    with open(f"resources/log/module_versions/{name}.txt", "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(VERSIONS)


def run(index: int, path: str, name: str) -> None:
    """Run one task: write the output, rename it, write the logs. Nothing is seeded."""
    started = time.perf_counter()
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:  # noqa: PTH123
        file.write(pickle.dumps(index))
    os.replace(temporary, path)  # noqa: PTH105
    seeds = {"seed": int(name[-32:], 16) % 2**32, "seed_methods": ["random.seed", "numpy.random.seed"]}
    write_logs(name, ({"file_path": [path]}, {"i": str(index)}, seeds, time.perf_counter() - started))


def main(shape: str, count: int) -> None:
    """Run all tasks in the order of their numbers."""
    for folder in (*LOGS, "module_versions"):
        os.makedirs(f"resources/log/{folder}", exist_ok=True)  # noqa: PTH103
    os.makedirs("resources/__main__", exist_ok=True)  # noqa: PTH103
    ids: list[str] = []
    for index in range(count):
        above = [ids[other] for other in dependencies(shape, count, index)]
        ids.append(hashlib.md5(repr(("Work", index, above)).encode()).hexdigest())
        path = f"./resources/__main__/Work_{ids[index]}.pkl"
        if not os.path.exists(path):  # noqa: PTH110
            run(index, path, f"Work_{ids[index]}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
