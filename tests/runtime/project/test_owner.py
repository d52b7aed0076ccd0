"""The code of another user's project is not imported, unless that is allowed."""

from __future__ import annotations

import os

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.project import Project

root_only = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="gives files to another user")


@pytest.fixture
def project(tmp_path):
    """A project that would tell if it was imported."""
    root = tmp_path / "theirs"
    for folder in ("src/theirs_pkg/tasks", "conf/base", "below"):
        (root / folder).mkdir(parents=True)
    (root / "pyproject.toml").write_text('[tool.kart]\npackage = "theirs_pkg"\n')
    (root / "src/theirs_pkg/__init__.py").write_text("")
    (root / "src/theirs_pkg/tasks/__init__.py").write_text("")
    return root


@root_only
@pytest.mark.parametrize("part", [".", "pyproject.toml", "src/theirs_pkg", "conf"])
def test_a_project_of_another_user_is_refused(project, part):
    os.chown(project / part, 12345, -1)

    for start in (project, project / "below"):
        with pytest.raises(ConfigError, match=f"belongs to another user .* export KART_SAFE_DIRECTORY={project}"):
            Project.find(start)


@root_only
@pytest.mark.parametrize("allowed", ["*", "{root}", "/nowhere:{root}/"])
def test_it_is_allowed_by_its_folder(project, monkeypatch, allowed):
    os.chown(project, 12345, -1)
    monkeypatch.setenv("KART_SAFE_DIRECTORY", allowed.format(root=project))

    assert Project.find(project).package == "theirs_pkg"


@root_only
def test_another_folder_does_not_allow_it(project, monkeypatch):
    os.chown(project, 12345, -1)
    monkeypatch.setenv("KART_SAFE_DIRECTORY", f"{project.parent}:")

    with pytest.raises(ConfigError, match="belongs to another user"):
        Project.find(project)


@root_only
def test_with_sudo_the_caller_may_own_it(project, monkeypatch):
    os.chown(project, 12345, -1)
    monkeypatch.setenv("SUDO_UID", "12345")

    assert Project.find(project).package == "theirs_pkg"


def test_ones_own_project_is_found(project):
    assert Project.find(project).package == "theirs_pkg"


def test_a_project_of_root_is_found(project, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345, raising=False)
    if os.stat(project).st_uid == 0:
        assert Project.find(project).package == "theirs_pkg"
