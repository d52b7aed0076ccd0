"""The whole pipeline."""

from typing import Any

import luigi

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.models import KINDS
from {{ cookiecutter.package_name }}.tasks.features.split import SplitData
from {{ cookiecutter.package_name }}.tasks.model.evaluate import EvaluateModels
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel


class RunAll(TaskOnKart[dict[str, Any]]):
    """Train a model of each kind on the same rows, and store their scores, best first."""

    kinds: luigi.ListParameter[tuple[str, ...]] = luigi.ListParameter(default=KINDS)

    def requires(self) -> EvaluateModels:
        rows = SplitData()
        return EvaluateModels(rows=rows, models=[TrainModel(rows=rows, kind=kind) for kind in self.kinds])

    def output(self) -> Any:
        return self.make_target("ranking.json")

    def run(self) -> None:
        metrics = self.load()["metrics"]
        ranking = sorted(metrics, key=lambda kind: metrics[kind]["roc_auc"], reverse=True)
        self.dump({kind: metrics[kind] for kind in ranking})
