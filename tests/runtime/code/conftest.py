"""A project that each test edits."""

import sys

import pytest

from tests.runtime.code.projects import SmallProject


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # Python's own check of what it compiled is by whole seconds
    monkeypatch.syspath_prepend(str(tmp_path))
    project = SmallProject(tmp_path)
    yield project
    project.forget()
