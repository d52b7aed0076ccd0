"""What a project is deployed with works: the image, cron, systemd, Kubernetes, Airflow, Dask, and messages on failure.

No container engine, cluster or service manager is needed: their files are checked by schemas and by their own tools,
and the commands in them are run.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

from tests.runtime.execution.executors.dask_clusters import cluster
from tests.runtime.servers import Proxy, environment, gcs_server, make_bucket, s3_server
from tests.template import image

if TYPE_CHECKING:
    from conftest import Command

HOME = "/srv/my-pipeline"
SERVERS = {"s3": s3_server, "gcs": gcs_server}
RAN = re.compile(r"\d+ tasks?: [1-9]\d* ran")
NONE_RAN = re.compile(r"Nothing to run: (\d+) tasks?: 0 ran, \1 already complete")


@pytest.fixture(scope="session", params=["local", "s3", "gcs"])
def baked(request: pytest.FixtureRequest, bake_shared: Any) -> tuple[str, Path]:
    """An answer for `storage`, and a project with it; only to be read."""
    return request.param, bake_shared(storage=request.param)


@pytest.fixture(scope="session")
def deployed(bake_shared: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as it is on a machine, with `.venv`, whose pipeline has run."""
    project = tmp_path_factory.mktemp("machine") / "project"
    shutil.copytree(bake_shared(storage="local"), project)
    (project / ".venv").symlink_to(sys.prefix)
    for path in (project / "deploy").rglob("*"):
        if path.is_file():
            path.write_text(path.read_text().replace(HOME, str(project)))
    return project


@pytest.fixture
def variables(deployed: Path) -> dict[str, str]:
    """The environment of the machine, without anything of the tests."""
    return {"PATH": os.environ["PATH"], "HOME": str(deployed.parent), "PYTHONPATH": str(deployed / "src")}


# -- messages --------------------------------------------------------------------------------------------------------


class Webhook(http.server.HTTPServer):
    """A service that takes messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.url = f"http://127.0.0.1:{self.server_port}/services/T0/secret"


class _Receiver(http.server.BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/json"
        self.server.messages.append(json.loads(body)["text"])
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """The service, listening."""
    with Webhook() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="deploy/notify.sh sends messages with curl")


def notify(project: Path, text: str, log: str, **variables: str) -> subprocess.CompletedProcess[str]:
    words = ["sh", "deploy/notify.sh", text]
    environ = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(words, input=log, cwd=project, env=environ, text=True, capture_output=True, check=False)


@needs_curl
def test_a_message_arrives_whatever_is_in_the_log(deployed: Path, webhook: Webhook) -> None:
    log = "quotes \" ' and \\ and $(date) and `date`\n\ttabs, ünïcode, %s\n"
    done = notify(deployed, "it failed", log, ALERT_WEBHOOK=webhook.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert webhook.messages == [f"it failed\n{log}".strip()]


@needs_curl
def test_the_address_of_the_webhook_is_in_no_output(deployed: Path, webhook: Webhook) -> None:
    webhook.status = 404
    done = notify(deployed, "it failed", "", ALERT_WEBHOOK=webhook.url)
    assert done.returncode != 0
    assert "404" in done.stderr
    assert "secret" not in done.stdout + done.stderr


def test_without_a_webhook_the_message_is_printed(deployed: Path) -> None:
    done = notify(deployed, "it failed", "the log\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "it failed\nthe log\n")


# -- the image -------------------------------------------------------------------------------------------------------


def test_the_dockerfile_is_in_order(baked: tuple[str, Path]) -> None:
    done = subprocess.run(["hadolint", "Dockerfile"], cwd=baked[1], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_context_is_what_the_image_needs_and_no_secret(tmp_path: Path, bake_shared: Any) -> None:
    project = Path(shutil.copytree(bake_shared(storage="local"), tmp_path / "project"))
    for name in (
        "uv.lock",
        ".env",
        "data/new_tumors.csv",
        "src/.env.prod",
        "conf/local/run.yaml",
        "data/tumors.csv",
        "data/huge.csv",
    ):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("")
    names = image.context(project)
    tops = {name.split("/", maxsplit=1)[0] for name in names}
    assert tops == {"conf", "data", "pyproject.toml", "src", "uv.lock", "vendor"}
    assert {"data/tumors.csv", "data/new_tumors.csv"} <= names.keys()
    assert not {".env", "src/.env.prod", "conf/local/run.yaml", "data/huge.csv"} & names.keys()


EDITS = {
    "src/my_pipeline/lib/models.py": ["COPY . ."],
    "src/my_pipeline/lib/new.py": ["COPY . ."],
    "conf/prod/run.yaml": ["COPY . ."],
    "data/tumors.csv": ["COPY . ."],
    "tests/test_config.py": [],
    "README.md": [],
    "outputs/ranking.json": [],
    ".env": [],
}


@pytest.mark.parametrize(("name", "rebuilt"), EDITS.items())
def test_an_edit_rebuilds_the_last_layer_at_most(
    tmp_path: Path, bake_shared: Any, name: str, rebuilt: list[str]
) -> None:
    project = Path(shutil.copytree(bake_shared(storage="local"), tmp_path / "project"))
    before = image.layers(project)
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    with (project / name).open("a") as file:
        file.write("# edited\n")
    changed = [text for (text, key), (_, old) in zip(image.layers(project), before, strict=True) if key != old]
    assert changed == rebuilt


def test_another_lock_installs_the_libraries_again(tmp_path: Path, bake_shared: Any) -> None:
    project = Path(shutil.copytree(bake_shared(storage="local"), tmp_path / "project"))
    before = dict(image.layers(project))
    (project / "uv.lock").write_text("")
    changed = [text for text, key in image.layers(project) if key != before[text]]
    assert any("uv sync --locked" in text for text in changed)
    assert not any("pip install" in text for text in changed)  # uv itself is there


def fake(folder: Path, program: str, file: Path) -> str:
    """Write a program that appends its arguments to a file, one a line; return a PATH where it is first."""
    folder.mkdir(exist_ok=True)
    (folder / program).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{file}"\n')
    (folder / program).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def fake_docker(folder: Path) -> dict[str, str]:
    """Return variables with a `docker` that writes down its arguments."""
    return {"PATH": fake(folder / "bin", "docker", folder / "words"), "DOCKER_WORDS": str(folder / "words")}


def words_of(variables: dict[str, str]) -> list[str]:
    """Return the arguments of the last `docker run`."""
    command, *words = Path(variables["DOCKER_WORDS"]).read_text().splitlines()
    assert command == "run"
    return words


@pytest.mark.parametrize("lock", [True, False], ids=["lock", "no-lock"])
def test_the_lock_is_used_where_it_is(tmp_path: Path, bake_shared: Any, lock: bool) -> None:
    (install,) = [rest for _, rest in image.instructions(bake_shared(storage="local") / "Dockerfile") if "sync" in rest]
    path = fake(tmp_path / "bin", "uv", tmp_path / "words")
    if lock:
        (tmp_path / "uv.lock").write_text("")
    environ = {"PATH": path}
    done = subprocess.run(["sh", "-c", install], cwd=tmp_path, env=environ, text=True, capture_output=True, check=True)
    assert ("--locked" in (tmp_path / "words").read_text().split()) == lock
    assert {"sync", "--no-dev", "--no-install-project"} <= set((tmp_path / "words").read_text().split())
    assert ("There is no uv.lock" in done.stdout) == (not lock)


@pytest.mark.slow
def test_the_image_is_built_and_runs(tmp_path: Path, bake_shared: Any, make: Command) -> None:
    project = Path(shutil.copytree(bake_shared(storage="local"), tmp_path / "project"))
    subprocess.run([sys.executable, "-m", "uv", "lock", "--quiet"], cwd=project, check=True)
    built = image.build(project, tmp_path / "image")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", built.user)
    metadata = Path(built.path("/venv/")).glob("lib/*/site-packages/*.dist-info")
    libraries = {path.name.partition("-")[0] for path in metadata}
    assert {"kart_runtime", "pandas", "scikit_learn"} <= libraries
    assert not {"pytest", "ruff", "mypy", "ipykernel", "uv", "cruft", "my_pipeline"} & libraries

    docker = fake_docker(tmp_path)
    make(project, "docker-run", **docker)
    assert (project / "outputs").is_dir()  # made by the caller, so not by the engine as root
    words = words_of(docker)
    assert words[words.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
    first, second = (image.docker_run(built, words, {}) for _ in range(2))
    assert RAN.search(first.stdout), first.stdout + first.stderr
    assert NONE_RAN.search(second.stdout)
    assert list((project / "outputs").glob("ranking_*.json"))


@pytest.mark.parametrize("storage", ["s3", "gcs"])
def test_a_container_needs_no_credentials_but_the_machines_own(
    tmp_path: Path, bake_shared: Any, make: Command, storage: str
) -> None:
    docker = fake_docker(tmp_path)
    nothing = {"HOME": str(tmp_path), "GOOGLE_APPLICATION_CREDENTIALS": "", "KART_BUCKET": "b"}
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        nothing[name] = ""
    make(bake_shared(storage=storage), "docker-run", **docker, **nothing)
    words = words_of(docker)
    assert "--volume" not in words
    assert words[words.index("--env") + 1] == "KART_BUCKET"
    assert not [word for word in words if "key.json" in word or word.endswith("_FILE") or word == "AWS_CA_BUNDLE"]


@pytest.mark.parametrize(
    ("storage", "folder", "inside"), [("s3", ".aws", "/tmp/.aws"), ("gcs", ".config/gcloud", "/tmp/.config/gcloud")]
)
def test_a_container_has_the_credentials_in_the_home_of_the_caller(
    tmp_path: Path, bake_shared: Any, make: Command, storage: str, folder: str, inside: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    docker = fake_docker(tmp_path)
    project = Path(shutil.copytree(bake_shared(storage=storage), tmp_path / "project"))
    (project / ".env").write_text("KART_BUCKET=b\n")
    make(project, "docker-run", **docker, HOME=str(tmp_path))
    assert {f"{tmp_path / folder}:{inside}:ro", f"{project}/.env:/app/.env:ro"} <= set(words_of(docker))
    assert image.read(project, tmp_path / "image").environment["HOME"].endswith("/tmp")


@pytest.mark.slow
@pytest.mark.parametrize("storage", SERVERS)
def test_the_container_and_the_job_of_a_cluster_reach_the_bucket(
    tmp_path: Path, bake_shared: Any, make: Command, storage: str
) -> None:
    project = bake_shared(storage=storage)
    machine = image.read(project, tmp_path / "image")
    with SERVERS[storage]() as service:
        make_bucket(service, "outputs")
        docker = fake_docker(tmp_path)
        given = {**environment(service), "KART_BUCKET": "outputs"}
        make(project, "docker-run", "ARGS=SplitData", **docker, **given, HOME=str(tmp_path))
        first = _in_project(machine, project, words_of(docker), given)
        assert RAN.search(first.stdout), first.stdout + first.stderr
        assert f"{storage.replace('gcs', 'gs')}://outputs/" in first.stdout
        second = _start_pod(machine, project, _pod(_manifest(project, "job")), service)
        assert NONE_RAN.search(second.stdout), second.stdout + second.stderr


def _in_project(
    machine: image.Image, project: Path, words: list[str], environ: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    machine.workdir = str(project)
    names = [words[at + 1] for at, word in enumerate(words) if word == "--env"]
    variables = {name: environ[name] for name in names if name in environ}
    return machine.start(words[words.index("my-pipeline") + 1 :], variables, workdir=project)


# -- Kubernetes ------------------------------------------------------------------------------------------------------


def _manifest(project: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((project / f"deploy/kubernetes/{name}.yaml").read_text())
    return content


def _pod(manifest: dict[str, Any]) -> dict[str, Any]:
    spec = manifest["spec"]
    job = spec["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else spec
    pod: dict[str, Any] = job["template"]["spec"]
    return pod


def _start_pod(
    machine: image.Image, project: Path, pod: dict[str, Any], service: Proxy
) -> subprocess.CompletedProcess[str]:
    """Run a task in the container of a pod; the secret holds what reaches the service."""
    (container,) = pod["containers"]
    variables = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    assert variables.pop("KART_BUCKET") == "my-bucket"
    variables |= {**environment(service), "KART_BUCKET": "outputs"}
    return machine.start([*container["args"], "SplitData"], variables, workdir=project)


def test_manifests_are_valid_and_ask_for_no_privilege(baked: tuple[str, Path]) -> None:
    storage, project = baked
    names = {path.stem for path in (project / "deploy/kubernetes").iterdir()}
    assert names == {"job", "cronjob"} | ({"volume"} if storage == "local" else set())
    for name in names:
        kubernetes_validate.validate(_manifest(project, name), kubernetes_validate.latest_version(), strict=True)
    job, cronjob = _manifest(project, "job"), _manifest(project, "cronjob")
    assert _pod(job) == _pod(cronjob)
    assert cronjob["spec"]["concurrencyPolicy"] == "Forbid"
    assert job["spec"]["backoffLimit"] == cronjob["spec"]["jobTemplate"]["spec"]["backoffLimit"]
    (container,) = _pod(job)["containers"]
    assert _pod(job)["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["resources"].keys() == {"requests", "limits"}


def test_a_pod_can_write_where_the_image_wants_to(baked: tuple[str, Path], tmp_path: Path) -> None:
    storage, project = baked
    machine = image.read(project, tmp_path)
    pod = _pod(_manifest(project, "job"))
    (container,) = pod["containers"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    wanted = {machine.environment["HOME"], machine.environment.get("KART_WORKSPACE")} - {None}
    assert {machine.path(path) for path in mounts} == wanted
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    if storage == "local":
        claims = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if "emptyDir" not in volume]
        assert claims == [_manifest(project, "volume")["metadata"]["name"]]
    else:
        assert "secret" in json.dumps(pod).lower()
        assert '"optional": true' in json.dumps(pod)  # a role is enough


# -- a machine -------------------------------------------------------------------------------------------------------


def cron_line(project: Path) -> str:
    """Return the command of the only line of the file for /etc/cron.d, and check the rest of it."""
    (path,) = [path for path in (project / "deploy/cron").iterdir() if path.suffix != ".sh"]
    text = path.read_text()
    assert re.fullmatch("[a-z0-9-]+", path.name)  # cron ignores other names
    assert text.endswith("\n")
    (line,) = [line for line in text.splitlines() if not line.startswith("#")]
    *times, user, command = line.split(maxsplit=6)
    assert all(re.fullmatch(r"[\d*/,-]+", part) for part in times)
    assert user == "my-pipeline"
    assert "%" not in command  # cron's end of line
    return command


def by_cron(project: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = ["sh", "-c", cron_line(project)]  # in the home of the user, as cron does
    return subprocess.run(words, cwd="/", env=variables, text=True, capture_output=True, check=False)


needs_flock = pytest.mark.skipif(shutil.which("flock") is None, reason="the script for cron locks with flock")


@pytest.mark.slow
@needs_flock
def test_the_line_for_cron_runs_the_pipeline_and_its_log_says_so(deployed: Path, variables: dict[str, str]) -> None:
    for expected in (re.compile(r"\d+ tasks: "), NONE_RAN):
        done = by_cron(deployed, variables)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert expected.search((deployed / "outputs/cron.log").read_text())


@needs_flock
@needs_curl
def test_a_run_by_cron_that_fails_sends_its_log_and_keeps_its_exit_code(
    deployed: Path, tmp_path: Path, variables: dict[str, str], webhook: Webhook
) -> None:
    project = Path(shutil.copytree(deployed, tmp_path / "project", symlinks=True))
    (project / "deploy/cron/my-pipeline").write_text(
        (project / "deploy/cron/my-pipeline").read_text().replace(str(deployed), str(project))
    )
    (project / ".env").write_text(f"OTHER=a b; exit 9\nALERT_WEBHOOK='{webhook.url}'\n")
    (project / "conf/prod/run.yaml").write_text("workspacee: outputs/\n")
    done = by_cron(project, variables)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    (message,) = webhook.messages
    assert message.startswith("my-pipeline failed on ")
    assert "exit code 2" in message
    assert "run.workspacee" in message
    assert "secret" not in (project / "outputs/cron.log").read_text()

    with subprocess.Popen(["flock", str(project / "outputs/cron.lock"), "sh", "-c", "echo; read _"], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:  # fmt: skip
        assert other.stdout is not None
        other.stdout.readline()
        assert by_cron(project, variables).returncode == 75
        other.communicate("\n")
    assert "the run before it is not finished" in webhook.messages[1]


def unit(project: Path, name: str) -> dict[str, list[str]]:
    """Return the settings of a unit."""
    settings: dict[str, list[str]] = {}
    for line in (project / "deploy/systemd" / name).read_text().splitlines():
        key, found, value = line.partition("=")
        if found:
            settings.setdefault(key, []).append(value)
    return settings


def test_units_are_valid(deployed: Path, tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    names = [str(path) for path in (deployed / "deploy/systemd").iterdir()]
    assert len(names) == 3
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    words = [verify, "verify", "--man=no", *names]
    done = subprocess.run(words, env=environ, text=True, capture_output=True, check=False)
    assert "my-pipeline" not in done.stderr, done.stderr
    assert done.returncode == 0


def test_the_timer_starts_the_service_whose_failure_starts_the_message(deployed: Path) -> None:
    names = {path.name for path in (deployed / "deploy/systemd").iterdir()}
    assert {"my-pipeline.timer", "my-pipeline.service"} <= names  # a timer starts the service of its name
    assert set(unit(deployed, "my-pipeline.service")["OnFailure"]) <= names
    assert unit(deployed, "my-pipeline.timer")["WantedBy"] == ["timers.target"]


@pytest.mark.slow
def test_the_service_runs_the_pipeline(deployed: Path, variables: dict[str, str]) -> None:
    service = unit(deployed, "my-pipeline.service")
    (command,), (folder,) = service["ExecStart"], service["WorkingDirectory"]
    done = subprocess.run(command.split(), cwd=folder, env=variables, text=True, capture_output=True, check=False)
    assert re.search(r"\d+ tasks: ", done.stdout), done.stderr
    assert done.returncode == 0


@needs_curl
def test_a_service_that_fails_sends_the_end_of_its_journal(
    deployed: Path, tmp_path: Path, variables: dict[str, str], webhook: Webhook
) -> None:
    (tmp_path / "journalctl").write_text('#!/bin/sh\necho "the journal of $2"\n')
    (tmp_path / "journalctl").chmod(0o755)
    service = unit(deployed, "my-pipeline-failed.service")
    (command,), (folder,) = service["ExecStart"], service["WorkingDirectory"]
    environ = {**variables, "PATH": f"{tmp_path}{os.pathsep}{variables['PATH']}", "ALERT_WEBHOOK": webhook.url}
    subprocess.run(["sh", "-c", command.replace("%H", "machine-7")], cwd=folder, env=environ, check=True)
    assert webhook.messages == ["my-pipeline failed on machine-7\nthe journal of my-pipeline.service"]


# -- Airflow and Dask ------------------------------------------------------------------------------------------------


def operators(project: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what the DAG file gives to Airflow's DAG and to its operators, without Airflow."""
    dags: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []

    class DAG:
        def __init__(self, dag_id: str, **options: Any) -> None:
            dags.append({"dag_id": dag_id, **options})

        def __enter__(self) -> DAG:
            return self

        def __exit__(self, *_: object) -> None: ...

    sdk, bash = types.ModuleType("airflow.sdk"), types.ModuleType("airflow.providers.standard.operators.bash")
    sdk.DAG = DAG  # type: ignore[attr-defined]
    bash.BashOperator = lambda **options: found.append(options)  # type: ignore[attr-defined]
    for module in (sdk, bash):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("airflow", "airflow.providers", "airflow.providers.standard", "airflow.providers.standard.operators"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    exec(compile((project / "deploy/airflow_dag.py").read_text(), "airflow_dag.py", "exec"), {})
    (dag,) = dags
    return dag, found


@pytest.mark.slow
def test_the_command_of_the_airflow_dag_runs_the_pipeline(
    deployed: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    dag, (operator,) = operators(deployed, monkeypatch)
    assert dag["dag_id"] == "my_pipeline"
    assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)
    words = ["bash", "-c", operator["bash_command"]]
    done = subprocess.run(words, cwd=operator["cwd"], env=variables, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ tasks: ", done.stdout)


@pytest.mark.slow
def test_the_pipeline_runs_on_a_dask_cluster(deployed: Path, tmp_path: Path, command: Command) -> None:
    document = (deployed / "docs/deploy.md").read_text()
    (line,) = re.findall(r"^\.venv/bin/(python .* --address) tcp://\S+$", document, re.MULTILINE)
    with cluster(tmp_path / "cluster") as dask:
        words = [*line.split(), dask.address, f"run.workspace={tmp_path}/outputs/", "SplitData"]
        done = command(deployed, *words)
        assert RAN.search(done.stdout)


# -- the document ----------------------------------------------------------------------------------------------------


def test_the_document_tells_of_every_file_and_of_the_variables(baked: tuple[str, Path]) -> None:
    storage, project = baked
    document = (project / "docs/deploy.md").read_text()
    for folder in {path.parent for path in (project / "deploy").rglob("*") if path.is_file()}:
        assert folder.relative_to(project).as_posix() in document
    names = {"s3": ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"], "gcs": ["STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_"]}
    for other, variables in names.items():
        for name in [*variables, "KART_BUCKET"] if other == storage else variables:
            assert (name in document) == (other == storage), name
            assert (name in (project / "README.md").read_text()) == (other == storage), name
    assert re.findall(r"^#+ .*\n\n(?!\n)", document, re.MULTILINE)
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert "dask" in extras["optional-dependencies"]  # which the document tells to add
