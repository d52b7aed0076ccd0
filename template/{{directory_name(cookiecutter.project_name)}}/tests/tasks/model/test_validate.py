"""Tests of ScoreFold and CrossValidate."""

import pytest
from kart_runtime import build

from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel
from {{ cookiecutter.package_name }}.tasks.model.validate import CrossValidate, ScoreFold


def test_there_is_a_task_for_each_model_and_fold() -> None:
    folds = [(task.model.kind, task.fold) for task in CrossValidate().folds]
    assert folds == [("tree", 0), ("tree", 1), ("tree", 2), ("forest", 0), ("forest", 1), ("forest", 2)]


def test_validation_is_the_mean_of_the_folds() -> None:
    model = TrainModel(kind="tree", max_depth=2)
    validation = build(CrossValidate(folds=[ScoreFold(model=model, fold=fold, n_folds=2) for fold in range(2)]))
    assert validation["tree"]["mean"] == pytest.approx(sum(validation["tree"]["folds"]) / 2, abs=1e-4)
    assert validation["tree"]["mean"] > 0.85
