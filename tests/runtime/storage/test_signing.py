"""Outputs and records are signed where there is a key: what is not, or not for its name, is refused before it runs."""

from __future__ import annotations

import importlib.util
import io
import json
import marshal
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import luigi
import pytest

import kart_runtime
from kart_runtime import BuildFailed, ConfigError, TaskOnKart, build, make_target
from kart_runtime.errors.secrets import masked
from kart_runtime.execution.executors.processes.idle_workers import shutdown_idle_workers
from kart_runtime.history.index import open_index
from kart_runtime.history.log_files import LogFiles
from kart_runtime.history.published import PublishedFile
from kart_runtime.history.records import forget_records, records_of
from kart_runtime.storage import signing
from kart_runtime.storage import target as target_module
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.signing import SignatureError
from kart_runtime.storage.signing_keys import SHORTEST, keyring
from kart_runtime.storage.target import OutputRecord
from kart_runtime.task.publishing import publish

KEY, OTHER = "0123456789abcdef-first", "0123456789abcdef-second"


class Number(TaskOnKart[int]):
    x = luigi.IntParameter(default=1)

    def run(self):
        self.task_log["kept"] = self.x
        self.dump(self.x)


class Sum(TaskOnKart[int]):
    def requires(self):
        return {"one": Number(x=1), "two": Number(x=2)}

    def run(self):
        self.dump(self.load("one") + self.load("two"))


class Files(TaskOnKart[Path]):
    def run(self):
        with self.folder() as path:
            (path / "a.txt").write_text("aaa")
            (path / "b.txt").write_text("bbb")


def save_model(value, path):
    Path(path).write_text(value)


def load_model(path):
    return Path(path).read_text()


class Model(TaskOnKart[str]):
    def output(self):
        return self.make_model_target("model.zip", save_model, load_model)

    def run(self):
        self.dump("weights")


class Bomb:
    """A value whose pickle makes a file when it is read: code that runs."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("KART_SIGNING_KEY", KEY)


@pytest.fixture
def ran(tmp_path):
    """The folder that exists when a planted pickle has been read."""
    return tmp_path / "code-ran"


def bytes_of(url):
    store, key = store_for(url)
    with store.open(key) as file:
        return file.read()


def put(url, data):
    store, key = store_for(url)
    with store.write(key) as file:
        file.write(data)


def plant(url, ran):
    put(url, pickle.dumps(Bomb(ran)))


def test_what_is_signed_is_read(workspace, key):
    one = Number(workspace_directory=f"{workspace}/")

    assert build(one) == 1

    assert one.output().load() == 1
    assert make_target(one.output().url).load() == 1
    statement = json.loads(json.loads(bytes_of(f"{one.output().url}.sig"))["signatures"][0]["statement"])
    assert statement["id"] == one.make_unique_id()
    assert statement["name"] == one.output().url.removeprefix(f"{workspace}/")


@pytest.mark.parametrize("how", ["replaced", "without signature", "swapped", "swapped both", "forged"])
def test_a_wrong_output_is_refused_before_it_is_decoded(workspace, key, ran, how):
    one, two = (Number(x=x, workspace_directory=f"{workspace}/") for x in (1, 2))
    build(one), build(two)
    url = one.output().url
    if how == "replaced":
        plant(url, ran)
        found = "altered"
    elif how == "without signature":
        plant(url, ran)
        store, place = store_for(f"{url}.sig")
        store.delete(place)
        found = "not signed"
    elif how == "swapped":
        put(url, bytes_of(two.output().url))
        found = "altered"
    elif how == "swapped both":
        put(url, bytes_of(two.output().url))
        put(f"{url}.sig", bytes_of(f"{two.output().url}.sig"))
        found = "for another name"
    else:
        plant(url, ran)
        other = signing.statement_of(url, one, len(bytes_of(url)), signing.hashed(io.BytesIO(bytes_of(url)))[2])
        entry = {"statement": json.dumps(other._asdict()), "signature": f"{keyring().first}:{'0' * 64}"}
        put(f"{url}.sig", json.dumps({"format": 1, "signatures": [entry]}).encode())
        found = "forged"

    for load in (one.output().load, make_target(url).load):
        with pytest.raises(SignatureError, match=found) as error:
            load()
        assert url in str(error.value)
    assert not ran.exists()


def test_a_folder_in_the_place_of_a_signature_is_refused(key):
    build(Number())
    signature = Path(f"{Number().output().url}.sig")
    signature.unlink()
    signature.mkdir()

    with pytest.raises(SignatureError, match="is damaged"):
        Number().output().load()


def test_without_a_key_the_planted_pickle_runs(workspace, ran):
    """The control: what the key prevents does happen."""
    one = Number(workspace_directory=f"{workspace}/")
    build(one)
    plant(one.output().url, ran)

    make_target(one.output().url).load()

    assert ran.exists()


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_an_input_that_was_replaced_is_refused_by_each_executor(key, ran, executor):
    build(Sum(), executor=executor, workers=1 if executor == "serial" else 2)
    Path(Sum().output().url).unlink()
    plant(Number(x=2).output().url, ran)
    forget_records()

    with pytest.raises(BuildFailed, match="altered after it was signed"):
        build(Sum(), executor=executor, workers=1 if executor == "serial" else 2, code_changed="ignore")

    assert not ran.exists()
    shutdown_idle_workers()


def test_a_replaced_input_is_computed_again_by_on_corrupt(key, ran):
    build(Sum())
    Path(Sum().output().url).unlink()
    plant(Number(x=2).output().url, ran)
    forget_records()

    assert build(Sum(), on_corrupt="recompute") == 3
    assert not ran.exists()


def test_signed_outputs_are_read_without_a_key(monkeypatch, key):
    build(Sum())
    build(Files())
    monkeypatch.delenv("KART_SIGNING_KEY")
    forget_records()

    assert build(Sum()) == 3
    assert (build(Files()) / "a.txt").read_text() == "aaa"
    assert Sum().get_task_params() == {}
    assert Number(x=2).get_task_log()["kept"] == 2


def test_an_unsigned_output_stops_the_plan(monkeypatch):
    build(Sum())
    monkeypatch.setenv("KART_SIGNING_KEY", KEY)
    forget_records()

    with pytest.raises(SignatureError, match=r"it is not signed, and KART_SIGNING_KEY is set.*kart sign"):
        build(Sum())

    assert build(Sum(), on_corrupt="recompute") == 3
    assert Sum().output().load() == 3


def test_a_workspace_is_signed_afterwards(monkeypatch, ran):
    build(Sum())
    build(Files())
    put(Number(x=1).output().url, pickle.dumps(100))
    monkeypatch.setenv("KART_SIGNING_KEY", KEY)
    forget_records()

    dry = kart_runtime.sign_outputs([Sum(), Files()], dry_run=True)
    signed = kart_runtime.sign_outputs([Sum(), Files()])

    assert dry == signed
    assert {*signed.outputs} == {task.output().url for task in (Sum(), Number(x=2), Files())}
    assert [*signed.refused] == [Number(x=1).output().url]
    assert build(Sum(), code_changed="ignore") == 3
    assert (build(Files()) / "a.txt").read_text() == "aaa"
    assert Number(x=2).get_task_log()["kept"] == 2
    assert records_of("./resources/").expected(Sum().output().url) is not None
    again = kart_runtime.sign_outputs([Sum(), Files()])
    assert (again.outputs, again.others) == ([], 0)


def test_keys_are_replaced(monkeypatch, key):
    build(Sum())
    monkeypatch.setenv("KART_SIGNING_KEY", OTHER)
    with pytest.raises(SignatureError, match="add the old one behind the new one in KART_SIGNING_KEY"):
        Sum().output().load()

    monkeypatch.setenv("KART_SIGNING_KEY", f"{OTHER} {KEY}")
    forget_records()
    assert Sum().output().load() == 3
    assert build(Number(x=7)) == 7

    monkeypatch.setenv("KART_SIGNING_KEY", OTHER)
    assert Number(x=7).output().load() == 7
    assert len(kart_runtime.sign_outputs(Sum()).outputs) == 3
    forget_records()
    assert build(Sum()) == 3


def test_what_the_old_key_has_signed_is_signed_by_the_new_one(workspace, monkeypatch, key):
    place = f"{workspace}/"
    tasks = [each(workspace_directory=place) for each in (Sum, Files, Publishing)]
    other = Number(x=7, workspace_directory=place)  # which is not planned any more
    for task in (*tasks, other):
        build(task)
    publish(tasks[2], "models/cur.pkl")
    publish(tasks[1], "models/files")
    monkeypatch.setenv("KART_SIGNING_KEY", f"{OTHER} {KEY}")
    forget_records()

    listed = kart_runtime.sign_outputs(tasks, dry_run=True)
    signed = kart_runtime.sign_outputs(tasks)

    assert (listed, signed.refused) == (signed, {})
    assert {task.output().url for task in (*tasks, other)} < set(signed.outputs)
    monkeypatch.setenv("KART_SIGNING_KEY", OTHER)
    forget_records()
    records_of(place).refresh()
    for task in (*tasks, other):
        assert records_of(place).expected(task.output().url) is not None
        task.output().load()
    assert LogFiles(place, "Number", other.make_unique_id()).read("task_log")["kept"] == 7
    assert kart_runtime.load_published(place, "models/cur.pkl") == "default"
    assert kart_runtime.load_published(place, "models/files").is_dir()
    again = kart_runtime.sign_outputs(tasks)
    assert (again.outputs, again.others, again.refused) == ([], 0, {})


@pytest.mark.parametrize("how", ["altered", "unsigned"])
def test_a_new_key_signs_nothing_that_the_old_one_has_not(monkeypatch, key, ran, how):
    build(Sum())
    plant(Sum().output().url, ran)
    log = LogFiles("./resources/", "Number", Number().make_unique_id()).url("task_log")
    plant(log, ran)
    if how == "unsigned":
        Path(f"{Sum().output().url}.sig").unlink()
    monkeypatch.setenv("KART_SIGNING_KEY", f"{OTHER} {KEY}")
    forget_records()

    signed = kart_runtime.sign_outputs(Sum())

    assert list(signed.refused) == [Sum().output().url]
    assert len(signed.outputs) == 2
    with pytest.raises(SignatureError):
        Sum().output().load()
    assert LogFiles("./resources/", "Number", Number().make_unique_id()).read("task_log") is None
    assert not ran.exists()


def test_publications_are_signed_afterwards(workspace, monkeypatch):
    task = Publishing(workspace_directory=f"{workspace}/")
    build(task)
    publish(task, "models/cur.pkl")
    monkeypatch.setenv("KART_SIGNING_KEY", KEY)
    forget_records()
    with pytest.raises(SignatureError, match="not signed"):
        kart_runtime.load_published(f"{workspace}/", "models/cur.pkl")

    assert len(kart_runtime.sign_outputs(task).outputs) == 3

    assert kart_runtime.load_published(f"{workspace}/", "models/cur.pkl") == "default"


@pytest.mark.parametrize("how", ["altered", "without signature", "without record"])
def test_a_published_file_of_data_is_refused_unless_it_is_signed(workspace, key, how):
    place = f"{workspace}/"
    task = Publishing(suffix="json", workspace_directory=place)
    build(task)
    publish(task, "models/cur.json")
    published = PublishedFile(place, "models/cur.json")
    assert kart_runtime.Published("models/cur.json", workspace=place).output().load() == "default"
    assert list(published.damaged()) == []
    put(published.url, b'"other"')
    if how != "altered":
        delete(f"{published.url}.sig")
    if how == "without record":
        delete(f"{published.content_url(published.history()[0].id).rpartition('/')[0]}/record.json")
    luigi.task_register.Register.clear_instance_cache()

    with pytest.raises(SignatureError, match=r"altered|not signed"):
        kart_runtime.Published("models/cur.json", workspace=place).output().load()
    assert [url for url, _ in published.damaged()] == [published.url]


def delete(url):
    store, place = store_for(url)
    store.delete(place)


def test_a_short_key_is_refused_and_never_shown(monkeypatch):
    monkeypatch.setenv("KART_SIGNING_KEY", f"{KEY} short-secret")

    with pytest.raises(ConfigError, match=f"at least {SHORTEST} characters") as error:
        build(Number())

    assert "short-secret" not in str(error.value)
    monkeypatch.setenv("KART_SIGNING_KEY", KEY)
    keyring()
    assert masked(f"it is {KEY}!") == "it is ***!"


def test_the_key_is_in_no_file(key, tmp_path):
    build(Sum())

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name.endswith(".jsonl") for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize("how", ["file", "list", "extra"])
def test_a_folder_is_signed_with_its_files(workspace, key, how, tmp_path):
    task = Files(workspace_directory=f"{workspace}/")
    build(task)
    token = json.loads(bytes_of(task.output().url))["token"]
    stat = None
    if how == "file":
        url = f"{task.output().url.removesuffix('.folder')}.files/{token}/b.txt"
        stat = os.stat(url) if "://" not in url else None
        put(url, b"BBB")
        if stat is not None:
            os.utime(url, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        shutil.rmtree(f"{tmp_path}-cache", ignore_errors=True)  # it has the right files
    else:
        manifest = json.loads(bytes_of(task.output().url))
        if how == "extra":
            put(f"{task.output().url.removesuffix('.folder')}.files/{token}/c.txt", b"ccc")
            manifest["content"]["files"].append(["c.txt", 3, manifest["content"]["files"][0][2], False])
        else:
            manifest["content"]["files"][0][1] = 4
        put(task.output().url, json.dumps(manifest).encode())

    with pytest.raises(kart_runtime.KartError, match=r"altered|not what was stored|changed"):
        make_target(task.output().url).load()
    if stat is not None:
        with pytest.raises(SignatureError, match=r"its file 'b\.txt' was altered"):
            task.output().load()


class Code(TaskOnKart[Path]):
    def run(self):
        with self.folder() as path:
            (path / "planted_here.py").write_text("def predict(): return 'honest'\n")


def plant_byte_code(source, ran):
    """Put byte code beside a module that Python takes for that of its source, as somebody without the key can."""
    stat = source.stat()
    text = f"import os\nos.mkdir({str(ran)!r})\ndef predict(): return 'evil'\n"
    path = Path(importlib.util.cache_from_source(str(source)))
    path.parent.mkdir(exist_ok=True)
    head = importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, int(stat.st_mtime), stat.st_size)
    path.write_bytes(head + marshal.dumps(compile(text, str(source), "exec")))
    return path


def test_byte_code_beside_the_modules_of_a_folder_does_not_run(key, ran, monkeypatch):
    build(Code())
    planted = plant_byte_code(Code().output().load() / "planted_here.py", ran)

    folder = Code().output().load()

    assert not planted.exists()
    monkeypatch.syspath_prepend(str(folder))
    assert importlib.import_module("planted_here").predict() == "honest"
    assert not ran.exists()
    assert Code().output().load() == folder  # though the import may have written byte code again


def test_byte_code_that_cannot_be_deleted_is_refused(key, ran, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    build(Code())
    plant_byte_code(Code().output().load() / "planted_here.py", ran)
    monkeypatch.setattr(os, "unlink", refuse)  # as in a folder that cannot be written to, which root can

    with pytest.raises(SignatureError, match="cannot be deleted"):
        Code().output().load()


def test_a_file_below_a_folder_with_an_ignored_name_is_refused(key):
    build(Code())
    extra = Code().output().load() / "Thumbs.db" / "other.py"
    extra.parent.mkdir()
    extra.write_text("")

    with pytest.raises(kart_runtime.KartError, match=r"which was not stored with it"):
        Code().output().load()


def test_a_model_is_not_unpacked_unless_it_is_signed(key, ran):
    build(Model())
    url = Model().output().url
    with zipfile.ZipFile(url, "w") as archive:
        archive.writestr("model.pkl", b"x")
        archive.writestr("load_function.pkl", pickle.dumps(Bomb(ran)))

    with pytest.raises(SignatureError):
        Model().output().load()

    assert not ran.exists()


def test_log_files_that_are_pickles_are_signed(key, ran, caplog):
    build(Number())
    url = Number()._log_files().url("task_log")
    assert pickle.loads(bytes_of(url))["kept"] == 1  # whoever does not know of signatures reads it as before
    assert Number().get_task_log()["kept"] == 1
    plant(url, ran)

    plant(Number()._log_files().url("task_params"), ran)

    assert Number()._log_files().read("task_log") is None
    with pytest.raises(SignatureError):
        Number.restore(Number().make_unique_id())

    assert not ran.exists()
    assert "Ignoring a log file" in caplog.text


def test_records_that_are_not_signed_do_not_count(key, caplog):
    build(Number())
    url = Number().output().url
    (file,) = Path("resources/log/runs").glob("*.jsonl")
    lines = file.read_text().splitlines()
    changed = [line.replace('"size": 5', '"size": 6') for line in lines]
    assert changed != lines
    file.write_text("".join(f"{line}\n" for line in changed))
    forget_records()

    assert records_of("./resources/").expected(url) is None
    records_of("./resources/").load()
    assert records_of("./resources/").expected(url) is None
    assert "not signed by a key" in caplog.text
    with open_index("./resources/") as index:
        assert not list(index.attempts())


def test_a_forged_commit_file_is_not_followed(key, tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    build(Number())
    entry = {"url": str(victim), "size": 4, "checksum": "", "temporary": "", "version": "", "replaces": ""}
    entry["version"] = f"{victim.stat().st_mtime_ns}-{victim.stat().st_ino}"
    lost = {**entry, "url": str(tmp_path / "nothing"), "version": "x"}
    forged = Path("resources/log/runs/00-1-1.commit.json")

    def write():
        forged.write_text(json.dumps({"outputs": [entry, lost]}))
        os.utime(forged, (1, 1))
        forget_records()
        records_of("./resources/").refresh()

    write()
    assert victim.exists()


def test_an_output_that_was_written_by_its_path_is_signed(key):
    assert build(ByPath()) == "text"
    assert ByPath().output().load() == "text"


class ByPath(TaskOnKart[str]):
    def output(self):
        return self.make_target("by_path.txt")

    def run(self):
        path = Path(self.output().path())
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("text")


class Outside(kart_runtime.ExternalTask[object]):
    suffix_of = luigi.Parameter(default="txt")

    def output(self):
        return self.make_target(f"outside.{self.suffix_of}", use_unique_id=False)


def copy_signed(source, url):
    for end in ("", ".sig"):
        put(f"{url}{end}", bytes_of(f"{source}{end}"))


class Production(TaskOnKart[str]):
    def output(self):
        return self.make_target("prod/model.pkl", use_unique_id=False)

    def run(self):
        self.dump("good")


@pytest.mark.parametrize("path", ["scratch/model.pkl", "model.pkl"])
def test_what_no_task_has_stored_is_no_output_of_a_task(workspace, key, path):
    task = Production(workspace_directory=f"{workspace}/")
    make_target(f"{workspace}/{path}").dump("an experiment")
    assert make_target(f"{workspace}/{path}").load() == "an experiment"

    copy_signed(f"{workspace}/{path}", task.output().url)

    with pytest.raises(SignatureError, match="for another name"):
        task.output().load()


def test_what_is_stored_at_the_place_of_an_external_input_by_its_path_is_read(key):
    outside = Outside(suffix_of="pkl")
    make_target(outside.output().url).dump([1])

    assert outside.output().load() == [1]


class Publishing(TaskOnKart[str]):
    name = luigi.Parameter(default="default")
    suffix = luigi.Parameter(default="pkl")

    def output(self):
        return self.make_target(f"value.{self.suffix}")

    def run(self):
        self.dump(self.name)


@pytest.mark.parametrize("of_content", [False, True])
def test_a_published_output_does_not_pass_for_one_of_a_longer_name(workspace, key, of_content):
    for name in ("cur.pkl", "models/cur.pkl"):
        task = Publishing(name=name, workspace_directory=f"{workspace}/")
        build(task)
        publish(task, name)
    short, long = (PublishedFile(f"{workspace}/", name) for name in ("cur.pkl", "models/cur.pkl"))
    assert kart_runtime.load_published(f"{workspace}/", "models/cur.pkl") == "models/cur.pkl"
    if of_content:
        copy_signed(short.content_url(short.current()), long.content_url(long.current()))
    else:
        copy_signed(short.url, long.url)

    for load in (
        lambda: kart_runtime.load_published(f"{workspace}/", "models/cur.pkl"),
        kart_runtime.Published("models/cur.pkl", workspace=f"{workspace}/").output().load,
    ):
        with pytest.raises(SignatureError, match="for another name"):
            load()


class Reading(TaskOnKart[object]):
    """A task that reads what it has dumped, while somebody else writes beside its outputs."""

    folder_of = luigi.Parameter(default="")

    def output(self):
        return self.make_target("value.folder" if self.folder_of else "value.pkl")

    def run(self):
        if self.folder_of:
            with self.folder() as path:
                (path / "a.txt").write_text("aaa")
            written = next(Path(self.workspace_directory).rglob("a.txt"))
            stat = written.stat()
            written.write_text("AAA")
            os.utime(written, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        else:
            self.dump([1])
            (temporary,) = Path(self.workspace_directory).glob(".kart-*")
            with temporary.open("r+b") as file:
                file.write(pickle.dumps(Bomb(Path(self.workspace_directory, "code-ran"))))
        self.output().load()


@pytest.mark.parametrize("folder_of", ["", "x"])
def test_what_a_task_has_dumped_is_verified_when_it_reads_it(key, folder_of):
    with pytest.raises(BuildFailed) as error:
        build(Reading(folder_of=folder_of))

    assert isinstance(error.value.__cause__, SignatureError)
    assert not Path("resources/code-ran").exists()


def test_what_is_decoded_after_a_second_look_is_what_was_verified(key, ran, monkeypatch):
    """The record is missing, as after a crash, and somebody alters the file between its verification and its use."""
    build(Number())
    target = Number().output()
    target.records = _Other(target.url)
    monkeypatch.setattr(target_module, "is_marked", lambda *_: plant(target.url, ran) or True)

    assert target.load() == 1
    assert not ran.exists()


class _Other:
    """Records of other bytes than those that are stored."""

    def __init__(self, url):
        self.url = url

    def expected(self, _):
        return OutputRecord(self.url, 1, "xxh3_128:" + "0" * 32)

    def refresh(self):
        pass

    def settle(self, _):
        return {}


def test_external_inputs_are_refused_only_if_they_can_run_code(key, ran):
    put("resources/outside.txt", b"text")
    plant("resources/outside.pkl", ran)

    assert build(Outside()) == ["text"]
    with pytest.raises(SignatureError, match="not signed"):
        build(Outside(suffix_of="pkl"))
    assert not ran.exists()


def test_a_process_that_died_before_its_rename_leaves_what_was_there_readable(key):
    build(Number())
    target = Number().output()
    statement = signing.statement_of(target.url, Number(), 3, "0" * 64)

    signing.write_signature(*store_for(target.url), statement)

    assert target.load() == 1


def test_removing_an_output_removes_its_signature(workspace, key):
    task = Number(workspace_directory=f"{workspace}/")
    build(task)

    task.output().remove()

    store, place = store_for(f"{task.output().url}.sig")
    assert store.stat(place) is None
