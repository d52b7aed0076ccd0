"""Tests that the configuration of every environment matches the declared parameters."""

from contextlib import suppress
from pathlib import Path

import pytest
from kart_runtime.errors import EnvVarMissing
from kart_runtime.project import open_project

ENVIRONMENTS = sorted(
    folder.name
    for folder in (Path(__file__).parents[1] / "conf").iterdir()
    if folder.is_dir() and folder.name not in {"base", "local", "groups"}
)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_configuration_is_valid(env: str) -> None:
    with suppress(EnvVarMissing):  # unless it is the only error: production variables may not be set here
        assert open_project(Path(__file__), env=env).settings.run.task
