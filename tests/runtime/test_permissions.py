"""What a run creates is readable as far as the user's umask says, and nowhere wider, not even for a moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, logging, os, stat, subprocess, sys, tempfile
from pathlib import Path

umask = int(sys.argv[1], 8)
os.umask(umask)
wider = []
sys.addaudithook(lambda event, args: event == "os.chmod" and args[1] & umask and wider.append(args))
os.umask = lambda mask: wider.append(("umask", mask)) or umask

import luigi
import pandas as pd
from kart_runtime import TaskOnKart, build
from kart_runtime.edits.files import replace


class Table(TaskOnKart[pd.DataFrame]):
    suffix: str = luigi.Parameter()

    def output(self):
        return self.make_target(f"table.{self.suffix}")

    def run(self):
        logging.getLogger("table").warning("told")
        self.log_metric("rows", 1.0, step=1)
        self.dump(pd.DataFrame({"a": [1]}))


class Folder(TaskOnKart[Path]):
    def output(self):
        return self.make_folder_target("folder")

    def run(self):
        source = Path(tempfile.mkdtemp())
        (source / "sub").mkdir()
        (source / "sub" / "tool.sh").write_text("#!/bin/sh")
        (source / "link.sh").symlink_to(source / "sub" / "tool.sh")
        subprocess.run(["chmod", "-R", "777", source], check=True)  # by another program, which the hook does not see
        self.dump(source)


build([*(Table(suffix=suffix) for suffix in ("pkl", "csv", "parquet", "json")), Folder()], locks="workspace")
replace(Path("new.txt"), b"text")
created = [path for top in ("resources", "cache", "new.txt") for path in (Path(top), *Path(top).rglob("*"))]
modes = {str(path): stat.S_IMODE(path.lstat().st_mode) for path in created if path.exists() and not path.is_symlink()}
wider += [(oct(mode), path) for path, mode in modes.items() if mode & umask]
print(json.dumps({"wider": wider, "modes": modes}, default=str))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_nothing_is_wider_than_the_umask(tmp_path):
    umask = "077"
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "KART_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "program.py", umask]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["wider"] == []
    modes, mask = seen["modes"], int(umask, 8)
    assert len(modes) > 20
    assert modes["new.txt"] == 0o666 & ~mask
    tools = [mode for name, mode in modes.items() if name.endswith((".sh",))]
    assert tools == [0o777 & ~mask] * 2  # the copies of one that everybody may execute, and write
