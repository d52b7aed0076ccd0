"""Tests of TrainModel."""

import pandas as pd
from kart_runtime import build

from {{ cookiecutter.package_name }}.lib.models import probabilities
from {{ cookiecutter.package_name }}.tasks.features.split import SplitData
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel


def test_model_predicts_probabilities() -> None:
    rows = SplitData()
    model = build(TrainModel(rows=rows, kind="tree"))
    test: pd.DataFrame = build(rows)["test"]
    values = probabilities(model, test)
    assert len(values) == len(test)
    assert values.min() >= 0
    assert values.max() <= 1


def test_parameters_change_the_id() -> None:
    rows = SplitData()
    shallow, deep = (TrainModel(rows=rows, kind="tree", max_depth=depth) for depth in (1, 9))
    assert shallow.make_unique_id() != deep.make_unique_id()
