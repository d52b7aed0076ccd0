"""Tests of ScoreFold and CrossValidate."""

from kart_runtime import build
from kart_runtime.testing import Given

from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel
from {{ cookiecutter.package_name }}.tasks.model.validate import CrossValidate, ScoreFold


def test_there_is_a_task_for_each_model_and_fold() -> None:
    folds = [(task.model.kind, task.fold) for task in CrossValidate().folds]
    assert folds == [("tree", 0), ("tree", 1), ("tree", 2), ("forest", 0), ("forest", 1), ("forest", 2)]


def test_a_fold_is_scored_on_rows_that_the_model_does_not_know() -> None:
    assert 0.85 < build(ScoreFold(model=TrainModel(kind="tree", max_depth=2), fold=0, n_folds=2)) < 1


def test_validation_is_the_mean_of_the_folds(given: Given) -> None:
    folds = [ScoreFold(model=TrainModel(kind="tree"), fold=fold) for fold in range(2)]
    given(folds[0], 0.8)
    given(folds[1], 1.0)
    assert build(CrossValidate(folds=folds)) == {"tree": {"mean": 0.9, "std": 0.1, "folds": [0.8, 1.0]}}
