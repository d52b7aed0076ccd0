"""Peers: the program and the environment of each, created on first use."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Peer:
    """A row of the tables.

    `files` is the number of files per task, checked after every first run. `instead_of` names the peer that this one
    replaces if that one exceeds the recursion limit.
    """

    name: str
    environment: str
    worker: tuple[str, ...]
    files: int
    instead_of: str | None = None

    def command(self, python: Path, shape: str, count: int) -> tuple[str | Path, ...]:
        """Return the command of one run; with a count of 0 it only imports."""
        module, *rest = self.worker
        return (python, "-m", f"bench_lib.workers.{module}", shape, str(count), *rest)


BARE = Peer("bare loop", "kart", ("bare",), 6)
KART = Peer("kart_runtime", "kart", ("kart_build", "kart_runtime"), 6)
JOBLIB = Peer("joblib.Memory", "joblib", ("joblib_memory",), 2)
HAMILTON = Peer("hamilton 1.90.0, cache", "hamilton", ("hamilton_cache",), 1)
KEDRO = Peer("kedro 1.7.0", "kedro", ("kedro_run",), 1)
LUIGI = Peer("luigi 3.8.1", "luigi", ("luigi_build",), 1)
GOKART = Peer("gokart 1.12.2", "gokart", ("kart_build", "gokart"), 6)
DEEP_GOKART = Peer(
    "gokart, recursion limit raised", "gokart", ("kart_build", "gokart", "1000000"), 6, instead_of=GOKART.name
)
PEERS = (BARE, KART, JOBLIB, HAMILTON, KEDRO, LUIGI, GOKART, DEEP_GOKART)

FRAMES = ("pandas==3.1.1", "pyarrow==26.0.1")
# numpy and pandas are installed next to kart_runtime, so that not importing them is a choice.
REQUIREMENTS = {
    "kart": ("--editable", f"{REPOSITORY}[pandas,cli,s3,gcs]", *FRAMES, "luigi==3.8.1"),
    "gokart": ("gokart[s3,gcs]==1.12.2", "luigi==3.8.1", *FRAMES),
    "luigi": ("luigi==3.8.1",),
    "joblib": ("joblib==1.6.0", "numpy"),
    "hamilton": ("sf-hamilton==1.90.0", "apache-hamilton==1.90.0"),
    "kedro": ("kedro==1.7.0", "kedro-datasets==9.6.0"),
    "servers": ("moto[server]==5.2.5", "gcp-storage-emulator==2026.7.19"),
}
# Packages whose versions are printed above the tables.
NAMED = (
    *("kart-runtime", "gokart", "luigi", "joblib", "apache-hamilton", "kedro", "numpy", "pandas", "pyarrow"),
    *("boto3", "google-cloud-storage", "google-api-python-client", "moto", "gcp-storage-emulator"),
)


def interpreter(root: Path, name: str) -> Path:
    """Return the Python of the environment `name` below `root`, created again if it does not match the requirements."""
    folder, required = root / name, "\n".join(REQUIREMENTS[name])
    python, mark = folder / "bin" / "python", folder / "requirements.txt"
    if python.exists() and mark.exists() and mark.read_text(encoding="utf-8") == required:
        return python
    print(f"creating the environment {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-qq", *REQUIREMENTS[name]], check=True, stdout=sys.stderr)
    # Written last, so that an interrupted environment is created again.
    mark.write_text(required, encoding="utf-8")
    return python


def versions(python: Path) -> dict[str, str]:
    """Return the installed distributions of `python`, name to version."""
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
    listing = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True).stdout
    return dict(sorted(line.split("==", 1) for line in listing.splitlines()))
