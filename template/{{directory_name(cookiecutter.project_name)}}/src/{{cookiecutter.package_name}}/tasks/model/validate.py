"""Cross-validate models: one task per model and fold, which can run in parallel, and one that collects their scores."""

import logging
from collections import defaultdict
from collections.abc import Sequence

from kart_runtime import parameter

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.frames import TARGET, fold_of
from {{ cookiecutter.package_name }}.lib.models import fit, probabilities
from {{ cookiecutter.package_name }}.lib.scores import Validation, roc_auc, summarize
from {{ cookiecutter.package_name }}.tasks.features.split import SplitData
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel, models_of_every_kind

logger = logging.getLogger(__name__)


class ScoreFold(TaskOnKart[float]):
    """Area under the ROC curve on one fold of the training rows, of a copy of the model fitted to the other folds."""

    rows: SplitData = parameter(default=SplitData)
    model: TrainModel = parameter()
    fold: int = parameter()
    n_folds: int = parameter(default=3)
    random_state: int = parameter(default=0)

    def run(self) -> None:
        """Fit and score."""
        others, fold = fold_of(self.load(self.rows)["train"], self.fold, self.n_folds, self.random_state)
        model = fit(self.load(self.model), others)
        self.dump(roc_auc(fold[TARGET].to_numpy(), probabilities(model, fold)))


def folds_of_every_model() -> list[ScoreFold]:
    """Return one task per model and fold; `ScoreFold.n_folds` is their number."""
    firsts = [ScoreFold(model=model, fold=0) for model in models_of_every_kind()]
    return [ScoreFold(model=first.model, fold=fold) for first in firsts for fold in range(first.n_folds)]


class CrossValidate(TaskOnKart[dict[str, Validation]]):
    """Mean and spread of the folds' scores, by kind of model."""

    folds: Sequence[ScoreFold] = parameter(default=folds_of_every_model)

    def run(self) -> None:
        """Collect the scores."""
        scores: dict[str, list[float]] = defaultdict(list)
        for task, value in zip(self.folds, self.load(self.folds), strict=True):
            scores[task.model.kind].append(value)
        validations = {kind: summarize(values) for kind, values in scores.items()}
        for kind, validation in validations.items():
            logger.info("%s: ROC AUC %.4f ± %.4f", kind, validation["mean"], validation["std"])
        self.task_log["roc_auc"] = {kind: validation["mean"] for kind, validation in validations.items()}
        self.dump(validations)
