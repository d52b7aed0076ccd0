"""Tests of EvaluateModels."""

import logging

import pandas as pd
import pytest
from kart_runtime import build
from kart_runtime.testing import Given

from {{ cookiecutter.package_name }}.lib.frames import MEASUREMENTS, PATIENT, TARGET
from {{ cookiecutter.package_name }}.tasks.features.split import SplitData
from {{ cookiecutter.package_name }}.tasks.model.evaluate import EvaluateModels
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel

SIZES = [1.0, 2.0, 8.0, 9.0]
ROWS = pd.DataFrame({PATIENT: range(4), **dict.fromkeys(MEASUREMENTS, SIZES), TARGET: [0, 0, 1, 1]})


def test_writes_metrics_and_an_image(given: Given, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    given(SplitData, {"train": ROWS, "test": ROWS})
    task = EvaluateModels(models=[TrainModel(kind="tree")])
    results = build(task)
    assert results["metrics"]["tree"]["roc_auc"] == 1.0
    assert "tree: ROC AUC 1.0000 on 4 test rows" in caplog.messages
    assert task.get_task_log()["roc_auc"] == {"tree": 1.0}
    assert results["roc"].startswith(b"\x89PNG")
