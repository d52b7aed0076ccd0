"""gokart's locks around functions, on a real redis server."""

from __future__ import annotations

import threading
import time

import pytest
import redis

from kart_runtime import TaskOnKart
from kart_runtime.errors import LockTimeout
from kart_runtime.gokart.conflict_prevention_lock.task_lock import (
    RedisClient,
    TaskLockException,
    TaskLockParams,
    make_task_lock_key,
    make_task_lock_params,
    make_task_lock_params_for_run,
    set_task_lock,
)
from kart_runtime.gokart.conflict_prevention_lock.task_lock_wrappers import (
    wrap_dump_with_lock,
    wrap_load_with_lock,
    wrap_remove_with_lock,
    wrap_run_with_lock,
)


@pytest.fixture
def params(redis_port, request):
    return make_task_lock_params(f"{request.node.name}.pkl", "1", "127.0.0.1", redis_port, 60)


def is_held(params):
    return redis.Redis(port=params.redis_port).exists(params.redis_key) == 1


def wrapped(kind, function, params):
    if kind is wrap_dump_with_lock:
        return kind(function, params, lambda: False)
    return kind(function, params)


def test_parameters_are_gokarts():
    assert make_task_lock_key("gs://b/dir/name.pkl", "12") == "name_12"
    assert make_task_lock_params("a/x.pkl", "12", "h", 1, 180) == TaskLockParams("h", 1, 180, "x_12", True, False, 10)
    assert not make_task_lock_params("x.pkl", "12", None, 1).should_task_lock

    class Locked(TaskOnKart[int]):
        pass

    task = Locked(redis_host="h", redis_port=1)
    key = f"Locked_{task.make_unique_id()}-run"
    assert make_task_lock_params_for_run(task) == TaskLockParams("h", 1, 180, key, True, True, 10)


def test_a_lock_that_would_end_before_its_renewal_is_refused():
    with pytest.raises(AssertionError, match="redis_timeout"):
        make_task_lock_params("x.pkl", "1", "h", 1, redis_timeout=10)


@pytest.mark.parametrize("kind", [wrap_dump_with_lock, wrap_remove_with_lock, wrap_run_with_lock])
def test_the_function_runs_under_the_lock_which_is_released_also_after_an_error(params, kind):
    def fails(value, *, name):
        raise RuntimeError(f"{value} {name} {is_held(params)}")

    with pytest.raises(RuntimeError, match="1 a True"):
        wrapped(kind, fails, params)(1, name="a")
    assert not is_held(params)
    assert wrapped(kind, lambda value: (value, is_held(params)), params)(2) == (2, True)
    assert not is_held(params)


def test_what_exists_by_then_is_not_stored_again(params):
    stored = []
    assert wrap_dump_with_lock(stored.append, params, exist_check=lambda: True)(1) is None
    assert stored == []


def test_a_load_waits_for_whoever_holds_the_lock(params):
    order = []
    lock = set_task_lock(params)
    loading = threading.Thread(target=wrap_load_with_lock(lambda: order.append("loaded"), params))
    loading.start()
    time.sleep(0.3)
    order.append("released")
    lock.release()
    loading.join(30)
    assert order == ["released", "loaded"]
    assert not is_held(params)


def test_a_collision_is_raised_if_asked_for(params):
    lock = set_task_lock(params)
    with pytest.raises(TaskLockException, match=params.redis_key) as caught:
        set_task_lock(params._replace(raise_task_lock_exception_on_collision=True))
    assert isinstance(caught.value, LockTimeout)
    lock.release()


def test_the_lock_is_renewed_while_the_function_runs(params):
    short = params._replace(redis_timeout=1)

    def waits():
        time.sleep(2.5)
        return is_held(short)

    assert wrap_run_with_lock(waits, short)()


@pytest.mark.parametrize("kind", [wrap_dump_with_lock, wrap_load_with_lock, wrap_remove_with_lock])
def test_without_a_server_the_function_is_itself(kind):
    assert wrapped(kind, print, make_task_lock_params("x.pkl", "1")) is print


def test_a_process_has_one_client_for_each_server():
    first, second = RedisClient(host="a", port=1), RedisClient(host="a", port=1)
    assert first == second != RedisClient(host="b", port=1)
    assert first.get_redis_client() is second.get_redis_client()
