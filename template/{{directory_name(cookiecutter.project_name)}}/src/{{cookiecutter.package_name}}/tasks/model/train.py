"""Train a model."""

import luigi
from kart_runtime import TaskInstanceParameter

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.models import KINDS, Classifier, fit
from {{ cookiecutter.package_name }}.tasks.features.split import SplitData


class TrainModel(TaskOnKart[Classifier]):
    """A model of one kind, fitted to the training rows."""

    rows: TaskInstanceParameter[SplitData] = TaskInstanceParameter(SplitData)
    kind: luigi.ChoiceParameter[str] = luigi.ChoiceParameter(choices=KINDS)
    max_depth: luigi.IntParameter = luigi.IntParameter(default=3)
    random_state: luigi.IntParameter = luigi.IntParameter(default=0)

    def run(self) -> None:
        self.dump(fit(self.load(self.rows)["train"], self.kind, self.max_depth, self.random_state))
