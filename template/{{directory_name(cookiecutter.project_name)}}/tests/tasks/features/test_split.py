"""SplitData writes the rows to train on and the rows to test on."""

from kart_runtime import build

from {{ cookiecutter.package_name }}.tasks.features.split import SplitData


def test_fraction_decides_how_many_rows_are_for_the_test() -> None:
    rows = build(SplitData(test_fraction=0.1))
    assert (len(rows["train"]), len(rows["test"])) == (512, 57)
