"""Tests of EvaluateModels."""

from kart_runtime import build

from {{ cookiecutter.package_name }}.tasks.features.split import SplitData
from {{ cookiecutter.package_name }}.tasks.model.evaluate import EvaluateModels
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel


def test_writes_metrics_and_an_image() -> None:
    rows = SplitData()
    results = build(EvaluateModels(rows=rows, models=[TrainModel(rows=rows, kind="tree")]))
    assert results["metrics"]["tree"]["roc_auc"] > 0.85
    assert results["roc"].startswith(b"\x89PNG")
