"""What a store makes of a network and a service that fail: time limits, retries, refusals, interruptions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import ConfigError, RequestFailed
from kart_runtime.storage import time_limits
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import upload
from kart_runtime.storage.stores.threads import RequestThreads
from tests.runtime.network_faults import THROTTLED
from tests.runtime.servers import Given


class Number(TaskOnKart[int]):
    def run(self):
        self.dump(7)


@pytest.fixture
def store(bucket, short_tries):
    return store_for(bucket.url)[0]


def operations(store, name):
    """Each operation of a store, with the right that S3, and GCS, ask for."""
    key = f"{name}/ws/x"
    return {
        "stat": (lambda: store.stat(key), "GetObject", "storage.objects.get"),
        "read": (lambda: store.open(key).close(), "GetObject", "storage.objects.get"),
        "put": (lambda: store.put(key, b"1"), "PutObject", "storage.objects.create"),
        "create": (lambda: store.create(f"{key}-new", b"1"), "PutObject", "storage.objects.create"),
        "list": (lambda: list(store.list(f"{name}/ws")), "ListBucket", "storage.objects.list"),
        "page": (lambda: store.page(f"{name}/ws/"), "ListBucket", "storage.objects.list"),
        "delete": (lambda: store._delete(key), "DeleteObject", "storage.objects.delete"),
        "copy": (lambda: store.copy(key, f"{key}-2"), "GetObject", "storage.objects.get"),
    }


OPERATIONS = ("stat", "read", "put", "create", "list", "page", "delete", "copy")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_eight_failures_in_a_row_are_survived_by_each_operation(store, bucket, operation):
    store.put(f"{bucket.name}/ws/x", b"1")
    ask = operations(store, bucket.name)[operation][0]
    for how in (*THROTTLED, "reset"):
        bucket.proxy.reset()
        bucket.proxy.fail(how, times=8)
        ask()
        assert sum(bucket.proxy.delivered.values()) == 8
        if operation == "create":
            store._delete(f"{bucket.name}/ws/x-new")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_refusal_is_told_at_once_with_the_missing_right(store, bucket, operation):
    store.put(f"{bucket.name}/ws/x", b"1")
    bucket.proxy.reset()
    ask, s3_right, gcs_right = operations(store, bucket.name)[operation]
    bucket.proxy.fail("403 AccessDenied", times=1)
    with pytest.raises(RequestFailed) as caught:
        ask()
    assert sum(bucket.proxy.delivered.values()) == 1
    right = gcs_right if bucket.url.startswith("gs") else f"s3:{s3_right}"
    assert f"lack the right {right}" in str(caught.value)
    assert bucket.name in str(caught.value)


@pytest.mark.parametrize("page", [b"<html><body>Please log in to the network</body></html>", b""])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_login_page_is_no_answer_of_the_service(store, bucket, operation, page, monkeypatch):
    if operation == "delete" and not page:
        pytest.skip("the answer to it is empty")
    key = f"{bucket.name}/ws/x"
    store.put(key, b"1")
    ask = operations(store, bucket.name)[operation][0]
    with monkeypatch.context() as patched:
        patched.setattr(bucket.proxy, "answer", lambda _: Given(200, {"Content-Type": "text/html"}, page))
        with pytest.raises(RequestFailed, match="a proxy or a login page") as caught:
            ask()
    assert bucket.proxy.url in str(caught.value)
    assert store.stat(key) is not None


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ("403 RequestTimeTooSkewed", "clock of this machine"),
        ("400 ExpiredToken", "have expired"),
        ("403 SignatureDoesNotMatch", "Check the credentials"),
        ("401 Unauthorized", "Check the credentials"),
        ("301 PermanentRedirect", "AWS_DEFAULT_REGION to the region of the bucket"),
        ("307", "AWS_DEFAULT_REGION to the region of the bucket"),
    ],
)
def test_other_refusals_say_what_to_do(s3_bucket, answer, hint):
    s3_bucket.proxy.fail(answer, times=None)
    store = store_for(s3_bucket.url)[0]
    for ask in (lambda: store.stat(f"{s3_bucket.name}/x"), lambda: store.put(f"{s3_bucket.name}/x", b"")):
        with pytest.raises(RequestFailed, match=hint):
            ask()
    assert 0 < sum(s3_bucket.proxy.delivered.values()) < 10


def test_a_redirect_to_a_region_that_the_bucket_tells_is_followed(s3_bucket):
    store = store_for(s3_bucket.url)[0]
    s3_bucket.proxy.fail("301 PermanentRedirect", "put")
    store.put(f"{s3_bucket.name}/x", b"1")
    assert s3_bucket.proxy.delivered == {("301 PermanentRedirect", "put"): 1}


def test_a_head_that_is_refused_is_explained_by_a_list(s3_bucket):
    store = store_for(s3_bucket.url)[0]
    s3_bucket.proxy.fail("403", times=None)
    with pytest.raises(RequestFailed, match=r"lack the right s3:ListBucket on arn:aws:s3:::bucket"):
        store.stat(f"{s3_bucket.name}/missing")


def test_a_plan_that_is_refused_computes_nothing_again(bucket):
    task = Number(workspace_directory=bucket.url)
    assert build(task) == 7
    bucket.proxy.reset()
    bucket.proxy.fail("403 AccessDenied", times=None)
    with pytest.raises(RequestFailed, match="lack the right"):
        build(Number(workspace_directory=bucket.url))
    assert not bucket.proxy.count()["put"]


@pytest.mark.parametrize("how", ["lost", "lost reset"])
def test_a_conditional_write_whose_answer_is_lost_is_recognized(store, bucket, how):
    key = f"{bucket.name}/ws/lock"
    bucket.proxy.fail(how, "put")
    version = store.create(key, b"mine")
    assert version == store.stat(key).version
    assert store.create(key, b"another's") is None
    bucket.proxy.reset()
    bucket.proxy.fail(how, "put")
    version = store.replace(key, b"mine, later", version)
    assert version == store.stat(key).version
    assert bucket.proxy.delivered


def test_bytes_that_changed_on_their_way_are_downloaded_again(bucket):
    task = Number(workspace_directory=bucket.url)
    build(task, return_value=False)
    bucket.proxy.reset()
    bucket.proxy.fail("corrupt", "get", matching="Number_")
    assert build(Number(workspace_directory=bucket.url), value_cache_mb=0) == 7
    assert bucket.proxy.delivered == {("corrupt", "get"): 1}


@pytest.mark.parametrize("how", ["silent", "stall"])
def test_silence_ends_in_time_and_the_next_operations_wait_less(bucket, how):
    store = store_for(bucket.url)[0]
    store.put(f"{bucket.name}/x", bytes(1000))
    bucket.proxy.fail(how, times=None)
    with time_limits.using_network_timeout(1.5):
        times = []
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(RequestFailed, match=r"run\.network_timeout"):
                store.open(f"{bucket.name}/x")
            times.append(time.monotonic() - began)
    assert sum(bucket.proxy.delivered.values()) >= 2
    bucket.proxy.reset()
    assert times[0] < 12  # at most 1.5 s, and what a loaded machine takes to make a client
    assert times[1] < 6  # a tenth of them
    store.put(f"{bucket.name}/x", b"")  # an answer ends the short times
    assert ("s3" if bucket.url.startswith("s3") else "gcs") not in time_limits._silent


def test_a_slow_answer_that_goes_on_is_no_silence(bucket):
    store = store_for(bucket.url)[0]
    store.put(f"{bucket.name}/x", bytes(40_000))
    bucket.proxy.trickle = (2000, 0.1)
    bucket.proxy.fail("slow", "get")
    with time_limits.using_network_timeout(1.5), store.open(f"{bucket.name}/x") as file:
        assert file.read() == bytes(40_000)
    assert bucket.proxy.delivered == {("slow", "get"): 1}


def test_log_files_that_are_refused_cost_one_warning(bucket, caplog):
    bucket.proxy.fail("403 AccessDenied", "put", times=None, matching="ws/log/")
    assert build([Number(workspace_directory=f"{bucket.url}/ws")]) == [7]
    warnings = [each.getMessage() for each in caplog.records if "Outputs are not affected" in each.getMessage()]
    assert len(warnings) == 1
    assert ("s3:PutObject" if bucket.url.startswith("s3") else "storage.objects.create") in warnings[0]
    assert bucket.proxy.delivered["403 AccessDenied", "put"] > 1
    assert sum("are not in" in each.getMessage() for each in caplog.records) == 1


HANGING = """
import sys
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import upload
upload.PART = 256 << 10
store, folder = store_for(sys.argv[1])
print("ready", flush=True)
with store.write(f"{folder}/x") as file:
    file.write(bytes(1 << 20))
"""


def test_ctrl_c_ends_an_upload_that_hangs(bucket):
    bucket.proxy.fail("silent", "put", times=None)
    process = subprocess.Popen([sys.executable, "-c", HANGING, f"{bucket.url}/ws"], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not bucket.proxy.delivered and time.monotonic() < deadline:
            time.sleep(0.05)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
        assert time.monotonic() - began < 10  # of a loaded machine; silence lasts 27 s
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan")])
def test_a_limit_that_is_none_is_refused(value, monkeypatch):
    with pytest.raises(ConfigError, match="network_timeout"):
        build(Number(), network_timeout=value)
    monkeypatch.setenv("KART_NETWORK_TIMEOUT", str(value))
    with pytest.raises(ConfigError, match="KART_NETWORK_TIMEOUT"):
        time_limits.network_timeout()


def test_the_limits_add_up():
    for total in (1.0, 60.0, 600.0):
        limits = time_limits.limits_for(total)
        assert limits.connect + limits.silence + limits.tries == pytest.approx(total)
        assert limits.silence < limits.tries
        assert sum(limits.pause(number) for number in range(1, 9)) < limits.tries


def test_threads_end_without_being_waited_for():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), RequestThreads(2, "test") as threads:
        for _ in range(5):
            threads.submit(time.sleep, 5)
        raise KeyboardInterrupt
    assert time.monotonic() - began < 4
    with RequestThreads(2, "test") as threads:
        assert list(threads.map(abs, [-1, -2, -3])) == [1, 2, 3]


def test_a_large_object_is_one_upload_of_parts(s3_bucket, monkeypatch):
    monkeypatch.setattr(upload, "PART", 1000)
    store = store_for(s3_bucket.url)[0]
    data = os.urandom(2500)
    with store.write(f"{s3_bucket.name}/x") as file:
        file.write(data)
    assert dict(s3_bucket.proxy.count()) == {"post": 2, "put": 3}
    with store.open(f"{s3_bucket.name}/x") as file:
        assert file.read() == data
