"""Tests of the whole pipeline on the full data; they take seconds."""

from kart_runtime import build

from {{ cookiecutter.package_name }}.tasks.pipeline import RunAll


def test_ranks_a_model_of_each_kind() -> None:
    ranking = build(RunAll())
    assert set(ranking) == {"tree", "forest"}
    scores = [ranking[kind]["roc_auc"] for kind in ranking]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.95


def test_second_run_has_nothing_to_do() -> None:
    build(RunAll())
    assert RunAll().complete()
