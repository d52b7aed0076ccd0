"""Whether kart has a name of gokart is found by looking, module by module."""

from __future__ import annotations

import pytest

from kart_runtime.migrate.facade import missing_name


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("gokart", ""),
        ("gokart.TaskOnKart", ""),
        ("gokart.TaskOnKart.no_such_attribute", ""),
        ("gokart.build.GokartBuildError", ""),
        ("gokart.tree.task_info.make_task_info_as_table", ""),
        ("gokart.in_memory.target.make_in_memory_target", ""),
        ("gokart.mypy", ""),
        ("gokart.object_storage", "gokart.object_storage"),
        ("gokart.object_storage.ObjectStorage.exists", "gokart.object_storage"),
        ("gokart.build.LoggerConfig", "gokart.build.LoggerConfig"),
        ("gokart.target._make_file_path", "gokart.target._make_file_path"),
    ],
)
def test_the_first_part_that_kart_has_not_is_named(name, missing):
    assert missing_name(name) == missing
