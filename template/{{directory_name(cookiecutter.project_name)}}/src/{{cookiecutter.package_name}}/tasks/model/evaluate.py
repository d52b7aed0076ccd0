"""Compare models on the test rows."""

import logging
from collections.abc import Sequence
from typing import TypedDict

from kart_runtime import Target, parameter

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.frames import TARGET
from {{ cookiecutter.package_name }}.lib.models import probabilities
from {{ cookiecutter.package_name }}.lib.scores import Scores, roc_plot, score
from {{ cookiecutter.package_name }}.tasks.features.split import SplitData
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel, models_of_every_kind

logger = logging.getLogger(__name__)


class Evaluation(TypedDict):
    """Scores by kind of model, and the ROC curves as a PNG image."""

    metrics: dict[str, Scores]
    roc: bytes


class EvaluateModels(TaskOnKart[Evaluation]):
    """Scores and ROC curves of the models on the test rows."""

    rows: SplitData = parameter(default=SplitData)
    models: Sequence[TrainModel] = parameter(default=models_of_every_kind)
    threshold: float = parameter(default=0.5)

    def output(self) -> dict[str, Target]:
        """Return a JSON file and an image."""
        return {"metrics": self.make_target("model/metrics.json"), "roc": self.make_target("model/roc.png")}

    def run(self) -> None:
        """Predict the test rows by each model, and compare with the labels."""
        test = self.load(self.rows)["test"]
        labels = test[TARGET].to_numpy()
        kinds: list[str] = [task.kind for task in self.models]
        values = dict(zip(kinds, (probabilities(model, test) for model in self.load(self.models)), strict=True))
        metrics = {kind: score(labels, values[kind], self.threshold) for kind in kinds}
        for kind, scores in metrics.items():
            logger.info("%s: ROC AUC %.4f on %d test rows", kind, scores["roc_auc"], len(test))
        self.task_log["roc_auc"] = {kind: scores["roc_auc"] for kind, scores in metrics.items()}
        self.dump(metrics, "metrics")
        self.dump(roc_plot(labels, values), "roc")
