"""Small objects go by themselves, all are there when the block ends, and one that cannot be stored is told."""

from __future__ import annotations

import os
import threading
import time

import pytest

from kart_runtime.errors import RecordsNotStored
from kart_runtime.storage.stores import background
from kart_runtime.storage.stores.memory import MemoryStore


class Slow(MemoryStore):
    """Takes a moment for each object, as a network does."""

    def __init__(self, seconds: float = 0.02) -> None:
        super().__init__()
        self.seconds = seconds
        self.at_once = self.most_at_once = 0
        self.counting = threading.Lock()

    def put(self, key, data):
        with self.counting:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self.seconds)
        with self.write(key) as file:
            file.write(data)
        with self.counting:
            self.at_once -= 1


class Broken(MemoryStore):
    def put(self, key, data):
        if "bad" in key:
            raise OSError(f"no room for {key}")
        with self.write(key) as file:
            file.write(data)


def test_all_are_there_when_the_block_ends_and_went_several_at_once():
    store = Slow()
    with background.background_writes():
        for number in range(100):
            background.put(store, f"w/{number}", b"x")
    assert len(list(store.list("w"))) == 100
    assert 1 < store.most_at_once <= 16


def test_without_a_block_an_object_is_there_at_once():
    store = Slow()
    background.put(store, "w/x", b"x")
    assert store.stat("w/x") is not None


def test_what_cannot_be_stored_is_told_with_what_and_how_many():
    store = Broken()
    with (
        pytest.raises(RecordsNotStored, match=r"2 log files or run records, including w/bad\d: no room") as caught,
        background.background_writes(),
    ):
        for name in ("good1", "bad1", "good2", "bad2"):
            background.put(store, f"w/{name}", b"x")
    assert caught.value.number == 2
    assert [found.key for found in store.list("w")] == ["w/good1", "w/good2"]


def test_another_error_goes_first_and_the_loss_is_noted_with_it():
    store = Broken()
    with pytest.raises(KeyError) as caught, background.background_writes():
        background.put(store, "w/bad", b"x")
        background.put(store, "w/good", b"x")
        raise KeyError("the task's own")
    assert "no room for w/bad" in caught.value.__notes__[0]
    assert store.stat("w/good") is not None


def test_the_next_block_begins_without_the_losses_of_the_last():
    store = Broken()
    with pytest.raises(RecordsNotStored), background.background_writes():
        background.put(store, "w/bad", b"x")
    with background.background_writes():
        background.put(store, "w/good", b"x")


def test_an_interrupted_build_does_not_wait_for_long(monkeypatch, caplog):
    monkeypatch.setattr(background, "_INTERRUPTED_SECONDS", 0.2)
    store = Slow(seconds=0.4)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), background.background_writes():
        for number in range(800):
            background.put(store, f"w/{number}", b"x")
        raise KeyboardInterrupt
    assert time.monotonic() - began < 800 * 0.4 / 16 / 2
    assert "because the build was interrupted" in caplog.text


def test_blocks_in_several_threads_share_and_each_waits_for_everything():
    store = Slow()
    seen = []

    def one(letter):
        with background.background_writes():
            for number in range(30):
                background.put(store, f"{letter}/{number}", b"x")
        seen.append((letter, len(list(store.list(letter)))))

    threads = [threading.Thread(target=one, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [(letter, 30) for letter in "abcd"]


def test_a_forked_process_stores_at_once():
    store = Slow()
    with background.background_writes():
        background.put(store, "w/parent", b"x")
        child = os.fork()
        if child == 0:
            background.put(store, "w/child", b"x")
            os._exit(0 if store.stat("w/child") is not None else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_block_that_ends_takes_nothing_from_one_that_goes_on():
    store = Slow(seconds=0.0)
    errors = []

    def brief():
        try:
            for _ in range(60):
                with background.background_writes():
                    background.put(store, "brief/x", b"x")
        except Exception as error:
            errors.append(error)

    with background.background_writes():
        threads = [threading.Thread(target=brief) for _ in range(4)]
        for thread in threads:
            thread.start()
        number = 0
        while any(thread.is_alive() for thread in threads):
            background.put(store, f"long/{number}", b"x")
            number += 1
        for thread in threads:
            thread.join()
    assert errors == []
    assert len(list(store.list("long"))) == number
