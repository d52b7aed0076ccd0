@@ sample
"""Tests of the whole pipeline: what it stores, and what runs again after a change."""

from collections import Counter
from pathlib import Path

import pytest
from kart_runtime import TaskStarted, build, open_project

from {{ cookiecutter.package_name }}.tasks.pipeline import RunAll

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the outputs of a run; add to it, and it stays a run."""
    folder = tmp_path_factory.mktemp("outputs")
    run(folder)
    return folder


def run(outputs: Path, *overrides: str) -> dict[str, int]:
    """Run the pipeline like `make run ARGS="..."`, and return how many tasks of each class ran."""
    started: Counter[str] = Counter()

    def count(event: object) -> None:
        if isinstance(event, TaskStarted):
            started[type(event.task).__name__] += 1

    with open_project(ROOT, env="ci", overrides=[f"run.workspace={outputs}/", *overrides]):
        build(RunAll(), return_value=False, on_event=count)
    return dict(started)


def test_ranks_the_models(outputs: Path) -> None:
    with open_project(ROOT, env="ci", overrides=[f"run.workspace={outputs}/"]):
        ranking = build(RunAll())
    assert [model["kind"] for model in ranking] == ["forest", "tree"]
    assert ranking[0]["validation"]["mean"] > 0.95
    assert ranking[0]["roc_auc"] > 0.95


@pytest.mark.parametrize(
    ("change", "runs_again"),
    [
        ("TrainModel.max_depth=4", {}),  # as configured
        ("EvaluateModels.threshold=0.3", {"EvaluateModels": 1, "RunAll": 1}),
        ("PredictTumors.threshold=0.3", {"PredictTumors": 1, "RunAll": 1}),
        ("ScoreFold.n_folds=2", {"ScoreFold": 4, "CrossValidate": 1, "PredictTumors": 1, "RunAll": 1}),
        (
            "TrainModel.max_depth=2",
            {"TrainModel": 2, "ScoreFold": 6, "CrossValidate": 1, "EvaluateModels": 1, "PredictTumors": 1, "RunAll": 1},
        ),
    ],
)
def test_a_change_runs_what_is_downstream_and_nothing_else(
    outputs: Path, change: str, runs_again: dict[str, int]
) -> None:
    assert run(outputs, change) == runs_again
@@ otherwise
"""Tests of the whole pipeline."""

from kart_runtime import build

from {{ cookiecutter.package_name }}.tasks.pipeline import RunAll


def test_the_pipeline_runs() -> None:
    build(RunAll())
    assert RunAll().complete()
@@ end
