"""Recorded files are those that records name, that exist, and that lie in the workspace; by class when asked for."""

from __future__ import annotations

import luigi
import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.history.cleanup.files import RemovalResult
from kart_runtime.history.cleanup.recorded import recorded_files


class Number(TaskOnKart[int]):
    number = luigi.IntParameter(default=0)

    def run(self):
        self.dump(self.number)


class Other(Number):
    pass


@pytest.mark.parametrize("classes", [(), {(__name__, "Other")}])
def test_files_of_classes_are_listed_and_deleted(tmp_path, classes):
    tasks = [cls(workspace_directory="w") for cls in (Number, Other)]
    build(tasks)
    (tmp_path / "w" / "mine.txt").write_text("mine")
    recorded = recorded_files("w", tmp_path, classes)
    assert sorted(recorded.by_task) == (["Other"] if classes else ["Number", "Other"])
    assert {len(sizes) for sizes in recorded.by_task.values()} == {6}  # the output and five log files
    result = RemovalResult()
    assert result.delete(recorded.files, recorded.sizes())
    assert (set(result.deleted), result.failed) == (set(recorded.sizes()), {})
    assert [task.complete() for task in tasks] == [bool(classes), False]
    assert (tmp_path / "w" / "mine.txt").exists()
    assert recorded_files("w", tmp_path, classes).by_task == {}
