"""What a person has to change is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from kart_runtime.migrate.hints import hints


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("mypy.ini", "[mypy]\nplugins = gokart.mypy:plugin\n", ["2: plugins = gokart.mypy:plugin: the plugin is "]),
        ("pyproject.toml", 'plugins = ["gokart.mypy"]\n', ['1: plugins = ["gokart.mypy"]: the plugin is ']),
        ("pyproject.toml", 'dependencies = ["luigi", "gokart>=1.2"]\n', ["1: "]),
        ("pyproject.toml", 'gokart = "^1.2"\n', ['1: gokart = "^1.2": the dependency is kart-runtime']),
        (
            "requirements-dev.txt",
            "numpy\ngokart[all]==1.12\n",
            ["2: gokart[all]==1.12: the dependency is kart-runtime[gcs,s3]"],
        ),
        ("requirements.txt", "gokart\n", ["1: gokart: the dependency is kart-runtime"]),
        ("requirements.txt", "gokart[s3]>=1\n", ["1: gokart[s3]>=1: the dependency is kart-runtime[s3]"]),
        (
            "setup.cfg",
            "  gokart[ S3 ,polars,x]\n",
            ["1: gokart[ S3 ,polars,x]: the dependency is kart-runtime[polars,s3]"],
        ),
        ("requirements.txt", "gokart-pipeliner\nmy-gokart\n", []),
        ("mypy.ini", "plugins = kart_runtime.gokart.mypy:plugin\n", []),
        ("notes.txt", "gokart\n", []),
        ("a.ipynb", '"import gokart\\n"', [" cells that import gokart"]),
        ("a.ipynb", '"import kart_runtime.gokart as gokart\\n"', []),
    ],
)
def test_lines_that_name_gokart_are_told(name, text, wanted):
    found = list(hints(Path(name), text.encode()))
    assert len(found) == len(wanted)
    for hint, beginning in zip(found, wanted, strict=True):
        assert hint.startswith(f"{name}:{beginning}")
