"""Train models."""

import luigi
from kart_runtime import TaskInstanceParameter

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.models import KINDS, Classifier, fit, new_model
from {{ cookiecutter.package_name }}.tasks.features.split import SplitData


class TrainModel(TaskOnKart[Classifier]):
    """A model of one kind, fitted to the training rows."""

    rows: TaskInstanceParameter[SplitData] = TaskInstanceParameter(SplitData, default=SplitData)
    kind: luigi.ChoiceParameter[str] = luigi.ChoiceParameter(choices=KINDS)
    max_depth: luigi.IntParameter = luigi.IntParameter(default=3)
    random_state: luigi.IntParameter = luigi.IntParameter(default=0)

    def run(self) -> None:
        """Fit the model; what is no frame, array or plain value is stored as a pickle file."""
        model = new_model(self.kind, self.max_depth, self.random_state)
        self.dump(fit(model, self.load(self.rows)["train"]))


def models_of_every_kind() -> list[TrainModel]:
    """Return one task per kind of model: the default of the tasks that compare models."""
    return [TrainModel(kind=kind) for kind in KINDS]
