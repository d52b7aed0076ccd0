"""gokart's settings of S3 reach both kart's store and luigi's client."""

from __future__ import annotations

from pathlib import Path

import luigi
import pytest

import kart_runtime.gokart as gokart
from kart_runtime.gokart.s3_config import S3Config
from kart_runtime.gokart.target import make_target
from tests.runtime.servers import environment, make_bucket, s3_server

FILES = Path(__file__).parents[1] / "recorded" / "files"


@pytest.fixture(scope="module")
def service():
    with s3_server() as proxy:
        make_bucket(proxy, "bucket")
        yield proxy


@pytest.fixture
def own_names(service, monkeypatch):
    """The keys under names of the project's own, as its ini says; the usual names hold nothing."""
    variables = environment(service)
    for usual, own in (("AWS_ACCESS_KEY_ID", "TEAM_KEY"), ("AWS_SECRET_ACCESS_KEY", "TEAM_SECRET")):
        monkeypatch.delenv(usual, raising=False)
        monkeypatch.setenv(own, variables.pop(usual))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    config = luigi.configuration.get_config()
    config.set("S3Config", "aws_access_key_id_name", "TEAM_KEY")
    config.set("S3Config", "aws_secret_access_key_name", "TEAM_SECRET")


def test_defaults_are_the_usual_names():
    assert S3Config().aws_access_key_id_name == "AWS_ACCESS_KEY_ID"
    assert S3Config().aws_secret_access_key_name == "AWS_SECRET_ACCESS_KEY"


def test_luigis_client_and_the_store_read_what_the_other_wrote(own_names):
    client = S3Config().get_s3_client()
    assert S3Config().get_s3_client() is client
    client.put_string("by luigi", "s3://bucket/luigi.txt")
    assert make_target("s3://bucket/luigi.txt").load() == ["by luigi"]
    make_target("s3://bucket/kart.txt").dump("by kart")
    assert client.get_as_string("s3://bucket/kart.txt") == "by kart"


def test_without_boto3_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("kart_runtime.gokart.s3_config.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"Write kart-runtime\[s3\] into"):
        S3Config().get_s3_client()


# -- what gokart has stored there ------------------------------------------------------------------------------------


class Model(gokart.TaskOnKart[str]):
    workspace_directory = luigi.Parameter(default="s3://bucket/ws", significant=False)

    def output(self):
        return self.make_model_target("model.zip", save_function=_save, load_function=_load)

    def run(self):
        self.dump("again")


def _save(model, path):
    Path(path).write_text(model)


def _load(path):
    return Path(path).read_text() + Path(path.replace("model.pkl", "beside.txt")).read_text()


def test_a_model_that_gokart_has_stored_is_read_and_not_made_again(own_names, tmp_path):
    recorded = tmp_path / "model.zip"
    recorded.write_bytes((FILES / "model.zip").read_bytes())
    S3Config().get_s3_client().put(str(recorded), Model().output().path())
    assert Model().complete()
    assert gokart.build(Model()) == "model more"
