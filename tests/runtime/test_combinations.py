"""Features together, as a project uses them: one pipeline in each executor, twice, with byte-identical results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PIPELINE = '''
import datetime
from pathlib import Path

import luigi
import pandas as pd

from kart_runtime import Published, TaskOnKart, configured, parameter, partitions

DAYS = (datetime.date(2026, 1, 1), datetime.date(2026, 1, 4))


class Daily(TaskOnKart[pd.DataFrame]):
    day: luigi.DateParameter = luigi.DateParameter()

    def output(self):
        return self.make_target("daily/{day}.parquet", use_unique_id=False)

    def run(self):
        self.dump(pd.DataFrame({"day": [str(self.day)] * 3, "x": [self.day.day * k for k in range(3)]}))


class Images(TaskOnKart[Path]):
    """A folder for each day."""

    day: luigi.DateParameter = luigi.DateParameter()

    def run(self):
        with self.folder() as path:
            (path / "image.txt").write_text(f"image of {self.day}")


class Split(TaskOnKart[dict[str, list[int]]]):
    test_size: float = parameter(default=0.25)

    def requires(self):
        return partitions(Daily, day=DAYS)

    def run(self):
        values = [int(x) for x in self.load_range(Daily, "day").concat().x]
        cut = int(len(values) * (1 - self.test_size))
        self.dump({"train": values[:cut], "test": values[cut:]})


class Train(TaskOnKart[Path]):
    """A folder model that resumes from scratch after its first try."""

    kind: str = parameter(default="mean")
    publish = "models/{kind}"
    retries = 1
    memory_gb = 1

    def requires(self):
        return {"split": Split(), "images": partitions(Images, day=DAYS)}

    def run(self):
        checkpoint = self.scratch() / "half"
        if not checkpoint.exists():
            checkpoint.write_text(str(sum(self.load("split")["train"])))
            raise ConnectionError("after the first half")
        texts = [path.joinpath("image.txt").read_text() for path in self.load("images")]
        with self.folder() as path:
            (path / "weights.txt").write_text(f"{self.kind} {checkpoint.read_text()} {len(texts)}")


class Score(TaskOnKart[float]):
    def requires(self):
        return Split()

    def run(self):
        rows = self.load()
        self.dump(sum(rows["test"]) / len(rows["test"]))


class Compare(TaskOnKart[dict[str, float]]):
    """The same sub-pipeline under other values."""

    def requires(self):
        found = {"default": Score()}
        for size in ("0.5", "0.75"):
            with configured(f"Split.test_size={size}"):
                found[size] = Score()
        return found

    def run(self):
        self.dump(self.load())


class Predict(TaskOnKart[str]):
    day: luigi.DateParameter = luigi.DateParameter()

    def requires(self):
        return [Published[Path]("models/mean"), Published[Path]("models/max"), Images(day=self.day)]

    def run(self):
        mean, best, images = self.load()
        texts = [(path / "weights.txt").read_text() for path in (mean, best)]
        self.dump(" ".join([*texts, str(len(list(images.iterdir())))]))


class History(TaskOnKart[Path]):
    """A folder that continues that of the day before."""

    day: luigi.DateParameter = luigi.DateParameter()
    resources = {"history": 1}

    def run(self):
        before = self.load_previous("day")
        lines = [] if before is None else (before / "days").read_text().split()
        with self.folder() as path:
            (path / "days").write_text(" ".join([*lines, str(self.day)]))


class ImageText(TaskOnKart[str]):
    """Folders of a range of days, by day."""

    def requires(self):
        return partitions(Images, day=DAYS)

    def run(self):
        found = self.load_range(Images, "day")
        self.dump(" ".join((path / "image.txt").read_text() for path in found.values()))
'''

PROGRAM = """
import sys
from pathlib import Path

from kart_runtime import build, partitions
from kart_runtime.project import open_project
from shop.tasks.pipeline import DAYS, Compare, History, ImageText, Predict, Train

if __name__ == "__main__":
    executor = sys.argv[1]
    options = {} if executor == "serial" else {"executor": executor, "workers": 2}
    with open_project(Path.cwd(), overrides=[f"run.workspace={executor}/"]):
        for turn in range(2):
            ran = []
            note = lambda event: ran.append(event.summary.ran) if hasattr(event, "summary") else None
            build([Train(kind="mean"), Train(kind="max"), Compare()], on_event=note, return_value=False, **options)
            build(partitions(History, day=DAYS), on_event=note, return_value=False, **options)
            values = build([*partitions(Predict, day=DAYS), ImageText()], on_event=note, **options)
            print(ran, values)
"""

CONF = {
    "pyproject.toml": '[tool.kart]\npackage = "shop"\n',
    "src/shop/__init__.py": "",
    "src/shop/tasks/__init__.py": "",
    "src/shop/tasks/pipeline.py": PIPELINE,
    "conf/base/run.yaml": "suffix_by_type: true\n",
    "program.py": PROGRAM,
}


def files_of(workspace: Path) -> dict[str, bytes]:
    """Return what tasks have stored, without what is another one in each run: names and lists of folders' files."""
    found = {}
    for path in workspace.rglob("*"):
        name = path.relative_to(workspace).as_posix()
        if path.is_file() and not name.startswith("log/") and path.suffix != ".folder":
            parts = [part for part in name.split("/") if not (len(part) == 16 and ".files/" in name)]
            found["/".join(parts)] = path.read_bytes()
    return found


def test_a_pipeline_gives_the_same_bytes_in_each_executor_and_runs_once(tmp_path):
    for name, text in CONF.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "KART_ENV_FILE": ""}
    executors = ("serial", "threads", "processes")
    command = [sys.executable, "-W", "ignore", "program.py"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    programs = {name: subprocess.Popen([*command, name], cwd=tmp_path, env=environment, **pipes) for name in executors}
    printed = {}
    for executor, program in programs.items():
        printed[executor], errors = program.communicate()
        assert program.returncode == 0, errors
        assert "changed" not in errors
    first, second = printed["serial"].splitlines()
    assert first.startswith("[17, 4, 5] [")
    assert "mean 18 4 max 18 4 1" in first
    assert second.startswith("[0, 0, 0] [")
    assert printed["threads"] == printed["processes"] == printed["serial"]
    stored = {executor: files_of(tmp_path / executor) for executor in printed}
    assert {Path(name).suffix for name in stored["serial"]} >= {".txt", ".json", ".parquet"}, "run.suffix_by_type"
    assert stored["threads"] == stored["serial"]
    assert stored["processes"] == stored["serial"]
    assert (tmp_path / "serial" / "models" / "mean.folder").is_file()
