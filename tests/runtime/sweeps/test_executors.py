"""A sweep gives the same files as one run for each value, wherever its tasks run."""

from __future__ import annotations

from pathlib import Path

import pytest

WORDS = ("Train.depth=2,4", "Train.kind=tree,forest")
SINGLE = [(depth, kind) for depth in (2, 4) for kind in ("tree", "forest")]


def files(folder: Path) -> dict[str, bytes]:
    """Return the outputs below a folder, without the files about runs."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: content for name, content in found.items() if not name.startswith("log/")}


@pytest.fixture
def options(request):
    """The options of an executor; of Dask, with a cluster of one worker."""
    if request.param != "dask":
        yield ("--executor", request.param, *(() if request.param == "serial" else ("--workers", "2")))
        return
    from distributed import LocalCluster  # not in the worker processes of the other tests

    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0") as cluster:
        yield ("--executor", "dask", "--address", cluster.scheduler_address)


@pytest.mark.parametrize("options", ["serial", "threads", "processes", "dask"], indirect=True)
def test_a_sweep_gives_the_files_of_one_run_for_each_value(model_project, kart, options):
    root = model_project()
    swept = kart("run", *WORDS, *options)
    assert swept.code == 0, swept.err
    assert "4 variants: Train.depth 2, 4 × Train.kind tree, forest; 21 tasks, 1 shared" in swept.lines
    for depth, kind in SINGLE:
        assert kart("run", f"Train.depth={depth}", f"Train.kind={kind}", f"run.workspace={root}/single/").code == 0
    assert files(root / "outputs") == files(root / "single")
    again = kart("run", *WORDS, *options)
    assert any(line.startswith("Nothing to run: 21 tasks: 0 ran, 21 already complete") for line in again.lines)
