"""Compare models."""

from typing import Any

import luigi
from kart_runtime import ListTaskInstanceParameter, TaskInstanceParameter

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.frames import TARGET
from {{ cookiecutter.package_name }}.lib.models import probabilities
from {{ cookiecutter.package_name }}.lib.scores import roc_plot, score
from {{ cookiecutter.package_name }}.tasks.features.split import SplitData
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel


class EvaluateModels(TaskOnKart[dict[str, Any]]):
    """Scores of each model on the test rows: `metrics` as JSON and `roc` as an image."""

    rows: TaskInstanceParameter[SplitData] = TaskInstanceParameter(SplitData)
    models: ListTaskInstanceParameter[TrainModel] = ListTaskInstanceParameter(TrainModel)
    threshold: luigi.FloatParameter = luigi.FloatParameter(default=0.5)

    def output(self) -> dict[str, Any]:
        return {"metrics": self.make_target("model/metrics.json"), "roc": self.make_target("model/roc.png")}

    def run(self) -> None:
        test = self.load(self.rows)["test"]
        labels = test[TARGET].to_numpy()
        kinds = [model.kind for model in self.models]
        scores = dict(zip(kinds, (probabilities(model, test) for model in self.load(self.models)), strict=True))
        self.dump({kind: score(labels, values, self.threshold) for kind, values in scores.items()}, "metrics")
        self.dump(roc_plot(labels, scores), "roc")
