"""Published files: one name, one whole content, and everything that had it before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kart_runtime.errors import ObjectCorrupt, ObjectMissing
from kart_runtime.history.publication import Publication, PublishRefused, check_path, suffix_of
from kart_runtime.history.published import PublishedFile, published_paths
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.target import Target

PATH = "models/current.txt"


@pytest.fixture(params=["local", "memory", "s3", "gs"])
def place(request, tmp_path):
    """An empty workspace of each kind of store."""
    if request.param == "local":
        return str(tmp_path / "w")
    if request.param == "memory":
        return f"memory://{tmp_path.name}"
    return f"{request.getfixturevalue('s3_bucket' if request.param == 's3' else 'gcs_bucket').url}/w"


def publish(place, text, unique_id="", path=PATH):
    target = Target(f"{place}/outputs/x_{unique_id}.txt")
    record = target.dump(text)
    return PublishedFile(place, path).publish(
        target.url, record, Publication(path, "", 0, "", task="Train", unique_id=unique_id)
    )


def text_of(place, path=PATH):
    return "".join(Target(f"{place}/{path}").load())  # of lines


def test_the_file_has_the_content_and_the_record_says_from_where(place):
    file = PublishedFile(place, PATH)
    assert (file.current(), file.history(), published_paths(place)) == ("", [], [])
    entry = publish(place, "one", "1")
    assert text_of(place) == "one"
    assert file.current() == entry.id
    assert file.history() == [entry]
    assert (entry.task, entry.unique_id, entry.size) == ("Train", "1", 3)
    assert published_paths(place) == [PATH]


def test_one_goes_back_by_steps_and_by_ids(place):
    file = PublishedFile(place, PATH)
    one, two, three = (publish(place, text, text) for text in ("one", "two", "three"))
    file.go_back(file.earlier()[-1])
    assert (text_of(place), file.current()) == ("two", two.id)
    file.go_back(file.earlier()[-1])
    assert (text_of(place), file.current()) == ("one", one.id)
    assert file.earlier() == []
    four = publish(place, "four", "four")
    assert [entry.id for entry in file.earlier()] == [one.id], "two and three were gone back from"
    file.go_back(file.matching("thr"))
    assert text_of(place) == "three"
    assert [entry.id for entry in file.history()] == [one.id, two.id, three.id, four.id]
    assert file.matching(four.id[:6]).withdrawn
    assert not file.matching(three.id[:6]).withdrawn


def test_equal_contents_are_one_entry_that_moves_to_the_end(place):
    file = PublishedFile(place, PATH)
    one, two = publish(place, "one", "1"), publish(place, "two", "2")
    again = publish(place, "one", "3")
    assert again.id == one.id
    assert [entry.id for entry in file.history()] == [two.id, one.id]
    assert [(entry["task"], entry["unique_id"]) for entry in file.find(one.id).also] == [("Train", "1")]
    assert text_of(place) == "one"


def test_a_history_is_independent_of_the_outputs(place):
    publish(place, "one", "1")
    publish(place, "two", "2")
    for number in (1, 2):
        Target(f"{place}/outputs/x_{number}.txt").remove()
    file = PublishedFile(place, PATH)
    file.go_back(file.earlier()[-1])
    assert text_of(place) == "one"


def test_a_file_that_somebody_copied_there_counts_and_is_kept(place):
    file = PublishedFile(place, PATH)
    one = publish(place, "one", "1")
    Target(file.url).dump("by hand")
    assert file.current() not in ("", one.id)
    assert file.target(file.current()) is None
    two = publish(place, "two", "2")
    assert [entry.task for entry in file.history()] == ["Train", "", "Train"]
    file.go_back(file.earlier()[-1])
    assert text_of(place) == "by hand"
    Target(file.url).dump("two")
    assert file.current() == two.id, "the content says what it is"


def test_a_file_that_was_deleted_is_gone_back_to(place):
    file = PublishedFile(place, PATH)
    publish(place, "one", "1")
    Target(file.url).remove()
    assert file.current() == ""
    file.go_back(file.earlier()[-1])
    assert text_of(place) == "one"


def test_an_output_that_is_not_what_its_task_stored_is_not_published(place):
    target = Target(f"{place}/outputs/x.txt")
    record = target.dump("one")
    Target(target.url).dump("eno")
    file = PublishedFile(place, PATH)
    with pytest.raises(ObjectCorrupt, match=r"outputs/x\.txt"):
        file.publish(target.url, record, Publication(PATH, "", 0, ""))
    assert file.current() == ""
    assert file.history() == []
    target.remove()
    with pytest.raises(ObjectMissing):
        file.publish(target.url, record, Publication(PATH, "", 0, ""))


def test_an_output_without_a_record_is_published(place):
    target = Target(f"{place}/outputs/x.txt")
    target.dump("one")
    entry = PublishedFile(place, PATH).publish(target.url, None, Publication(PATH, "", 0, ""))
    assert entry.id == target.dump("one").checksum.partition(":")[2]


def test_names_below_one_another_do_not_mix(place):
    publish(place, "one", "1", "a.txt")
    publish(place, "two", "2", "a.txt/b.txt" if place.startswith("memory") else "a/b.txt")
    assert len(PublishedFile(place, "a.txt").history()) == 1
    assert len(published_paths(place)) == 2


@pytest.mark.parametrize("service", ["s3", "gcs"])
def test_a_bucket_copies_by_itself(request, service):
    bucket = request.getfixturevalue(f"{service}_bucket")
    place = f"{bucket.url}/w"
    target = Target(f"{place}/outputs/x.txt")
    record = target.dump("a" * 5_000_000)
    bucket.proxy.reset()
    PublishedFile(place, PATH).publish(target.url, record, Publication(PATH, "", 0, ""))
    sent = sum(len(asked.body) for asked in bucket.proxy.requests)
    received = sum(size for _, _, size in bucket.proxy.answers)
    assert sent + received < 100_000


# -- several processes, and the end of one -----------------------------------------------------------------------


def test_of_several_that_publish_at_once_one_is_whole(place):
    texts = [str(number) * 50_000 for number in range(8)]
    publish(place, texts[0], "0")
    stop, mixed = threading.Event(), []

    def read():
        while not stop.is_set():
            found = text_of(place)
            if found not in texts:
                mixed.append(found[:20])

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: publish(place, texts[number], str(number)), range(8)))
    stop.set()
    reader.join()
    file = PublishedFile(place, PATH)
    assert mixed == []
    assert file.find(file.current()).unique_id == text_of(place)[0]
    assert len(file.history()) == 8


_KILLED = """
import os, signal, sys
from pathlib import Path
from kart_runtime.history.publication import Publication
from kart_runtime.history.published import PublishedFile
from kart_runtime.storage.target import Target

PATH, OLD, NEW = "models/current.txt", "one", "two" * 100_000
steps = 0

def publish(place, text, number):
    target = Target(f"{place}/outputs/x_{number}.txt")
    return PublishedFile(place, PATH).publish(
        target.url, target.dump(text), Publication(PATH, "", 0, "", task="Train", unique_id=number)
    )

def die(event, arguments):
    global steps
    if event in ("os.rename", "open", "os.mkdir") and "/w/" in str(arguments[0]):
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

for step in range(1, 1000):
    place = f"{sys.argv[1]}/{step}/w"
    before = publish(place, OLD, "1")
    child = os.fork()
    if not child:
        sys.addaudithook(die)
        publish(place, NEW, "2")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    file, text = PublishedFile(place, PATH), Path(place, PATH).read_text()
    assert text in (OLD, NEW), text[:100]
    current = file.find(file.current())
    assert current.unique_id == ("1" if text == OLD else "2")
    assert file.target(current.id).load() == [text]
    publish(place, NEW, "2")
    assert Path(place, PATH).read_text() == NEW
    file.go_back(file.find(before.id))
    assert Path(place, PATH).read_text() == OLD
    if not status:
        print(step)
        break
    assert status == signal.SIGKILL
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_any_step_leaves_the_old_or_the_new_one(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", _KILLED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 6


# -- checks ------------------------------------------------------------------------------------------------------


def test_damage_is_found_and_restored_from_the_other_copy(tmp_path):
    place = str(tmp_path / "w")
    entry = publish(place, "one", "1")
    file = PublishedFile(place, PATH)
    assert list(file.damaged()) == []
    for url in (file.url, file.content_url(entry.id)):
        times = os.stat(url)
        Path(url).write_text("eno")
        os.utime(url, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a disk that forgets
        [(found, why)] = file.damaged()
        assert found == url
        assert "checksum" in why
        assert file.restore(url)
        assert list(file.damaged()) == []
        assert Path(url).read_text() == "one"
    for url in (file.url, file.content_url(entry.id)):
        Path(url).unlink()
    assert [why for _, why in file.damaged()] == ["it is gone"]
    assert not file.restore(file.content_url(entry.id))


def test_a_record_that_cannot_be_read_is_no_publication(tmp_path):
    place = str(tmp_path / "w")
    publish(place, "one", "1")
    entry = publish(place, "two", "2")
    record = next(Path(place, "log/published").rglob(f"{entry.id}/record.json"))
    for text in ("{", "[]", "{}", json.dumps({"id": "other", "path": "p", "size": 1, "published": ""})):
        record.write_text(text)
        assert len(PublishedFile(place, PATH).history()) == 1
    assert PublishedFile(place, PATH).current() == entry.id


def test_a_later_version_may_add_fields(tmp_path):
    place = str(tmp_path / "w")
    entry = publish(place, "one", "1")
    record = next(Path(place, "log/published").rglob("record.json"))
    record.write_text(json.dumps({**json.loads(record.read_text()), "new": 1}))
    assert PublishedFile(place, PATH).find(entry.id) == entry


# -- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        *("", "models/", "/tmp/x.pkl", "../x.pkl", "a/../../x.pkl", "a/./x.pkl", "a//x.pkl", "s3://bucket/x.pkl"),
        *("log/x.pkl", "LOG/x.pkl", "log/published/x.pkl", "C:/x.pkl", "a\\x.pkl", ".kart-x.pkl", "a/link/x.pkl", "a"),
    ],
)
def test_names_that_are_refused(tmp_path, path):
    place = tmp_path / "w"
    (place / "a").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (place / "a" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(PublishRefused) as caught:
        check_path(path, str(place))
    assert f"'{path}'" in str(caught.value)


def test_names_that_are_taken(tmp_path):
    for path in ("x.pkl", "models/current.zip", "a/b/c d.csv.gz", "logs/x.pkl", "über/größe.txt"):
        check_path(path, str(tmp_path))
        check_path(path, "s3://bucket/w")


def test_the_suffix_is_that_of_the_format():
    paths = ("a/x.zip", "x.csv.gz", "x.tar.gz", "a.b/x", ".x", "X.PKL")
    assert [suffix_of(path) for path in paths] == [".zip", ".csv.gz", ".gz", "", ".x", ".pkl"]


def test_a_store_without_versions_is_read(tmp_path, monkeypatch):
    place = f"memory://{tmp_path.name}"
    store, _ = store_for(place)
    stat = store.stat
    monkeypatch.setattr(store, "stat", lambda key: (found := stat(key)) and found._replace(version=""))
    one, two = publish(place, "one", "1"), publish(place, "two", "2")
    file = PublishedFile(place, PATH)
    assert file.current() == two.id
    file.go_back(file.find(one.id))
    assert file.current() == one.id
