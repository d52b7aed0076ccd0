"""Tests of EvaluateModels."""

import logging

import pytest
from kart_runtime import build

from {{ cookiecutter.package_name }}.tasks.model.evaluate import EvaluateModels
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel


def test_writes_metrics_and_an_image(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    task = EvaluateModels(models=[TrainModel(kind="tree", max_depth=2)])
    results = build(task)
    auc = results["metrics"]["tree"]["roc_auc"]
    assert auc > 0.85
    assert f"tree: ROC AUC {auc:.4f} on 138 test rows" in caplog.messages
    assert task.get_task_log()["roc_auc"] == {"tree": auc}
    assert results["roc"].startswith(b"\x89PNG")
