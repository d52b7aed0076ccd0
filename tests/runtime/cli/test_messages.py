"""How mistakes are shown."""

from __future__ import annotations

import pickle
import traceback
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


def from_worker(code, path):
    """Return what comes from a worker process for the error of code in a file: without frames, but with a note."""
    with pytest.raises(ValueError, match="too cold") as caught:
        exec(compile(code, str(path), "exec"))
    text = "".join(traceback.format_exception(caught.value))
    error = pickle.loads(pickle.dumps(caught.value))
    error.__notes__ = [f"In process 7:\n{text}"]
    return error


@pytest.mark.parametrize("keeps_frames", [False, True])
def test_the_traceback_of_a_worker_starts_in_the_projects_code_and_says_the_error_once(tmp_path, keeps_frames):
    path = tmp_path / "task.py"
    code = "try:\n    1 / 0\nexcept ArithmeticError as error:\n    raise ValueError('too cold') from error"
    error = from_worker(code, path)
    if keeps_frames:  # as errors do that tblib has pickled
        with pytest.raises(ValueError, match="too cold") as caught:
            exec(compile(code, str(path), "exec"))
        error = error.with_traceback(caught.tb)
    lines = user_traceback(error, tmp_path).splitlines()
    assert [line for line in lines if line.startswith("  File")] == [
        f'  File "{path}", line 2, in <module>',
        f'  File "{path}", line 4, in <module>',
    ]
    assert lines.count("ValueError: too cold") == 1


def test_the_traceback_of_a_worker_outside_the_project_is_whole(tmp_path):
    text = user_traceback(from_worker("raise ValueError('too cold')", "elsewhere.py"), tmp_path)
    assert "in from_worker" in text
    assert 'File "elsewhere.py"' in text
