"""Train models."""

from kart_runtime import parameter

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.models import KINDS, Classifier, Kind, fit, new_model
from {{ cookiecutter.package_name }}.tasks.features.split import SplitData


class TrainModel(TaskOnKart[Classifier]):
    """A model of one kind, fitted to the training rows."""

    rows: SplitData = parameter(default=SplitData)
    kind: Kind = parameter()
    max_depth: int = parameter(default=3)
    random_state: int = parameter(default=0)

    def run(self) -> None:
        """Fit the model; what is no frame, array or plain value is stored as a pickle file."""
        model = new_model(self.kind, self.max_depth, self.random_state)
        self.dump(fit(model, self.load(self.rows)["train"]))


def models_of_every_kind() -> list[TrainModel]:
    """Return one task per kind of model: the default of the tasks that compare models."""
    return [TrainModel(kind=kind) for kind in KINDS]
