"""`make setup` makes an environment in which the project works, with uv and with pip alone.

The only tests of the template that need a package index. Beside it there is always another one, on this machine, which
offers a rival: a package with the engine's name and higher versions. Nothing may ever install it.
"""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

pytestmark = pytest.mark.slow

CLEAN = {"PYTHONPATH": "", "VIRTUAL_ENV": ""}


def write_rival(folder: Path, version: str) -> str:
    """Write a wheel with the engine's name, and return its file name."""
    stem = f"kart_runtime-{version}"
    extras = "".join(f"Provides-Extra: {extra}\n" for extra in ("cli", "pandas", "pandera"))
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr("kart_runtime/rival.py", "")
        metadata = f"Metadata-Version: 2.1\nName: kart-runtime\nVersion: {version}\n{extras}"
        archive.writestr(f"{stem}.dist-info/METADATA", metadata)
        archive.writestr(
            f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return f"{stem}-py3-none-any.whl"


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def rival(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an index with rivals of the engine: of the same version, a later compatible one, and a later one."""
    root = tmp_path_factory.mktemp("rival")
    folder = root / "kart-runtime"
    folder.mkdir()
    names = [write_rival(folder, version) for version in ("0.1.0", "0.1.99", "99.0")]
    (folder / "index.html").write_text("".join(f'<a href="{name}">{name}</a>\n' for name in names))
    handler = functools.partial(Silent, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def change_engine(project: Path) -> None:
    """Put a file more into the engine in vendor/, under the same version."""
    (path,) = (project / "vendor").iterdir()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("kart_runtime/changed.py", "")


def leave_out(project: Path, *names: str) -> None:
    """Take libraries out of what a project needs."""
    path = project / "pyproject.toml"
    path.write_text(re.sub(rf'^  "(?:{"|".join(names)})[-\w]*>=.*\n', "", path.read_text(), flags=re.MULTILINE))


def has_module(project: Path, name: str) -> bool:
    """Return whether a module of the installed engine exists."""
    words = [str(project / ".venv/bin/python"), "-c", f"import kart_runtime.{name}"]
    return subprocess.run(words, cwd=project, capture_output=True, check=False).returncode == 0


def test_the_rival_would_win_if_it_were_asked_for(rival: str, tmp_path: Path) -> None:
    words = ["-m", "pip", "download", "--no-deps", "--index-url", rival, "--dest", str(tmp_path), "kart-runtime<1"]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["kart_runtime-0.1.99-py3-none-any.whl"]


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_setup(default_project: Path, tmp_path: Path, command: Command, rival: str, tool: str) -> None:
    project = Path(shutil.copytree(default_project, tmp_path / "project"))
    words = ["UV="] if tool == "pip" else []
    if tool == "pip":  # it needs minutes for what uv installs in seconds, and is to show the way of the engine
        leave_out(
            project, "ipykernel", "matplotlib", "mypy", "nbclient", "nbstripout", "pandas-stubs", "pre-commit", "ruff"
        )
    env = {**CLEAN, "UV_INDEX": rival, "PIP_EXTRA_INDEX_URL": rival, "UV_PYTHON": sys.executable}
    done = command(project, "make", "setup", *words, **env)
    if tool == "pip":
        assert re.search(r"Collecting pandas|Downloading|Processing", done.stdout)  # progress can be seen
    assert not has_module(project, "rival")
    said = command(project, "make", "run", "ARGS=SplitData", **CLEAN).stdout
    assert "1 ran" in said
    assert "0 ran" in command(project, "make", "run", "ARGS=SplitData", **CLEAN).stdout
    kart = command(
        project, ".venv/bin/python", "-c", "import kart_runtime; print(kart_runtime.__file__)", **CLEAN
    ).stdout
    assert Path(kart).is_relative_to(project / ".venv")
    assert command(project, ".venv/bin/kart", "list", **CLEAN).stdout.endswith("modules\n")
    change_engine(project)
    command(project, "make", "setup", *words, **env)
    assert has_module(project, "changed")
    if tool == "uv":
        check_lock_and_hooks(project, command, env)
    command(project, "make", "upgrade", *words, **env)
    assert has_module(project, "changed")
    assert not has_module(project, "rival")


def check_lock_and_hooks(project: Path, command: Command, env: dict[str, str]) -> None:
    """The lock names the file in vendor/; the hooks need no network and find what they are for."""
    command(project, "make", "lock", **env)
    (source,) = set(re.findall(r"kart_runtime-[\w.-]+whl", (project / "uv.lock").read_text()))
    assert (project / "vendor" / source).is_file()
    command(project, "uv", "sync", "--locked", **env)
    assert not has_module(project, "rival")
    command(project, "make", "check", **env)

    no_network = {**CLEAN, "UV_OFFLINE": "1", "PIP_NO_INDEX": "1", "PRE_COMMIT_HOME": str(project / ".git/hooks-cache")}
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command(project, "git", "init", "-q")
    command(project, "git", "add", ".")
    command(project, ".venv/bin/pre-commit", "run", "--all-files", **no_network)
    command(project, "git", *author, "commit", "-q", "-m", "start")
    tracked = command(project, "git", "ls-files").stdout.split()
    assert "uv.lock" in tracked

    (project / "docs/merge.md").write_text("<<<<<<< HEAD\nmine\n=======\ntheirs\n>>>>>>> x\n")
    (project / "key.txt").write_text("-----BEGIN RSA " + "PRIVATE KEY-----\n")
    (project / "large.bin").write_bytes(b"x" * 2_000_000)
    notebook = project / "notebooks/explore.ipynb"
    notebook.write_text(notebook.read_text().replace('"execution_count": null', '"execution_count": 7'))
    pyproject = project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"matplotlib>=', '"packaging", "matplotlib>='))
    command(project, "git", "add", ".")
    done = command(project, ".venv/bin/pre-commit", "run", ok=False, **no_network)
    failed = set(re.findall(r"^- hook id: (\S+)$", done.stdout, re.MULTILINE))
    assert failed == {"merge-markers", "private-keys", "large-files", "notebook-outputs", "lock"}, done.stdout
