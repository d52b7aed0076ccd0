"""Tests of TrainModel."""

from kart_runtime import build

from {{ cookiecutter.package_name }}.lib.models import probabilities
from {{ cookiecutter.package_name }}.tasks.features.split import SplitData
from {{ cookiecutter.package_name }}.tasks.model.train import TrainModel, models_of_every_kind


def test_model_predicts_probabilities() -> None:
    model = build(TrainModel(kind="tree"))
    test = build(SplitData())["test"]
    values = probabilities(model, test)
    assert len(values) == len(test)
    assert values.min() >= 0
    assert values.max() <= 1


def test_parameters_change_the_id() -> None:
    shallow, deep = (TrainModel(kind="tree", max_depth=depth) for depth in (1, 9))
    assert shallow.make_unique_id() != deep.make_unique_id()


def test_one_model_of_each_kind() -> None:
    assert [task.kind for task in models_of_every_kind()] == ["tree", "forest"]
