"""Who is measured? Each peer's program and the environment that it needs, made on first use."""

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

    ``files`` is how many files it leaves per task (checked after every first run); ``instead_of`` names the peer that
    this one stands in for where that one recurses too deep.
    """

    name: str
    environment: str
    worker: tuple[str, ...]
    files: int
    instead_of: str | None = None

    def command(self, python: Path, shape: str, count: int) -> tuple[str | Path, ...]:
        """Return the command of one run; a count of 0 only imports."""
        module, *rest = self.worker
        return (python, "-m", f"bench_lib.workers.{module}", shape, str(count), *rest)


BARE = Peer("bare loop", "kart", ("bare",), 6)
KART = Peer("kart_runtime", "kart", ("on_kart", "kart_runtime"), 6)
JOBLIB = Peer("joblib.Memory", "joblib", ("joblib_memory",), 2)
HAMILTON = Peer("hamilton 1.90.0, cache", "hamilton", ("hamilton_cache",), 1)
KEDRO = Peer("kedro 1.7.0", "kedro", ("kedro_run",), 1)
LUIGI = Peer("luigi 3.8.1", "luigi", ("luigi_build",), 1)
GOKART = Peer("gokart 1.12.2", "gokart", ("on_kart", "gokart"), 6)
DEEP_GOKART = Peer(
    "gokart, recursion limit raised", "gokart", ("on_kart", "gokart", "1000000"), 6, instead_of=GOKART.name
)
PEERS = (BARE, KART, JOBLIB, HAMILTON, KEDRO, LUIGI, GOKART, DEEP_GOKART)

FRAMES = ("pandas==3.1.1", "pyarrow==26.0.1")
# numpy and pandas are installed beside kart_runtime, so that not importing them is a choice.
REQUIREMENTS = {
    "kart": ("--editable", f"{REPOSITORY}[pandas,cli,s3,gcs]", *FRAMES, "luigi==3.8.1"),
    "gokart": ("gokart[s3,gcs]==1.12.2", "luigi==3.8.1", *FRAMES),
    "luigi": ("luigi==3.8.1",),
    "joblib": ("joblib==1.6.0", "numpy"),
    "hamilton": ("sf-hamilton==1.90.0", "apache-hamilton==1.90.0"),
    "kedro": ("kedro==1.7.0", "kedro-datasets==9.6.0"),
    "servers": ("moto[server]==5.2.5", "gcp-storage-emulator==2026.7.19"),
}
# The packages whose versions are told beside the tables.
NAMED = (
    *("kart-runtime", "gokart", "luigi", "joblib", "apache-hamilton", "kedro", "numpy", "pandas", "pyarrow"),
    *("boto3", "google-cloud-storage", "google-api-python-client", "moto", "gcp-storage-emulator"),
)


def interpreter(root: Path, name: str) -> Path:
    """Return the Python of the environment ``name`` below ``root``, made and filled if it is not as required."""
    folder, wanted = root / name, "\n".join(REQUIREMENTS[name])
    python, mark = folder / "bin" / "python", folder / "requirements.txt"
    if python.exists() and mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return python
    print(f"making the environment {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-qq", *REQUIREMENTS[name]], check=True, stdout=sys.stderr)
    # Written last: an environment that was interrupted half-way is made again.
    mark.write_text(wanted, encoding="utf-8")
    return python


def versions(python: Path) -> dict[str, str]:
    """Return what is installed beside ``python``."""
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
    listing = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True).stdout
    return dict(sorted(line.split("==", 1) for line in listing.splitlines()))
