"""The wheel that a project gets is the wheel that `python -m build` would make."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def own(wheel: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = wheel.build_wheel(REPOSITORY, tmp_path_factory.mktemp("own"))
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build backend makes, called as `python -m build --no-isolation --wheel` calls it."""
    folder = tmp_path_factory.mktemp("built")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    (path,) = folder.iterdir()
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(path: Path) -> Message:
    (content,) = (content for name, content in members(path).items() if name.endswith("METADATA"))
    return message_from_bytes(content)


def comparable(message: Message) -> dict[str, Any]:
    """Return the headers, with requirements parsed: hatchling writes them sorted and in its own spelling.

    The version of the format follows hatchling's version, not the content.
    """
    own_way = {"Requires-Dist", "Metadata-Version"}
    plain = {name: sorted(message.get_all(name, [])) for name in message if name not in own_way}
    requirements = {
        (requirement.name.lower(), *sorted(requirement.extras), str(requirement.specifier), str(requirement.marker))
        for requirement in map(Requirement, message.get_all("Requires-Dist", []))
    }
    return plain | {"Requires-Dist": requirements, "text": message.get_payload()}


def test_name_and_files_are_those_of_the_built_wheel(own: Path, built: Path) -> None:
    assert own.name == built.name
    ours, theirs = members(own), members(built)
    assert ours.keys() == theirs.keys()
    different = {name for name in ours if ours[name] != theirs[name]}
    assert {name.partition("/")[2] for name in different} <= {"METADATA", "WHEEL", "RECORD"}


def test_template_is_inside_with_what_its_hooks_read(own: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(members(own)["kart_runtime/_template.zip"])) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    folder = REPOSITORY / "template"
    paths = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    paths += [REPOSITORY / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    assert inside == {path.relative_to(REPOSITORY).as_posix(): path.read_bytes() for path in paths}


def test_metadata_says_the_same(own: Path, built: Path) -> None:
    assert comparable(metadata(own)) == comparable(metadata(built))


def test_record_is_right(own: Path) -> None:
    files = members(own)
    (record,) = (name for name in files if name.endswith("RECORD"))
    rows = list(csv.reader(files[record].decode().splitlines()))
    assert {row[0] for row in rows} == files.keys()
    for name, digest, size in rows:
        if name != record:
            expected = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={expected}", str(len(files[name])))


def test_bytes_depend_on_the_sources_only(wheel: ModuleType, own: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in ("kart_runtime", "template"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy / name)
    for path in copy.rglob("*"):
        os.utime(path, (0, 0))
        path.chmod(0o700)
    (copy / "kart_runtime" / "__pycache__").mkdir()
    (copy / "kart_runtime" / "__pycache__" / "left.cpython-311.pyc").write_bytes(b"x")
    (copy / "kart_runtime" / ".DS_Store").write_bytes(b"x")
    assert wheel.build_wheel(copy, tmp_path / "again").read_bytes() == own.read_bytes()


@pytest.mark.parametrize(
    ("version", "storage", "expected"),
    [
        ("0.1.0", "local", "kart-runtime[cli,pandas]>=0.1.0,<0.2"),
        ("0.9.3", "s3", "kart-runtime[cli,pandas,s3]>=0.9.3,<0.10"),
        ("1.4.0", "gcs", "kart-runtime[cli,pandas]>=1.4.0,<2"),
    ],
)
def test_requirement(wheel: ModuleType, tmp_path: Path, version: str, storage: str, expected: str) -> None:
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "kart-runtime"\nversion = "{version}"\n'
        "[project.optional-dependencies]\ncli = []\npandas = []\ns3 = []\n"
    )
    assert wheel.runtime_requirement(tmp_path, storage) == expected


def test_marker_of_a_requirement_is_kept(wheel: ModuleType) -> None:
    line = wheel._only_for("cli", "colorama>=0.4; sys_platform == 'win32' or os_name == 'nt'")
    assert str(Requirement(line).marker) == '(sys_platform == "win32" or os_name == "nt") and extra == "cli"'
