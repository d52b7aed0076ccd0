"""A generated project works: it runs, runs only what is needed, takes new tasks, and passes its own checks."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command, World

pytestmark = pytest.mark.slow


@pytest.fixture
def project(default_project: Path, tmp_path: Path) -> Path:
    """A project of this test's own."""
    return Path(shutil.copytree(default_project, tmp_path / "project"))


@pytest.fixture(scope="module")
def ran(default_project: Path, tmp_path_factory: pytest.TempPathFactory, make: Command) -> Path:
    """A project whose pipeline has run; only to be added to."""
    project = Path(shutil.copytree(default_project, tmp_path_factory.mktemp("ran") / "project"))
    make(project, "run")
    return project


def outputs(project: Path) -> dict[Path, int]:
    """Return every output (not the logs) with the time when it was written."""
    found = (path for path in (project / "outputs").rglob("*") if path.is_file() and "log" not in path.parts)
    return {path.relative_to(project): path.stat().st_mtime_ns for path in found}


def test_run_computes_everything_once(ran: Path, make: Command) -> None:
    before = outputs(ran)
    names = sorted(re.sub(r"_[0-9a-f]{32}", "", str(path.relative_to("outputs"))) for path in before)
    assert names == [
        "features/test.parquet",
        "features/train.parquet",
        "model/metrics.json",
        "model/predictions.csv",
        "model/roc.png",
        "my_pipeline/tasks/model/train/TrainModel.pkl",
        "my_pipeline/tasks/model/train/TrainModel.pkl",
        "my_pipeline/tasks/model/validate/CrossValidate.json",
        *["my_pipeline/tasks/model/validate/ScoreFold.json"] * 6,
        "ranking.json",
    ]
    said = make(ran, "run").stdout.splitlines()
    assert re.fullmatch(r"Nothing to run: 15 tasks: 0 ran, 15 already complete \(\d+\.\d s\)", said[1])
    assert outputs(ran) == before


def test_metrics_and_picture_are_real(ran: Path) -> None:
    (metrics,) = (json.loads(path.read_text()) for path in (ran / "outputs" / "model").glob("metrics_*.json"))
    assert metrics.keys() == {"tree", "forest"}
    assert all(0.85 < scores["roc_auc"] < 1 for scores in metrics.values())
    (picture,) = (ran / "outputs" / "model").glob("roc_*.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_changed_parameter_runs_only_what_is_downstream(ran: Path, tmp_path: Path, make: Command) -> None:
    project = Path(shutil.copytree(ran, tmp_path / "project"))
    before = outputs(project)
    said = make(project, "run", "ARGS=TrainModel.max_depth=2").stdout
    started = re.findall(r"^\[\d+/12\] (\w+)\b.* done", said, re.MULTILINE)
    expected = ["TrainModel"] * 2 + ["ScoreFold"] * 6 + ["CrossValidate", "EvaluateModels", "PredictTumors", "RunAll"]
    assert sorted(started) == sorted(expected)
    assert "15 tasks: 12 ran, 3 already complete" in said
    after = outputs(project)
    assert {path: after[path] for path in before} == before
    assert "0 ran, 15 already complete" in make(project, "run").stdout


def test_prod_without_a_named_folder_keeps_to_its_own(project: Path, command: Command) -> None:
    said = command(project, sys.executable, "-m", "my_pipeline", "config", "--env", "prod").stdout
    assert re.search(r"workspace +outputs/prod/ +conf/prod/run.yaml:\d", said)


def test_awkward_answers_in_an_awkward_place_work_too(world: World, make: Command) -> None:
    folder = world.output / 'a b\'s "é" {{ x }} $HOME'
    folder.mkdir()
    text = 'Says """\\"😀" \'; $(touch pwned) `touch pwned` # %s {x} <b> &amp; ${oc.env:HOME}'
    answers = {"project_name": text, "description": text, "author": text, "package_name": "p" * 40}
    project = dataclasses.replace(world, output=folder).bake(answers)
    assert "15 tasks: 13 ran" in make(project, "run").stdout
    make(project, "new-task", "TASK=features.encode.EncodeColumns")
    make(project, "lint", "check-config", "notebook")
    assert "passed" in make(project, "test", "ARGS=tests/tasks/features tests/test_config.py").stdout
    assert (project / "outputs/notebooks/explore.ipynb").is_file()
    assert not list(world.root.rglob("pwned"))


def test_mistakes_are_refused_before_anything_runs(project: Path, make: Command) -> None:
    done = make(project, "run", "ARGS=TrainModel.max_deph=2", ok=False)
    assert "did you mean 'max_depth'?" in done.stderr
    assert make(project, "run", "ARGS=TrainModel.max_depth=deep", ok=False).returncode != 0
    assert not (project / "outputs").exists()


def test_new_task_fits_in_at_once(project: Path, make: Command) -> None:
    make(project, "new-task", "TASK=features.encode.EncodeColumns")
    make(project, "new-task", "TASK=report.weekly.SendMail")
    assert "Success: no issues found" in make(project, "types").stdout
    tests = "tests/tasks/features/test_encode.py tests/tasks/report tests/test_layout.py"
    assert "3 passed" in make(project, "test", f"ARGS={tests}").stdout
    assert make(project, "new-task", "TASK=features.encode.EncodeColumns", ok=False).returncode != 0
    assert "1 ran" in make(project, "run", "ARGS=EncodeColumns").stdout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            [
                lambda project: (project / "tests/tasks/model/test_train.py").unlink(),
                lambda project: (project / "conf/base/tasks/model/train.yaml").rename(
                    project / "conf/base/tasks/model/fit.yaml"
                ),
            ],
            ["tests/tasks/model/test_train.py", "conf/base/tasks/model/fit.yaml"],
        ),
        (
            [
                lambda project: (project / "src/my_pipeline/tasks/features/split.py").rename(
                    project / "src/my_pipeline/tasks/features/cut.py"
                )
            ],
            ["features.split"],
        ),
        (
            [
                lambda project: (project / "conf/ci/tasks/").mkdir() or _write(project, "conf/ci/tasks/x.yaml"),
                lambda project: _write(project, "conf/prod/logging.yaml", "level: LOUD\n"),
            ],
            ["x.yaml", "conf/prod/logging.yaml:1"],
        ),
    ],
    ids=["test gone and configuration renamed", "module renamed", "configuration of nothing and wrong value"],
)
def test_a_broken_mirror_fails_the_checks(
    project: Path, make: Command, changes: list[Callable[[Path], object]], said: list[str]
) -> None:
    for change in changes:
        change(project)
    done = make(project, "check-config", ok=False)
    assert done.returncode != 0
    assert [text for text in said if text not in done.stdout + done.stderr] == []
    tests = make(project, "test", "ARGS=-q tests/test_layout.py tests/test_config.py", ok=False)
    assert tests.returncode != 0


def _write(project: Path, name: str, text: str = "X: {}\n") -> None:
    (project / name).write_text(text)


def test_types_are_right_for_pyright_too(project: Path, command: Command) -> None:
    command(project, sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "src", "tests")


def test_tests_cannot_use_the_network(project: Path, make: Command) -> None:
    addresses = ("http://192.0.2.1", "http://localhost:9", "https://example.org")
    tests = [
        f"def test_{number}() -> None:\n    urllib.request.urlopen('{address}')\n"
        for number, address in enumerate(addresses)
    ]
    _write(project, "tests/test_net.py", "import urllib.request\n\n\n" + "\n\n".join(tests))
    said = make(project, "test", "ARGS=tests/test_net.py", ok=False).stdout
    assert len(re.findall(r"^E +RuntimeError: .*tests run without the network$", said, re.MULTILINE)) == 3


def test_the_worked_example_of_the_configuration_is_true(project: Path, command: Command) -> None:
    document = (project / "conf" / "README.md").read_text()
    lines_of_document = [line.split() for line in document.splitlines()]
    rows = re.findall(r"^\| `(conf/\S+)` \| `(\w+): \{(\w+): (\d)\}` \| (\d) \|$", document, re.MULTILINE)
    assert len(rows) == 3

    def shown(*words: str) -> list[str]:
        lines = command(project, sys.executable, "-m", "my_pipeline", "config", *words).stdout.splitlines()
        (line,) = (line.split() for line in lines if line.strip().startswith("max_depth"))
        return line

    assert shown() in lines_of_document
    for name, task, parameter, value, outcome in rows:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{task}:\n  {parameter}: {value}\n")
        assert shown() == ["max_depth", outcome, f"{name}:2"]
    assert shown("TrainModel.max_depth=2") in lines_of_document

    default = re.search(r"`parameter\(default=(\d)\)` \| (\d) \|", document)
    assert default is not None
    for name, *_ in rows:
        (project / name).write_text("TrainModel: {}\n")
    assert shown()[1] == default[1] == default[2]


def test_code_in_the_documents_is_what_tools_accept(project: Path, make: Command) -> None:
    document = (project / "docs" / "add-a-task.md").read_text()
    task, fan_out, test = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    assert fan_out.partition("class")[2] in (project / "src/my_pipeline/tasks/model/validate.py").read_text()
    make(project, "new-task", "TASK=features.encode.EncodeColumns")
    _write(
        project,
        "src/my_pipeline/tasks/features/encode.py",
        '"""Encode columns."""\n\nfrom collections.abc import Sequence\n\nimport pandas as pd\n'
        "from kart_runtime import parameter\n\nfrom my_pipeline.base import TaskOnKart\n"
        "from my_pipeline.tasks.features.split import SplitData\n\n\n"
        "def encode(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:\n"
        '    """Return the frame with dummies for these columns."""\n'
        f"    return pd.get_dummies(frame, columns=list(columns))\n\n\n{task}",
    )
    _write(project, "conf/base/tasks/features/encode.yaml", "EncodeColumns:\n  columns: [mean_radius]\n")
    _write(
        project,
        "tests/tasks/features/test_encode.py",
        '"""Tests of EncodeColumns."""\n\nfrom kart_runtime import build\n\n'
        f"from my_pipeline.tasks.features.encode import EncodeColumns\n\n\n{test}",
    )
    make(project, "lint")
    make(project, "types")
    make(project, "test", "ARGS=-q tests/tasks/features")
