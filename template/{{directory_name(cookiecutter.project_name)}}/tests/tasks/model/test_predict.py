"""Tests of PredictTumors."""

from pathlib import Path

import pandas as pd
from kart_runtime import build

from {{ cookiecutter.package_name }}.tasks.data.load import LoadNewData
from {{ cookiecutter.package_name }}.tasks.model.predict import PredictTumors
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel
from {{ cookiecutter.package_name }}.tasks.model.validate import CrossValidate, ScoreFold


def test_predicts_every_row_of_another_file(tumors: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "today.csv"
    tumors.head(50).drop(columns="malignant").to_csv(path, index=False)
    model = TrainModel(kind="tree")
    validation = CrossValidate(folds=[ScoreFold(model=model, fold=0)])
    predicted = build(PredictTumors(data=LoadNewData(path=str(path)), models=[model], validation=validation))
    assert list(predicted["patient"]) == list(tumors["patient"].head(50))
    assert (predicted["malignant"] == tumors["malignant"].head(50)).mean() > 0.8
