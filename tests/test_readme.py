"""The README's example and its commands run as typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL = (ROOT / "docs" / "how-to" / "install.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]


def commands(heading, text=README):
    """Return the commands of each console block below a heading."""
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert section, heading
    return [
        re.findall(r"^\$ (.+)$", block, re.MULTILINE)
        for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    ]


@pytest.fixture
def shell(tmp_path):
    """`shell(command)`: run a command in an empty folder, answering every question with Enter."""
    (tmp_path / "cookiecutter.yaml").write_text(
        f"{{replay_dir: {tmp_path}/replay, cookiecutters_dir: {tmp_path}/clones}}"
    )
    hidden = ("KART_", "PYTEST_", "VIRTUAL_ENV", "UV_", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    env |= {
        "COOKIECUTTER_CONFIG": str(tmp_path / "cookiecutter.yaml"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
    }

    def run(command):
        words = shlex.split(re.sub(r"\bPATH(-OR-URL)?\b", lambda _: shlex.quote(str(ROOT)), command), comments=True)
        if words[1:4] == ["-m", "pip", "install"]:
            words = ["uv", "pip", "install", "--python", words[0], *words[4:]]  # the same, in a tenth of the time
        done = subprocess.run(
            words, cwd=tmp_path, env=env, input="\n" * 20, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def test_the_readme_fits_a_screen_and_names_both_scripts_at_its_top():
    assert len(README.splitlines()) <= 120
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 15
    top = "\n".join(README.splitlines()[:25])
    assert "`scripts/demo`" in top
    assert "`scripts/test`" in top
    assert "minutes" in top


def test_the_example_runs_as_pasted_and_reads_the_second_time(tmp_path):
    (tmp_path / "example.py").write_text(EXAMPLE)
    for _ in range(2):
        found = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert found.stdout == "45\n"
    runs = [path.read_text() for path in (tmp_path / "resources" / "log" / "runs").iterdir()]
    assert sum(text.count('"unique_id"') for text in runs) == 2  # each task once


@pytest.mark.slow
def test_uvx_generates_a_project_whose_targets_exist(shell, tmp_path):
    by_uv, _, then = commands("Start a project")
    assert by_uv[0].split()[0] == "uvx"
    for line in by_uv:
        shell(line)
    assert then[0] == "cd my-pipeline"
    assert (tmp_path / "my-pipeline" / "pyproject.toml").exists()
    for line in then[1:]:
        assert line.startswith("make ")
        shell(f"make -C my-pipeline --dry-run PYTHON={sys.executable} {line.removeprefix('make ')}")


@pytest.mark.slow
def test_venv_and_pip_generate_a_project_and_install_the_engine(shell, tmp_path):
    for line in commands("Start a project")[1]:
        shell(line)
    assert (tmp_path / "my-pipeline" / "vendor").is_dir()

    new, install = commands("Use the engine alone")[0]
    assert new == "python3 -m venv .venv"
    (tmp_path / ".venv").symlink_to("tools")  # one environment for both, as a second one would only take longer
    shell(install)
    (tmp_path / "example.py").write_text(EXAMPLE)
    assert shell(".venv/bin/python example.py") == "45\n"
    for line in commands("Check it", INSTALL)[0]:
        assert "kart" in shell(line)


def test_the_install_page_gives_the_commands_of_the_readme():
    start, engine = commands("Generate a project", INSTALL), commands("Install the engine alone", INSTALL)
    assert start == commands("Start a project")[:2]
    assert engine[-1] == commands("Use the engine alone")[0]


def test_nothing_is_installed_outside_of_an_environment():
    for text in (README, INSTALL):
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
            assert not re.search(r"^\$ (sudo )?(pip|pip3|python|python3 -m pip) install", block, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\bscripts/\w+", README))))
def test_scripts_can_be_run(path):
    assert (ROOT / path).stat().st_mode & 0o111
