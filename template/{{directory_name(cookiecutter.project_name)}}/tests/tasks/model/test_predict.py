"""Tests of PredictTumors."""

from pathlib import Path

from kart_runtime import build
from kart_runtime.testing import Given

from {{ cookiecutter.package_name }}.lib.scores import summarize
from {{ cookiecutter.package_name }}.tasks.data.load import LoadData, LoadNewData
from {{ cookiecutter.package_name }}.tasks.model.predict import PredictTumors
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel
from {{ cookiecutter.package_name }}.tasks.model.validate import CrossValidate


def test_predicts_every_row_of_another_file(tmp_path: Path, given: Given) -> None:
    tumors = build(LoadData()).head(50)
    path = tmp_path / "today.csv"
    tumors.drop(columns="malignant").to_csv(path, index=False)
    given(CrossValidate, {"tree": summarize([0.9]), "forest": summarize([0.8])})
    predicted = build(PredictTumors(data=LoadNewData(path=str(path)), models=[TrainModel(kind="tree")]))
    assert list(predicted["patient"]) == list(tumors["patient"])
    assert (predicted["malignant"] == tumors["malignant"]).mean() > 0.8
