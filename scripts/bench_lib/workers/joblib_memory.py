# mypy: disable-error-code="no-untyped-call, import-untyped, untyped-decorator"
"""joblib's disk cache around a plain function: two files per task (output.pkl, metadata.json), no graph and no logs."""

from __future__ import annotations

import sys

from joblib import Memory

from bench_lib.graphs import dependencies

memory = Memory("resources", verbose=0)


@memory.cache
def work(i: int, above: list[int]) -> int:  # noqa: ARG001  # joblib hashes the arguments to the cache key
    """Ignore the upstream values."""
    return i


def main(shape: str, count: int) -> None:
    """Call the function for every task, upstream first."""
    values: list[int] = []
    for index in range(count):
        values.append(work(index, [values[other] for other in dependencies(shape, count, index)]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
