"""Tests of PredictTumors."""

from pathlib import Path

from kart_runtime import build

from {{ cookiecutter.package_name }}.tasks.data.load import LoadData, LoadNewData
from {{ cookiecutter.package_name }}.tasks.model.predict import PredictTumors
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel
from {{ cookiecutter.package_name }}.tasks.model.validate import CrossValidate, ScoreFold


def test_predicts_every_row_of_another_file(tmp_path: Path) -> None:
    tumors = build(LoadData()).head(50)
    path = tmp_path / "today.csv"
    tumors.drop(columns="malignant").to_csv(path, index=False)
    model = TrainModel(kind="tree")
    validation = CrossValidate(folds=[ScoreFold(model=model, fold=0)])
    predicted = build(PredictTumors(data=LoadNewData(path=str(path)), models=[model], validation=validation))
    assert list(predicted["patient"]) == list(tumors["patient"])
    assert (predicted["malignant"] == tumors["malignant"]).mean() > 0.8
