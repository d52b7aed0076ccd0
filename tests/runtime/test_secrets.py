"""What is secret is replaced by its value wherever it stands in a text, and nothing else is."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import logging
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict, deque, namedtuple
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import luigi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from luigi.parameter import ParameterVisibility

from kart_runtime import (
    BuildFailed,
    ListTaskInstanceParameter,
    SecretParameter,
    TaskInstanceParameter,
    TaskOnKart,
    build,
)
from kart_runtime.errors import ConfigError, ParameterValueError, described, trace_of
from kart_runtime.errors.credentials import without_credentials
from kart_runtime.errors.secret_sources import note_environment, note_variable
from kart_runtime.errors.secrets import forget_secrets, masked, masked_values, note_password, note_secret
from kart_runtime.task.object_labels import labels_of
from kart_runtime.task.parameters import Override, overriding
from kart_runtime.task.placeholders import InvalidPlaceholder
from kart_runtime.task.run_metadata import recorded_params, visible_params


@given(st.text(min_size=8).filter(lambda text: len(text.strip()) >= 8), st.text(), st.text())
def test_a_secret_is_found_in_every_form(secret, before, after):
    forget_secrets()
    note_secret(secret)
    secret = secret.strip()
    forms = (secret, quote(secret, safe=""), json.dumps(secret), repr(secret), f"token{secret}x")
    for form in forms:
        assert secret not in masked(f"{before}{form}{after}") or secret in f"{before}***{after}"
    assert secret not in json.dumps(masked_values({secret: [secret, {"a": (secret,)}], "n": 1}), ensure_ascii=False)


def test_a_short_secret_is_replaced_as_a_word_only():
    note_secret("prod")
    assert masked("prod of product: prod, (prod) x_prod https://prod.example/prod1") == (
        "*** of product: ***, (***) x_*** https://***.example/prod1"
    )


@pytest.mark.parametrize("value", ["", "abc", None, 12345678, b"bytes-bytes"])
def test_what_is_no_text_or_too_short_is_no_secret(value):
    note_secret(value)
    assert masked("abc 12345678 bytes-bytes") == "abc 12345678 bytes-bytes"


def test_secrets_in_lists_and_maps_and_lines_of_a_key():
    note_secret({"a": ["first-secret", ("second-secret",)], "b": "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n"})
    assert masked("first-secret second-secret") == "*** ***"
    assert masked("the key is MIIEvQIBADANBgkq") == "the key is ***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://me:pw@host:5/db, gone", "at postgresql://me:***@host:5/db, gone"),
        ("redis://:a%2Fb@h:1", "redis://:***@h:1"),
        ("s3://bucket/a@b and me@x.example:80", "s3://bucket/a@b and me@x.example:80"),
        ("https://x.example/a:b/c@d", "https://x.example/a:b/c@d"),
        ("two http://a:b@c http://d:e@f", "two http://a:***@c http://d:***@f"),
        ("postgresql://me:p@ss@w@host/db", "postgresql://me:***@host/db"),
    ],
)
def test_a_password_in_a_url_is_replaced(text, shown):
    assert masked(text) == shown


def test_a_password_in_a_configured_url_is_replaced_elsewhere_too():
    note_password("postgresql://me:pa%20ss-word@host/db")
    assert masked("no access with 'pa ss-word' or pa%20ss-word") == "no access with '***' or ***"


class Uses(TaskOnKart[int]):
    key = SecretParameter(default="Bearer ${oc.env:USES_KEY}")

    def run(self):
        self.dump(1)


def test_what_a_secret_parameter_returns_is_a_secret_from_then_on(monkeypatch):
    monkeypatch.setenv("USES_KEY", "abcdefgh1234")
    assert masked("abcdefgh1234") == "abcdefgh1234"
    assert Uses().key == "Bearer abcdefgh1234"
    error = ValueError("with abcdefgh1234", "Bearer abcdefgh1234")
    assert "abcdefgh" not in described(error) + trace_of(error)


def test_what_the_configuration_marks_is_a_secret(tmp_path):
    values = {"a": "configured-secret", "b": "8080", "c": "true", "d": str(tmp_path), "e": 123456789}
    overrides = {name: Override(value, "conf/base/x.yaml:1", secret=True) for name, value in values.items()}
    with overriding({Uses: {**overrides, "f": Override("plain-value", "conf/base/x.yaml:2")}}):
        text = f"configured-secret 8080 true {tmp_path} 123456789 plain-value"
        assert masked(text) == f"*** 8080 true {tmp_path} 123456789 plain-value"


# -- what is no secret ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        *("1", "true", "dev", "admin", "8080", "3.14", "", "production", "2026-01-31", "/usr", "eu-central-1"),
        *("localhost:5432", "s3://bucket/some/prefix", "http://mlflow.example:5000/", "postgresql://db.example/app"),
    ],
)
def test_words_numbers_dates_and_places_of_the_environment_are_no_secrets(value, monkeypatch):
    monkeypatch.setenv("SETTING", value)
    note_variable("SETTING", value)
    note_environment()
    assert masked(f"role=admin {value} on 8080 since 2026-01-31") == f"role=admin {value} on 8080 since 2026-01-31"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "hunter2"),
        ("SERVICE_TOKEN", "production"),
        ("GITHUB_PAT", "ghp_0123456789"),
        ("AWS_SESSION_TOKEN", "FwoGZXIvYXdzE"),
        ("SENTRY_DSN", "https://0a1b2c@sentry.example/1"),
        ("KART_SIGNING_KEY", "k1:00ff00ff"),
        ("DEPLOY_KEY", "abcdefgh1234"),
        *((name, "hunter2-abc") for name in ("PGPASSWORD", "SSHPASS", "dbPassword", "ACCESSTOKEN", "LDAP_BINDPW")),
        ("DB_PASSWORD2", "hunter2-abc"),
        ("AZURE_CREDENTIALS", '{"clientSecret": "hunter2-abc"}'),
    ],
)
def test_a_variable_whose_name_says_so_is_a_secret(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    note_environment()
    assert masked(f"with {value}") == "with ***" or masked(f"with {value}") == 'with {"clientSecret": "***"}'


def test_the_secret_in_a_connection_string_is_known_alone(monkeypatch):
    monkeypatch.setenv("DB_CONNECTION_STRING", "Server=db.example;User Id=reader;Password=hunter2-abc;Timeout=30")
    note_environment()
    assert masked("reader of db.example: hunter2-abc") == "reader of db.example: ***"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SORT_KEY", "customer_id"),
        ("TOKENIZERS_PARALLELISM", "enabled-always"),
        ("MAX_TOKENS", "4096"),
        ("PWD", "/some/where/else"),
        ("TOKEN_TYPE", "bearer-of-rings"),
        ("MLFLOW_EXPERIMENT_NAME", "churn-model-2"),
        ("BYPASS", "some-host-name"),
        ("DB_PASSWORD", "test"),
        ("tokenType", "bearer-of-rings"),
    ],
)
def test_a_variable_whose_name_says_nothing_is_none(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    note_environment()
    assert masked(f"with {value}") == f"with {value}"


def test_members_of_credentials_in_json_are_secrets_and_the_rest_is_not(monkeypatch):
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----\n"
    monkeypatch.setenv(
        "GCP_CREDENTIALS", json.dumps({"type": "service_account", "private_key": key, "id": "my-project"})
    )
    note_environment()
    assert masked("my-project service_account MIIEvQIBADANBgkq") == "my-project service_account ***"


@given(st.text(min_size=8).filter(lambda text: len(text.strip()) >= 8), st.binary(max_size=5))
def test_a_secret_is_found_inside_of_what_base64_makes_of_it(secret, before):
    forget_secrets()
    note_secret(secret)
    data = secret.strip().encode(errors="surrogatepass")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(before + data).decode()
        shown = masked(text)
        assert "***" in shown
        assert len(shown.replace("***", "").rstrip("=")) <= len(before) * 4 // 3 + 6
    assert masked(data.hex()) == "***"


def test_many_secrets_are_found_as_few_are():
    secrets = [f"user-{number:06}-x{number * 7}" for number in range(3000)]
    note_secret(secrets)
    text = " ".join(f"a {secret} b" for secret in secrets[::100])
    assert masked(text) == " ".join(["a *** b"] * 30)
    began = time.perf_counter()
    for _ in range(1000):
        masked(
            "a line of a log, which has a hundred characters or so, as most of them have, and holds no secret at all"
        )
    assert time.perf_counter() - began < 2  # looking for each of the 20,000 forms alone would take longer


def test_secrets_are_learned_while_other_threads_mask():
    errors = []

    def learn(name):
        try:
            for number in range(300):
                note_secret(f"{name}-secret-{number}")
                assert masked(f"x {name}-secret-{number}") == "x ***"
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=learn, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


# -- parameters that are not public -----------------------------------------------------------------------------------


class Hides(TaskOnKart[int]):
    hidden: str = luigi.Parameter(visibility=ParameterVisibility.HIDDEN)
    pin: int = luigi.IntParameter(default=0, visibility=ParameterVisibility.HIDDEN)
    private: str = luigi.Parameter(default="none", visibility=ParameterVisibility.PRIVATE)
    stage: str = luigi.Parameter(default="dev", visibility=ParameterVisibility.HIDDEN)

    def run(self):
        self.dump(self.pin)


@dataclasses.dataclass(frozen=True)
class Login:
    user: str
    word: str


class HidesObjects(TaskOnKart[int]):
    login = luigi.Parameter(default=Login("me-too", "dataclass-word"), visibility=ParameterVisibility.PRIVATE)
    raw = luigi.Parameter(default=b"bytes-word", visibility=ParameterVisibility.PRIVATE)
    ratio = luigi.FloatParameter(default=1234567.98765, visibility=ParameterVisibility.PRIVATE)
    place = luigi.Parameter(default=PurePosixPath("path-word/x"), visibility=ParameterVisibility.PRIVATE)


def test_objects_numbers_and_paths_that_are_not_public_are_known_by_their_texts():
    task = HidesObjects()
    text = f"{task.login.word} {task.raw.decode()} {task.ratio} {task.place}"
    assert masked(text) == "*** *** *** ***"


class Renews(TaskOnKart[int]):
    """Fetches a token, puts it into the environment, as many clients want it, and logs it."""

    fails: bool = luigi.BoolParameter(default=False)

    def run(self):
        os.environ["APP_TOKEN"] = f"renewed-{os.getpid()}-token"
        if self.fails:
            raise ValueError(os.environ["APP_TOKEN"])
        logging.getLogger("mine").warning("got %s", os.environ["APP_TOKEN"])
        self.dump(1)


@pytest.mark.parametrize("executor", ["serial", "processes"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_token_that_a_task_renews_is_masked_from_then_on(executor, fails, monkeypatch, capfd):
    monkeypatch.setenv("APP_TOKEN", "the-first-token")
    note_environment()
    with contextlib.suppress(BuildFailed) if fails else contextlib.nullcontext():
        build(Renews(fails=fails), executor=executor, return_value=False)
    kept = [path for path in Path("resources/log").rglob("*") if path.is_file()]
    assert any(b"***" in path.read_bytes() for path in kept)
    assert not any(b"renewed-" in path.read_bytes() for path in kept)
    assert "renewed-" not in "".join(capfd.readouterr())


Pair = namedtuple("Pair", "name word")


class LogsContainers(TaskOnKart[int]):
    def run(self):
        word = "secret-of-the-log"
        self.task_log["a"] = defaultdict(list, {"x": [word]})
        self.task_log["b"] = Pair("name", word)
        self.task_log["c"] = deque([word])
        self.task_log["d"] = ValueError(word)
        self.task_log["e"] = Login("me", word)
        self.task_log["f"] = word.encode()
        self.task_log["g"] = Pair("kept", "as it is")
        self.dump(1)


def test_containers_and_objects_in_the_log_of_a_task_show_no_secret():
    note_secret("secret-of-the-log")
    build(LogsContainers(), return_value=False)
    (path,) = Path("resources/log/task_log").iterdir()
    assert b"secret-of-the-log" not in path.read_bytes()
    log = pickle.loads(path.read_bytes())
    assert (log["a"], log["b"], log["g"]) == ({"x": ["***"]}, ("name", "***"), ("kept", "as it is"))
    assert log["e"] == "Login(user='me', word='***')"


class Holds(TaskOnKart[int]):
    task = TaskInstanceParameter()
    tasks = ListTaskInstanceParameter(default=[])
    text: str = luigi.Parameter(default="")

    def run(self):
        self.dump(1)


def test_parameters_that_are_not_public_are_shown_nowhere_and_ids_stay():
    task = Hides(hidden="hidden-value-1", pin=4711, private="private-value-2")
    holder = Holds(task=task, tasks=[task], text="passed hidden-value-1 in dev")
    assert Hides(hidden="hidden-value-1", pin=4712).make_unique_id() != task.make_unique_id()
    assert Hides(hidden="hidden-value-1", pin=4711).make_unique_id() == task.make_unique_id()
    shown = [repr(task), str(task), repr(holder), str(holder), *task.get_info().values(), *holder.get_info().values()]
    shown += [*visible_params(task).values(), *visible_params(holder).values(), *recorded_params(holder).values()]
    shown += [*labels_of(task).values(), *labels_of(holder).values()]
    text = re.sub("[0-9a-f]{32}", "", "\n".join(shown))
    assert not re.search(r"hidden-value-1|private-value-2|\b471[12]\b", text)
    assert visible_params(holder)["text"] == "passed *** in dev"
    assert task.param_kwargs["pin"] == 4711
    # which gokart gives, too: what is stored and what is shown are two things
    assert task.to_str_params(only_significant=True)["hidden"] == "hidden-value-1"


def test_a_refused_value_of_such_a_parameter_is_not_quoted():
    with pytest.raises(ParameterValueError) as caught:
        Hides(hidden="hidden-value-1", pin="wrong-value-4711")
    assert "wrong-value" not in str(caught.value)
    assert "***" in str(caught.value)


def test_a_task_is_restored_with_the_secret_that_it_has_now():
    task = Hides(hidden="hidden-value-1")
    build(task)
    unique_id = task.make_unique_id()
    with overriding({Hides: {"hidden": Override("hidden-value-1", "conf/base/x.yaml:1", secret=True)}}):
        assert Hides.restore(unique_id).make_unique_id() == unique_id
    with (
        overriding({Hides: {"hidden": Override("another-value-2", "conf/base/x.yaml:1", secret=True)}}),
        pytest.raises(ConfigError, match="hidden, pin, stage is secret, so it is not stored"),
    ):
        Hides.restore(unique_id)


def test_such_a_parameter_cannot_be_in_the_name_of_a_file():
    class Named(TaskOnKart[int]):
        region: str = luigi.Parameter(default="north", visibility=ParameterVisibility.HIDDEN)

        def output(self):
            return self.make_target("{region}.pkl")

    with pytest.raises(InvalidPlaceholder, match="'region' is secret"):
        Named().output()


# -- what Python prints, and what libraries log -----------------------------------------------------------------------


def test_errors_that_nobody_catches_and_warnings_are_masked(tmp_path):
    program = """
import os, sys, threading, warnings, luigi
from kart_runtime import TaskOnKart, build
class Fails(TaskOnKart[int]):
    def run(self):
        warnings.warn("warned of " + os.environ["API_TOKEN"])
        raise ValueError("with " + os.environ["API_TOKEN"]) from KeyError(os.environ["API_TOKEN"])
threading.Thread(target=lambda: 1 / 0).start()
try:
    build(Fails())
except Exception as error:
    thread = threading.Thread(target=lambda: int(os.environ["API_TOKEN"]))
    thread.start()
    thread.join()
    raise RuntimeError(os.environ["API_TOKEN"]) from error
"""
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    environment = {**os.environ, "API_TOKEN": "token-0011aabb"}
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 1
    assert "token-0011aabb" not in done.stdout + done.stderr
    for line in ("RuntimeError: ***", "ValueError: with ***", "KeyError: '***'", "warned of ***"):
        assert line in done.stderr
    assert "literal for int() with base 10: '***'" in done.stderr
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{'Authorization': b'AWS4-HMAC-SHA256 Credential=AK/x, Signature=ab'}", "{'Authorization': b'***'}"),
        ("x-amz-security-token:IQoJ\nhost:x", "x-amz-security-token:***\nhost:x"),
        ("GET /k?X-Amz-Signature=abc&a=1 HTTP/1.1", "GET /k?X-Amz-Signature=***&a=1 HTTP/1.1"),
        ('{"access_token": "ya29.x", "expires_in": 3599}', '{"access_token": "***", "expires_in": 3599}'),
        ("<SecretAccessKey>ab/c</SecretAccessKey>", "<SecretAccessKey>***</SecretAccessKey>"),
        (r"send: b'GET /\r\nAuthorization: Basic dTpw\r\nHost: x'", r"send: b'GET /\r\nAuthorization: ***\r\nHost: x'"),
        ("the signature: of f(x), host;x-amz-security-token", "the signature: of f(x), host;x-amz-security-token"),
    ],
)
def test_credentials_that_libraries_log_are_known_by_their_names(text, shown):
    assert without_credentials(text) == shown
