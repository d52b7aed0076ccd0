"""Thunderbolt 0.1, which gokart's users load results with, reads a workspace of kart: the real one, with its gokart.

It is installed into an environment of its own, since it brings another luigi task class under the name gokart.
"""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent

import luigi
import pandas as pd
import pytest

from kart_runtime import TaskOnKart, build

READ = """
    import json, sys
    from thunderbolt import Thunderbolt

    bolt = Thunderbolt(sys.argv[1])
    table = bolt.get_task_df(all_data=True)
    rows = table[["task_name", "task_params", "task_hash"]].to_dict("records")
    values = {name: bolt.get_data(name, top_k=2 if name == "Train" else 1) for name in set(table["task_name"])}
    print(json.dumps({"rows": rows, "values": values}, default=lambda frame: frame.to_dict("list")))
"""


class Load(TaskOnKart[pd.DataFrame]):
    suffix: str = luigi.Parameter(default=".csv", significant=False)

    def output(self):
        return self.make_target(f"data/rows{self.suffix}")

    def run(self):
        self.dump(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))


class LoadParquet(Load):
    suffix = ".parquet"


class Train(TaskOnKart[dict]):
    depth: int = luigi.IntParameter(default=2)

    def requires(self):
        return {"rows": Load(), "columns": LoadParquet()}

    def run(self):
        self.log_metric("loss", 0.5, step=0)
        self.log_metric("auc", 0.9)
        self.dump({"depth": self.depth, "rows": len(self.load("rows"))})


class Report(TaskOnKart[list]):
    def requires(self):
        return [Train(), Train(depth=3)]

    def output(self):
        return self.make_target("report.json")

    def run(self):
        self.dump([each["depth"] for each in self.load()])


@pytest.mark.slow
def test_thunderbolt_lists_the_tasks_and_loads_their_values(tmp_path):
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "-p", sys.executable, tmp_path / "env"], check=True)
    python = tmp_path / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([*uv, "pip", "install", "-q", "-p", python, "thunderbolt==0.1.*"], check=True)
    build(Report())

    script = [python, "-c", dedent(READ), "resources"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    tasks = [Load(), LoadParquet(), Train(), Train(depth=3), Report()]
    assert {row["task_hash"]: row["task_name"] for row in found["rows"]} == {
        task.make_unique_id(): type(task).__name__ for task in tasks
    }
    params = {row["task_hash"]: row["task_params"] for row in found["rows"]}
    assert params[Train(depth=3).make_unique_id()] == {"depth": "3"}
    frame = {"a": [1, 2], "b": ["x", "y"]}
    trained = found["values"].pop("Train")
    assert sorted(each["depth"] for each in trained) == [2, 3]
    as_gokart_reads_json = {"0": [2, 3]}
    assert found["values"] == {"Load": frame, "LoadParquet": frame, "Report": as_gokart_reads_json}
