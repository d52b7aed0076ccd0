"""What is logged while a task runs is kept with it, up to a size, and changes nothing of the program's logging."""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path

import luigi
import pytest

from kart_runtime import BuildFailed, TaskOnKart, build
from kart_runtime.errors.secrets import note_secret
from kart_runtime.execution.log_lines import LogLines, keep_log_records
from kart_runtime.history.runs import read_records
from kart_runtime.storage.registry import store_for

logger = logging.getLogger("mine")

EXECUTORS = [
    pytest.param({}, id="serial"),
    pytest.param({"executor": "threads", "workers": 2}, id="threads"),
    pytest.param({"executor": "processes", "workers": 2}, id="processes"),
]


class Talks(TaskOnKart[int]):
    number: luigi.IntParameter = luigi.IntParameter(default=0)
    fails: luigi.BoolParameter = luigi.BoolParameter(default=False)
    lines: luigi.IntParameter = luigi.IntParameter(default=2)

    def run(self):
        logger.debug("not at this level")
        for line in range(self.lines):
            logger.warning("line %d of %s", line, self.number)
        if self.fails:
            try:
                raise KeyError("inner")
            except KeyError:
                logger.exception("it is lost")
            raise RuntimeError("it fails")
        self.dump(1)


def lines_of(task):
    path = Path(task.workspace_directory, "log", "lines", f"{type(task).__name__}_{task.make_unique_id()}.log")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else None


@pytest.mark.parametrize("options", EXECUTORS)
def test_each_task_keeps_its_own_records(options):
    tasks = [Talks(number=number) for number in range(3)]
    build([*tasks, Talks(lines=0)], **options)
    for task in tasks:
        lines = lines_of(task)
        assert [line.partition("WARNING")[2] for line in lines] == [f" mine: line {n} of {task.number}" for n in (0, 1)]
        assert lines[0][:4].isdecimal()
    assert lines_of(Talks(lines=0)) is None
    records = {record.unique_id: record for record in read_records("resources")}
    assert [records[task.make_unique_id()].logged for task in tasks] == [2, 2, 2]
    assert "lines" in records[tasks[0].make_unique_id()].log_files
    assert "lines" not in records[Talks(lines=0).make_unique_id()].log_files


@pytest.mark.parametrize("options", EXECUTORS)
def test_a_failure_keeps_them_with_tracebacks(options):
    task = Talks(fails=True)
    with pytest.raises(BuildFailed):
        build(task, **options)
    lines = lines_of(task)
    assert "ERROR mine: it is lost" in lines[2]
    assert lines[-1] == "KeyError: 'inner'"
    (record,) = read_records("resources")
    assert (record.state, record.logged) == ("failed", 3)
    assert record.trace.endswith("RuntimeError: it fails\n")


def test_they_can_be_switched_off():
    build(Talks(), keep_logs=False)
    build(Talks(number=1, should_dump_supplementary_log_files=False))
    assert not Path("resources/log/lines").exists()
    assert [record.logged for record in read_records("resources")] == [0, 2]


def test_they_are_kept_in_any_workspace(bucket):
    task = Talks(workspace_directory=f"{bucket.url}/w")
    build(task)
    store, key = store_for(f"{bucket.url}/w/log/lines/Talks_{task.make_unique_id()}.log")
    with store.open(key) as file:
        assert file.read().count(b"mine: line") == 2


def record_of(text, **values):
    return logging.LogRecord("mine", logging.INFO, __file__, 1, text, None, None, **values)


@pytest.mark.parametrize("text", ["x" * 60, "ü" * 60, "x" * 10_000, "\udc80"])
def test_many_records_keep_their_beginning_and_their_end(text):
    lines = LogLines()
    for number in range(3000):
        lines.add(record_of(""), f"{number} {text}")
    data = lines.data()
    shown = data.decode().splitlines()
    assert len(data) < (1 << 16) + 100
    assert lines.count == 3000
    assert ": 0 " in shown[0]
    assert ": 2999 " in shown[-1]
    (gap,) = [line for line in shown if line.startswith("...")]
    assert int(gap.split()[1]) + len(shown) - 1 == 3000


def test_a_factory_of_the_program_adds_no_record_twice(request):
    before = logging.getLogRecordFactory()
    request.addfinalizer(lambda: logging.setLogRecordFactory(before))

    class Sets(TaskOnKart[int]):
        number: luigi.IntParameter = luigi.IntParameter()

        def run(self):
            below = logging.getLogRecordFactory()
            logging.setLogRecordFactory(lambda *args, **kwargs: below(*args, **kwargs))
            logger.warning("once")
            logging.makeLogRecord({"msg": "received", "levelno": 30})
            self.dump(1)

    for number in range(3):
        build(Sets(number=number))
        assert [line.rpartition(" ")[2] for line in lines_of(Sets(number=number))] == ["once"]


def test_handlers_of_the_program_get_no_secret(caplog):
    note_secret("hunter2hunter2")
    keep_log_records()
    try:
        raise ValueError("hunter2hunter2")
    except ValueError:
        logger.exception("with %s", "hunter2hunter2")
    shown = "\n".join(logging.Formatter().format(record) for record in caplog.records[:1])
    assert "with ***" in shown
    assert "ValueError: ***" in shown
    assert "hunter2" not in shown


def test_a_message_whose_arguments_do_not_fit_is_kept():
    class Mistaken(TaskOnKart[int]):
        def run(self):
            mistaken = logging.Logger("mistaken")
            mistaken.addHandler(logging.NullHandler())
            mistaken.warning("%d is no number", "two")
            self.dump(1)

    build(Mistaken())
    assert lines_of(Mistaken())[0].endswith("mistaken: %d is no number (TypeError in its arguments)")


@pytest.mark.parametrize("arguments", [("hunter2hunter2",), ({"a": ["hunter2hunter2"]},)])
def test_the_report_of_wrong_arguments_shows_no_secret(arguments, capsys):
    note_secret("hunter2hunter2")
    keep_log_records()
    log = logging.Logger("mistaken")
    log.addHandler(logging.StreamHandler(sys.stderr))
    log.warning("%d and %d", *arguments)
    shown = capsys.readouterr().err
    assert "%d and %d" in shown
    assert "hunter2" not in shown


def test_a_thread_that_run_starts_logs_as_before(caplog):
    class Starts(TaskOnKart[int]):
        def run(self):
            thread = threading.Thread(target=lambda: logger.warning("from a thread"))
            thread.start()
            thread.join()
            self.dump(1)

    build(Starts())
    assert "from a thread" in caplog.text


class Structured(logging.Formatter):
    """A formatter as those that write JSON: it takes whatever a record has."""

    def format(self, record):
        trace = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        return repr({**{name: value for name, value in vars(record).items() if name != "exc_info"}, "trace": trace})


class Says:
    def __str__(self):
        return "an object with secret-value-1"


def test_a_formatter_of_the_program_gets_no_secret(caplog):
    note_secret("secret-value-1")
    keep_log_records()
    lines = []
    handler = logging.Handler()
    handler.setFormatter(Structured())
    handler.emit = lambda record: lines.append(handler.format(record))
    logger.addHandler(handler)
    try:
        more = {"token": "secret-value-1", "all": {"a": ["x secret-value-1"], "n": 1}, "object": Says(), "number": 7}
        logger.warning("with %s", "secret-value-1", extra=more)
        logger.warning("%(shown)s", {"shown": "nothing", "unused": "secret-value-1"})
        logger.warning("stack", stack_info=True)
        try:
            raise KeyError("secret-value-1")
        except KeyError as error:
            error.add_note("noted secret-value-1")
            logger.exception("it fails")
    finally:
        logger.removeHandler(handler)
    assert len(lines) == 4
    assert not [line for line in lines if "secret-value-1" in line]
    assert "'token': '***'" in lines[0]
    assert "'number': 7" in lines[0]
    assert "'all': {'a': ['x ***'], 'n': 1}" in lines[0]
    assert "noted ***" in lines[3]
    assert more["token"] == "secret-value-1"  # what the program passed is its own


def test_what_libraries_log_of_their_requests_is_kept_without_credentials():
    class Asks(TaskOnKart[int]):
        def run(self):
            log = logging.getLogger("botocore.auth")
            log.setLevel(logging.DEBUG)
            try:
                log.debug("CanonicalRequest:\n%s", "GET\nx-amz-security-token:IQoJb3JpZ2lu\nhost:x")
            finally:
                log.setLevel(logging.NOTSET)
            self.dump(1)

    build(Asks())
    text = "\n".join(lines_of(Asks()))
    assert "x-amz-security-token:***" in text
    assert "IQoJ" not in text


def test_masking_is_cheap():
    note_secret([f"secret-number-{number}" for number in range(10)])
    make = logging.getLogRecordFactory()
    keep_log_records()
    began = time.perf_counter()
    for number in range(10_000):
        logger.makeRecord("mine", logging.INFO, __file__, 1, "line %d of a log that says what it does", (number,), None)
    assert time.perf_counter() - began < 5
    logging.setLogRecordFactory(make)
