"""A plan that lists folders is told what it would be told if it asked for each object, by fewer requests."""

from __future__ import annotations

import threading
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.storage.stores import Stat
from kart_runtime.storage.stores.listings import Listings, active_listings, cached_listings
from kart_runtime.storage.stores.objects import Page


class Counting:
    """A service that tells a few objects at a time."""

    def __init__(self, keys, page_size):
        self._keys, self._page_size = sorted(keys), page_size
        self.pages = self.asked = 0

    def stat_now(self, key):
        self.asked += 1
        return Stat(key, len(key), 0.0) if key in self._keys else None

    def page(self, prefix, token=None, *, below=False):
        self.pages += 1
        entries = {}
        for key in self._keys:
            if key.startswith(prefix):
                head, slash, _ = key[len(prefix) :].partition("/")
                entries[f"{prefix}{head}{slash}"] = not slash
        rest = [entry for entry in sorted(entries) if token is None or entry > token]
        page = list(islice(rest, self._page_size))
        found = [Stat(entry, len(entry), 0.0) for entry in page if entries[entry]]
        return Page(found, max(page, default=""), page[-1] if len(rest) > len(page) else None)


def most_requests(questions, pages):
    """The bound that is promised for one folder.

    Each page is asked for once. A question is asked on its own only where what it asks for lies on none of the pages so
    far, and four pages are turned for each of these; so it is at most every fourth page that is paid for twice, and a
    folder that is far larger than what is asked for costs at most five requests a question.
    """
    return min(pages + (pages + 2) // 4, 5 * questions)


names = st.text(st.sampled_from("ab.0/é"), min_size=1, max_size=4).filter(lambda name: "//" not in f"/{name}/")


@given(st.sets(names, max_size=60), st.lists(names, max_size=60), st.integers(1, 7))
def test_the_answers_are_those_of_asking_one_by_one(there, asked, page_size):
    there = {f"b/ws/{name}" for name in there}
    service, listings = Counting(there, page_size), Listings()
    for name in asked:
        key = f"b/ws/{name}"
        assert (listings.stat(service, key) is not None) == (key in there)
    folders = {name.rpartition("/")[0] for name in asked}
    most = 0
    for folder in folders:
        prefix = f"b/ws/{folder}/" if folder else "b/ws/"
        entries = {
            key[len(prefix) :].partition("/")[0] + "/" * ("/" in key[len(prefix) :])
            for key in there
            if key.startswith(prefix)
        }
        pages = max(-(-len(entries) // page_size), 1)
        most += most_requests(sum(name.rpartition("/")[0] == folder for name in asked), pages)
    assert service.pages + service.asked <= most


@given(st.permutations(range(40)), st.integers(1, 50), st.integers(0, 40))
def test_the_number_of_requests_is_bounded(order, page_size, questions):
    keys = [f"b/{number:02}" for number in range(40)]
    service, listings = Counting(keys, page_size), Listings()
    for number in order[:questions]:
        assert listings.stat(service, keys[number]) is not None
    pages = -(-len(keys) // page_size)
    assert service.pages <= pages
    assert service.pages + service.asked <= most_requests(questions, pages)


def test_a_large_folder_is_not_listed_for_a_few_questions():
    service, listings = Counting([f"b/{number:05}" for number in range(10_000)], 10), Listings()
    for number in (9_999, 9_998, 9_997):
        assert listings.stat(service, f"b/{number:05}") is not None
    assert service.asked == 3
    assert service.pages <= 9


def test_it_is_in_force_in_one_thread_and_forgotten_afterwards():
    found = []
    assert active_listings() is None
    with cached_listings():
        ours = active_listings()
        thread = threading.Thread(target=lambda: found.append(active_listings()))
        thread.start()
        thread.join()
        with cached_listings():
            assert active_listings() is not ours
        assert active_listings() is ours
    assert active_listings() is None
    assert found == [None]
