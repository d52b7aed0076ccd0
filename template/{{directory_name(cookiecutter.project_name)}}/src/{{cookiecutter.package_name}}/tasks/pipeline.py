"""The whole pipeline."""

@@ sample
from kart_runtime import Target, parameter

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.scores import RankedModel, rank
from {{ cookiecutter.package_name }}.tasks.model.evaluate import EvaluateModels
from {{ cookiecutter.package_name }}.tasks.model.predict import PredictTumors
from {{ cookiecutter.package_name }}.tasks.model.validate import CrossValidate


class RunAll(TaskOnKart[list[RankedModel]]):
    """Everything that a run should bring up to date; stores the models, the best one first."""

    validation: CrossValidate = parameter(default=CrossValidate)
    evaluation: EvaluateModels = parameter(default=EvaluateModels)
    predictions: PredictTumors = parameter(default=PredictTumors)

    def output(self) -> Target:
        """Return a JSON file."""
        return self.make_target("ranking.json")

    def run(self) -> None:
        """Rank the models by their cross-validation."""
        self.dump(rank(self.load(self.validation), self.load(self.evaluation)["metrics"]))
@@ otherwise
from kart_runtime import WrapperTask


class RunAll(WrapperTask):
    """Everything that a run should bring up to date: give it a parameter that holds a task, for each of your tasks."""
@@ end
