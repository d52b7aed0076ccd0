"""A project keeps its production outputs where its answer says: in a folder, in S3, in Google Cloud Storage."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.runtime.servers import Proxy, environment, gcs_server, make_bucket, s3_server

if TYPE_CHECKING:
    from conftest import Command, World

ADD_A_STORE = (Path(__file__).parents[2] / "docs" / "how-to" / "add-a-store.md").read_text(encoding="utf-8")
SERVERS = {"s3": s3_server, "gcs": gcs_server}


@pytest.fixture(params=SERVERS)
def storage(request: pytest.FixtureRequest) -> str:
    """An answer that means an object store."""
    return str(request.param)


@pytest.fixture
def service(storage: str) -> Iterator[Proxy]:
    """The service, with a bucket."""
    with SERVERS[storage]() as proxy:
        make_bucket(proxy, "outputs")
        yield proxy


@pytest.fixture
def project(world: World, storage: str) -> Path:
    """A project with that answer."""
    return world.bake({"storage": storage})


@pytest.mark.slow
def test_a_project_runs_in_an_object_store_and_runs_nothing_the_second_time(
    project: Path, service: Proxy, make: Command
) -> None:
    variables = {**environment(service), "KART_BUCKET": "outputs"}
    words = ("run", "ARGS=--env prod")
    assert "15 tasks: 13 ran" in make(project, *words, **variables).stdout
    assert not (project / "outputs").exists()
    assert not (project / "resources").exists()
    service.reset()
    assert "Nothing to run: 15 tasks: 0 ran, 15 already complete" in make(project, *words, **variables).stdout
    assert service.count().keys() <= {"list", "head", "put", "get"}
    said = make(project, *words[:1], "ARGS=--env prod TrainModel.max_depth=2", **variables).stdout
    assert "15 tasks: 12 ran, 3 already complete" in said


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["s3"])
def test_production_may_read_its_data_from_the_bucket(
    project: Path, service: Proxy, make: Command, command: Command
) -> None:
    variables = {**environment(service), "KART_BUCKET": "outputs", "KART_DATA": "s3://outputs/data"}
    url = "s3://outputs/data/tumors.csv"
    code = f"import pandas, kart_runtime as k; k.make_target('{url}').dump(pandas.read_csv('data/tumors.csv'))"
    command(project, sys.executable, "-c", code, **variables)
    assert f"path  {url}" in re.sub(" +", "  ", make(project, "config", "ARGS=--env prod LoadData", **variables).stdout)
    assert "2 tasks: 1 ran, 1 already complete" in make(project, "run", "ARGS=--env prod SplitData", **variables).stdout
    command(project, sys.executable, "-c", code.replace("dump(", "dump(-"), **variables)
    done = make(project, "run", "ARGS=--env prod SplitData", ok=False, **variables)
    assert "column 'mean_radius': greater_than_or_equal_to(0) failed for 549" in done.stderr


@pytest.mark.slow
def test_a_folder_named_by_the_environment_is_the_workspace(world: World, make: Command) -> None:
    project = world.bake({"storage": "local"})
    workspace = world.root / "workspace"
    assert "15 tasks: 13 ran" in make(project, "run", "ARGS=--env prod", KART_WORKSPACE=str(workspace)).stdout
    assert len(list(workspace.glob("ranking_*.json"))) == 1
    assert not (project / "outputs").exists()


@pytest.mark.slow
def test_a_store_of_ones_own_is_added_as_the_documentation_says(world: World, make: Command) -> None:
    project = world.bake()
    package = project / "src" / "my_pipeline"
    store, known = re.findall(r"^```python\n(.*?)^```", ADD_A_STORE, re.MULTILINE | re.DOTALL)
    (package / "stores.py").write_text(store)
    (package / "__init__.py").write_text(known.replace("my_project", "my_pipeline"))
    (project / "conf" / "prod" / "run.yaml").write_text(re.findall(r"^workspace: .*\n", ADD_A_STORE, re.MULTILINE)[0])
    files = world.root / "team"
    variables = {"TEAM_FILES": f"file://{files}"}
    said = make(project, "run", "ARGS=--env prod --workers 2", **variables).stdout
    assert "15 tasks: 13 ran" in said
    assert len(list((files / "churn").glob("ranking_*.json"))) == 1
    assert "0 ran, 15 already complete" in make(project, "run", "ARGS=--env prod", **variables).stdout
    assert "RunAll" in make(project, "clean-outputs", "ARGS=--env prod --yes", **variables).stdout
    assert list((files / "churn").glob("ranking_*.json")) == []


def test_without_the_bucket_a_run_says_which_variable_to_set(project: Path, command: Command) -> None:
    done = command(project, sys.executable, "-m", "my_pipeline", "run", "--env", "prod", ok=False)
    assert done.returncode == 2
    assert "conf/prod/run.yaml:3: run.workspace: environment variable KART_BUCKET is not set" in done.stderr


def test_checks_need_no_bucket(project: Path, make: Command) -> None:
    assert "configuration: ok" in make(project, "check-config").stdout
    assert "passed" in make(project, "test", "ARGS=-q tests/test_config.py").stdout


def test_the_client_is_a_dependency(project: Path, storage: str) -> None:
    requirement = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"][0]
    assert requirement.startswith(f"kart-runtime[{','.join(sorted(['cli', 'pandas', 'pandera', storage]))}]")


@pytest.mark.parametrize("storage", ["s3", "gcs"])
def test_the_container_gets_what_it_needs_to_reach_the_bucket(world: World, make: Command, storage: str) -> None:
    project = world.bake({"storage": storage})
    variables = {"AWS_PROFILE": "me", "AWS_REGION": "here", "GOOGLE_APPLICATION_CREDENTIALS": "/keys/me.json"}
    said = make(project, "-n", "docker-run", **variables).stdout
    assert "--env KART_BUCKET" in said
    if storage == "s3":
        assert {"--env AWS_PROFILE", "--env AWS_REGION"} <= {f"--env {word}" for word in said.split()}
    else:
        assert '--volume "/keys/me.json:/key.json:ro"' in said
    assert "/outputs" not in (project / "Dockerfile").read_text()
