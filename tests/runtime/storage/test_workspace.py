"""Where things lie in a workspace, however its url is written; these paths are on disks, so they never change."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.storage.workspace import LOG, Workspace, as_folder

NAMES = st.text(st.sampled_from("ab/.:"), max_size=8)


@pytest.mark.parametrize(
    ("url", "base"),
    [("", ""), ("resources", "resources/"), ("./resources/", "./resources/"), ("/", "/"), ("s3://b/w", "s3://b/w/")],
)
def test_layout(url, base):
    workspace = Workspace(url)
    assert workspace.base == as_folder(url) == base
    assert workspace.log == f"{base}log/"
    assert workspace.runs == f"{base}log/runs"
    assert workspace.lock("Train_1") == f"{base}log/locks/Train_1.lock"
    assert workspace.join("a/b.pkl") == f"{base}a/b.pkl"
    assert workspace.join("/tmp/b.pkl") == "/tmp/b.pkl"
    assert LOG == "log"


@pytest.mark.skipif(os.name != "posix", reason="elsewhere os.path.join puts other separators")
@given(NAMES, NAMES)
def test_paths_are_joined_as_the_system_joins_them(url, path):
    assert Workspace(url).join(path) == os.path.join(url, path)


@pytest.mark.parametrize(
    ("url", "local"),
    [("", True), ("w", True), ("file:///w", True), ("s3://b/w", False), ("gs://b", False), ("memory://w", False)],
)
def test_which_workspaces_lie_on_this_machine(url, local):
    assert Workspace(url).is_local is local


@pytest.mark.parametrize("url", ["resources", "./resources", "./resources/", "resources//"])
def test_one_folder_has_one_normalized_url(url):
    assert Workspace(url).normalized == "resources"
