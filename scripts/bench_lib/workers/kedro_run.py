# mypy: disable-error-code="no-untyped-call, import-untyped, import-not-found"
"""kedro's sequential runner, with pipeline and catalog in code: one pickle per task.

If outputs exist, it requests only the missing ones, like ``kedro run --only-missing-outputs``: that is its no-op. In
the first run this would double the cost.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline, node
from kedro.runner import SequentialRunner
from kedro_datasets.pickle import PickleDataset

from bench_lib.graphs import dependencies


def work(index: int) -> Callable[..., int]:
    """Return the function of one task."""

    def function(*above: int) -> int:  # noqa: ARG001  # it ignores the upstream values
        return index

    return function


def task(shape: str, count: int, index: int) -> Node:
    """Return the node of one task."""
    above = [f"t{other}" for other in dependencies(shape, count, index)]
    return node(work(index), above or None, f"t{index}", name=f"n{index}")


def main(shape: str, count: int) -> None:
    """Run the tasks without an output."""
    logging.disable(logging.ERROR)
    catalog = DataCatalog({f"t{index}": PickleDataset(filepath=f"data/t{index}.pkl") for index in range(count)})
    pipeline = Pipeline([task(shape, count, index) for index in range(count)])
    SequentialRunner().run(pipeline, catalog, only_missing_outputs=Path("data").exists())


if __name__ == "__main__" and int(sys.argv[2]):
    main(sys.argv[1], int(sys.argv[2]))
