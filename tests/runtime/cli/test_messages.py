"""How mistakes are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from kart_runtime.cli.messages import explain, user_traceback
from kart_runtime.errors import ConfigError, TaskError
from kart_runtime.task.schemas import check_schema


def test_a_mistake_without_a_place_has_no_colon_before_it():
    text = explain(ConfigError("wrong", suggestion="right"))
    assert text == "error: wrong\n       did you mean 'right'?\n1 problem; nothing was run or changed."


def test_an_error_of_kart_shows_the_frames_of_the_project_and_none_of_the_engine():
    def run():
        check_schema("Load", "no schema", None, "load")

    with pytest.raises(TaskError) as caught:
        run()
    text = user_traceback(caught.value, Path(__file__).parent)
    assert 'check_schema("Load", "no schema", None, "load")' in text
    assert "schemas.py" not in text
    assert text.rstrip().endswith("expected a pandera schema or model as schema, got 'no schema'.")
