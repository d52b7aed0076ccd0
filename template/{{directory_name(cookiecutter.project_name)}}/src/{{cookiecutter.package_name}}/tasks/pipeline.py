"""The whole pipeline."""

@@ sample
from kart_runtime import Target, TaskInstanceParameter

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.scores import RankedModel, rank
from {{ cookiecutter.package_name }}.tasks.model.evaluate import EvaluateModels
from {{ cookiecutter.package_name }}.tasks.model.predict import PredictTumors
from {{ cookiecutter.package_name }}.tasks.model.validate import CrossValidate


class RunAll(TaskOnKart[list[RankedModel]]):
    """Everything that a run should bring up to date; stores the models, the best one first."""

    validation: TaskInstanceParameter[CrossValidate] = TaskInstanceParameter(CrossValidate, default=CrossValidate)
    evaluation: TaskInstanceParameter[EvaluateModels] = TaskInstanceParameter(EvaluateModels, default=EvaluateModels)
    predictions: TaskInstanceParameter[PredictTumors] = TaskInstanceParameter(PredictTumors, default=PredictTumors)

    def output(self) -> Target:
        """Return a JSON file."""
        return self.make_target("ranking.json")

    def run(self) -> None:
        """Rank the models by their cross-validation."""
        self.dump(rank(self.load(self.validation), self.load(self.evaluation)["metrics"]))
@@ otherwise
from {{ cookiecutter.package_name }}.base import TaskOnKart


class RunAll(TaskOnKart[str]):
    """Everything that a run should bring up to date: give it a parameter that holds a task, for each of your tasks."""

    def run(self) -> None:
        self.dump("complete")
@@ end
