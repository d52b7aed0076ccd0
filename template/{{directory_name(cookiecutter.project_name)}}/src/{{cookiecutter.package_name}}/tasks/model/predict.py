"""Predict new data."""

import logging
from collections.abc import Sequence

import pandas as pd
from kart_runtime import Target, parameter

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.models import predictions
from {{ cookiecutter.package_name }}.lib.scores import best_first
from {{ cookiecutter.package_name }}.tasks.data.load import LoadNewData
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel, models_of_every_kind
from {{ cookiecutter.package_name }}.tasks.model.validate import CrossValidate

logger = logging.getLogger(__name__)


class PredictTumors(TaskOnKart[pd.DataFrame]):
    """Predictions for new tumors, by the model that is best in the cross-validation."""

    data: LoadNewData = parameter(default=LoadNewData)
    models: Sequence[TrainModel] = parameter(default=models_of_every_kind)
    validation: CrossValidate = parameter(default=CrossValidate)
    threshold: float = parameter(default=0.5)

    def output(self) -> Target:
        """Return a CSV file."""
        return self.make_target("model/predictions.csv")

    def run(self) -> None:
        """Predict by the best model."""
        best = best_first(self.load(self.validation))[0]
        (model,) = (task for task in self.models if task.kind == best)
        predicted = predictions(self.load(model), self.load(self.data), self.threshold)
        logger.info("%s: %d of %d new tumors are malignant", best, predicted["malignant"].sum(), len(predicted))
        self.dump(predicted)
