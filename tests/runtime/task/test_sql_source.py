"""Queries: what the database gives is stored, under an id that says which query it is, and no secret gets out."""

from __future__ import annotations

import datetime
import re
import sqlite3
import sys
import time

import luigi
import pandas as pd
import polars as pl
import pytest
import sqlalchemy
from sqlalchemy import create_engine, text

from kart_runtime import BuildFailed, SqlSource, TaskOnKart, build
from kart_runtime.cli.formatting import format_value
from kart_runtime.errors import EnvVarMissing, PlanError
from kart_runtime.storage.codecs.reading import CannotRead
from kart_runtime.task.sql_query import QueryFailed

DAY = datetime.date(2026, 1, 1)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A SQLite database in the working folder, which DATABASE_URL names by a relative path."""
    (tmp_path / "data").mkdir()
    with sqlite3.connect(tmp_path / "data/shop.db") as connection:
        connection.execute("create table orders (id integer, day text, price real)")
        rows = [(1, "2026-01-01", 2.5), (2, "2026-01-01", 3.5), (3, "2026-01-02", 9.0)]
        connection.executemany("insert into orders values (?, ?, ?)", rows)
    connection.close()
    monkeypatch.setenv("DATABASE_URL", "sqlite:///data/shop.db")
    return tmp_path / "data/shop.db"


class Orders(SqlSource[pd.DataFrame]):
    query = "select id, price from orders where day = :day order by id"
    day: luigi.DateParameter = luigi.DateParameter()


class Revenue(TaskOnKart[float]):
    def requires(self):
        return Orders(day=DAY, root=self.root)

    root: luigi.Parameter[str] = luigi.Parameter(significant=False)

    def run(self):
        self.dump(float(self.load()["price"].sum()))


def orders(shop, **given):
    return Orders(**{"day": DAY, "root": str(shop.parents[1]), **given})


def failure(task):
    with pytest.raises(BuildFailed) as raised:
        build(task)
    return next(iter(raised.value.causes.values())), str(raised.value)


@pytest.mark.parametrize(
    "options", [{}, {"executor": "threads", "workers": 2}, {"executor": "processes", "workers": 2}]
)
def test_rows_of_bound_values_become_a_frame_that_is_stored(shop, options):
    assert build(Revenue(root=str(shop.parents[1])), **options) == 6.0
    shop.unlink()  # the stored result is there
    assert build(orders(shop)).to_dict("list") == {"id": [1, 2], "price": [2.5, 3.5]}
    assert orders(shop).output().path().endswith(".parquet")


@pytest.mark.parametrize("suffix", ["csv", ".csv.zst", ".pkl"])
def test_a_suffix_of_the_class_chooses_the_format(shop, suffix):
    chosen = suffix

    class Stored(Orders):
        suffix = chosen

    task = Stored(day=DAY, root=str(shop.parents[1]))
    assert build(task).to_dict("list") == {"id": [1, 2], "price": [2.5, 3.5]}
    assert task.output().path().endswith(f"{task.make_unique_id()}.{suffix.removeprefix('.')}")


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pl.LazyFrame])
def test_the_declared_type_chooses_the_library(shop, frame):
    class Count(SqlSource[frame]):
        query = "select count(*) as n from orders where id in :ids"
        params = {"ids": [1, 3]}

    value = build(Count(root=str(shop.parents[1])))
    assert isinstance(value, frame)
    assert list(value["n"] if frame is not pl.LazyFrame else value.collect()["n"]) == [2]


def test_the_id_has_query_values_and_version_but_not_the_url(shop, tmp_path):
    before = orders(shop).make_unique_id()
    assert orders(shop, url="sqlite:///elsewhere.db").make_unique_id() == before
    changed = [
        orders(shop, day=datetime.date(2026, 1, 2)),
        orders(shop, version="2"),
        orders(shop, params={"limit": 3}),
        orders(shop, options={"dtype": {"id": "int32"}}),
        orders(shop, query="select 1"),
    ]
    assert len({before, *(task.make_unique_id() for task in changed)}) == 6


def test_the_text_of_a_query_file_counts(shop, tmp_path):
    class FromFile(SqlSource[pd.DataFrame]):
        query = "queries/all.sql"

    file = tmp_path / "queries/all.sql"
    with pytest.raises(PlanError, match=r"there is no file .*queries/all\.sql.* There is no folder"):
        build(FromFile(root=str(tmp_path)))
    file.parent.mkdir()
    file.write_text("select count(*) as n from orders -- those of all days: 12:30")
    task = FromFile(root=str(tmp_path))
    before = task.make_unique_id()
    assert list(build(task)["n"]) == [3]
    file.write_text("select max(id) as n from orders where id < 3")
    assert list(build(task)["n"]) == [2]
    assert task.make_unique_id() != before


def test_a_secret_is_asked_for_only_when_the_query_runs(shop, monkeypatch):
    monkeypatch.delenv("DATABASE_URL")
    task = orders(shop)
    assert not task.complete()
    assert task.clone(day=datetime.date(2026, 1, 2)).make_unique_id()
    error, _ = failure(task)
    assert isinstance(error, EnvVarMissing)
    assert "Orders.url: environment variable DATABASE_URL is not set" in str(error)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///data/shop.db")
    build(task)
    monkeypatch.delenv("DATABASE_URL")
    assert len(build(orders(shop))) == 2


def test_no_text_of_a_task_has_the_url(shop):
    task = orders(shop, url="postgresql://me:s3cret@127.0.0.1/shop")
    shown = [repr(task), str(task), task.get_info(), task.to_str_params(), task.task_id, task.output().path()]
    assert "s3cret" not in str(shown)
    assert task.url.endswith("s3cret@127.0.0.1/shop")
    assert format_value(Orders.url, task.url) == "***"
    assert format_value(Orders.url, "${oc.env:DATABASE_URL}") == "${oc.env:DATABASE_URL}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"query": "selct 1"}, "syntax error"),
        ({"query": "select * from order_items"}, "no such table: order_items"),
        ({"query": "select :dya"}, r"uses :dya, .* Did you mean ':day'\?"),
        ({"params": {"dya": 1}}, r"params has 'dya', .* Did you mean 'day'\?"),
        ({"url": "sqlite:///data/shops.db"}, r"there is no SQLite database .*data/shops\.db"),
        ({"url": "no url with s3cret"}, r"its url is not that of a database"),
        ({"url": "postgres://u:s3cret@h/d"}, "Write postgresql instead of postgres"),
        ({"url": "mssql+pymssql://u:s3cret@h/d"}, r"the driver of mssql\+pymssql is not installed"),
        ({"url": ""}, "it has no url"),
        ({"query": "delete from orders"}, "attempt to write a readonly database"),
    ],
)
def test_a_mistake_is_explained_with_the_name_of_the_task(shop, given, message):
    error, printed = failure(orders(shop, **given))
    assert isinstance(error, QueryFailed)
    assert str(error).startswith("Orders[")
    assert re.search(message, str(error))
    assert "s3cret" not in printed
    with sqlite3.connect(shop) as connection:
        assert connection.execute("select count(*) from orders").fetchone() == (3,)
    connection.close()


def test_a_wrong_option_names_the_nearest_one(shop):
    error, _ = failure(orders(shop, options={"dtypes": {"id": "int32"}}))
    assert isinstance(error, CannotRead)
    assert "pandas.read_sql_query has no option 'dtypes'. Did you mean 'dtype'?" in str(error)
    assert build(orders(shop, options={"dtype": {"id": "int32"}}))["id"].dtype == "int32"


def test_without_sqlalchemy_the_extra_is_named(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    error, _ = failure(orders(shop))
    assert "kart-runtime[sql]" in str(error)


@pytest.fixture
def postgresql(postgresql_url, monkeypatch):
    engine = create_engine(postgresql_url)
    with engine.begin() as connection:
        connection.execute(text("drop table if exists orders"))
        connection.execute(text("create table orders (id int, day date, price numeric(8, 2), note text)"))
        connection.execute(text("insert into orders values (1, '2026-01-01', 2.5, 'x'), (2, '2026-01-02', 3, null)"))
    monkeypatch.setenv("DATABASE_URL", postgresql_url)
    yield engine
    engine.dispose()


class Sales(SqlSource[pd.DataFrame]):
    query = "select *, day::text as written, note = '10:30' as late from orders where day = :day and id in :ids"
    params = {"ids": [1, 2]}
    day: luigi.DateParameter = luigi.DateParameter()


def test_postgresql(postgresql):
    frame = build(Sales(day=DAY))
    assert frame.to_dict("list") == {
        "id": [1], "day": [DAY], "price": [2.5], "note": ["x"], "written": ["2026-01-01"], "late": [False],
    }  # fmt: skip
    others = "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
    deadline = time.monotonic() + 30  # the server notices it a moment later
    with postgresql.connect() as connection:
        while connection.execute(text(others)).scalar():
            assert time.monotonic() < deadline, "the connection is still open"
            time.sleep(0.05)


def test_postgresql_is_only_read(postgresql):
    error, _ = failure(Sales(day=DAY, query="delete from orders where day = :day returning id", params={}))
    assert "read-only transaction" in str(error)
    with postgresql.connect() as connection:
        assert connection.execute(text("select count(*) from orders")).scalar() == 2


def test_no_error_of_postgresql_has_the_password_or_a_value(postgresql, postgresql_url, monkeypatch):
    place = sqlalchemy.engine.make_url(postgresql_url)
    wrong = [
        place.set(password="wr0ng-s3cret"),
        place.set(port=1, password="wr0ng-s3cret"),
        place.set(host="no-such-host.invalid", password="wr0ng-s3cret"),
    ]
    for url in wrong:
        monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        error, printed = failure(Sales(day=DAY))
        assert isinstance(error, QueryFailed)
        assert "Sales[" in str(error)
        assert "s3cret" not in printed
        assert error.__cause__ is None
    monkeypatch.setenv("DATABASE_URL", postgresql_url)
    _, printed = failure(Sales(day=DAY, query="select * from nothing where day = :day and 1 in :ids"))
    assert 'relation "nothing" does not exist' in printed
    assert "se:cret" not in printed
