"""Tests of LoadData."""

from kart_runtime import build

from {{ cookiecutter.package_name }}.tasks.data.load import LoadData


def test_loads_569_tumors() -> None:
    assert build(LoadData()).shape == (569, 31)
