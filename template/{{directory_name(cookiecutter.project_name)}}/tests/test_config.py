"""The configuration of every environment fits the parameters that tasks declare."""

from contextlib import suppress
from pathlib import Path

import pytest
from kart_runtime.errors import EnvVarMissing
from kart_runtime.project import open_project

ENVIRONMENTS = sorted(
    folder.name
    for folder in (Path(__file__).parents[1] / "conf").iterdir()
    if folder.is_dir() and folder.name not in {"base", "local"}
)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_configuration_is_valid(env: str) -> None:
    with suppress(EnvVarMissing):  # when it is the only mistake: all variables are set only where it runs
        assert open_project(Path(__file__), env=env).settings.run.task
