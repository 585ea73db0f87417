"""The option `cached`, and tags."""

import datetime as dt
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, String, Table, func, literal_column, select, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session
from sqlalchemy_models import Base, Everything, Label, Place, Product

import zoocache
from zoocache.contrib.sqlalchemy import Cached, attach, row_tag, table_tag
from zoocache.testing import frozen_time

LABEL = select(Label.text).where(Label.id == 1)


@pytest.fixture
def session(database):
    engine = database.engine()
    attach(engine)
    with Session(engine) as session:
        yield session


@pytest.mark.kinds("sqlite")
@pytest.mark.parametrize("ttl", [10, "10s", dt.timedelta(seconds=10)])
@pytest.mark.parametrize("make", [lambda ttl: {"ttl": ttl}, lambda ttl: Cached(ttl=ttl)])
def test_ttl(session, database, ttl, make):
    statement = LABEL.execution_options(cached=make(ttl))
    with frozen_time() as clock:
        session.scalar(statement)
        database.sent.clear()
        session.scalar(statement)
        assert database.sent == []
        clock.advance(11)
        session.scalar(statement)
        assert len(database.sent) == 1


@pytest.mark.kinds("sqlite")
def test_tags(session, database):
    statement = LABEL.execution_options(cached={"tags": ["view:1"]})
    session.scalar(statement)
    for tag, is_sent in [
        ("view:2", False),
        ("view:1", True),
        ("label:2", False),
        ("label:1", True),
        ("label", True),
    ]:
        database.sent.clear()
        zoocache.invalidate(tag)
        session.scalar(statement)
        assert bool(database.sent) == is_sent, tag


@pytest.mark.kinds("sqlite")
def test_key(session, database):
    for tenant in ["one", "two", 1, "1"]:
        database.sent.clear()
        session.scalar(LABEL, execution_options={"cached": Cached(key=tenant)})
        assert len(database.sent) == 1
    session.scalar(LABEL, execution_options={"cached": Cached(key="one")})
    assert len(database.sent) == 1


@pytest.mark.kinds("sqlite")
@pytest.mark.parametrize(
    ("statement", "option", "message"),
    [
        (LABEL, 5, "needs True, False, a dict or Cached"),
        (LABEL, {"tll": 5}, "knows ttl, tags and key, not 'tll'"),
        (LABEL, {"tags": "view"}, "tags must be a list"),
        (LABEL.where(text("1 = 1")), True, "holds text, whose tables cannot be seen"),
        (text("SELECT 1"), True, "holds text, whose tables cannot be seen"),
        (select(func.now()), True, "names no table, so that what it reads cannot be seen"),
    ],
)
def test_options_that_mean_nothing(session, statement, option, message):
    with pytest.raises(ArgumentError, match=message):
        session.execute(statement, execution_options={"cached": option})


@pytest.mark.kinds("sqlite")
def test_text_that_reads_nothing_else(session, database):
    statement = LABEL.order_by(text("1")).execution_options(cached={"tags": []})
    session.scalar(statement)
    database.sent.clear()
    session.scalar(statement)
    assert database.sent == []
    assert session.scalar(select(literal_column("5")).select_from(Label).execution_options(cached=True)) == 5


@pytest.mark.kinds("sqlite")
@pytest.mark.parametrize("option", [None, False])
def test_not_cached(session, option):
    session.scalar(LABEL, execution_options={"cached": option})
    assert zoocache.stats()["entries"] == 0


@pytest.mark.kinds("sqlite")
def test_for_whole_engines(database):
    engine = database.engine()
    attach(engine)
    for _ in range(2):
        database.sent.clear()
        with Session(engine.execution_options(cached=True)) as session:
            # Lazy loads are cached, too.
            assert [[label.text for label in product.labels] for product in session.scalars(select(Product))]
            assert session.get(Label, 1).text == "red"
    assert database.sent == []


@pytest.mark.kinds("sqlite")
def test_values_that_callers_change_do_not_change_the_cache(session, database):
    statement = (
        select(Everything.data).where(Everything.id == uuid.UUID(int=2)).execution_options(cached=True)
    )
    session.scalar(statement)["a"].append("changed")
    assert "changed" not in session.scalar(statement)["a"]


@pytest.mark.kinds("postgresql")
def test_arrays_that_callers_change_do_not_change_the_cache(session):
    statement = select(func.array_agg(Label.text)).execution_options(cached=True)
    session.scalar(statement).append("changed")
    assert "changed" not in session.scalar(statement)


@pytest.mark.kinds("sqlite")
def test_cached_functions_depend_on_cached_statements(session, database):
    computed = []

    @zoocache.cacheable
    def labels():
        computed.append(1)
        return list(session.scalars(select(Label.text), execution_options={"cached": True}))

    session.get(Label, 1).text = "x"
    session.flush()
    labels()  # reads what is not committed, and depends on it all the same
    session.commit()
    assert labels() == ["x", "blue"]
    assert len(computed) == 2


@pytest.mark.kinds("sqlite")
def test_an_error_of_the_database(session):
    statement = text("SELECT absent FROM label").execution_options(cached={"tags": ["a"]})
    for _ in range(2):
        with pytest.raises(Exception, match="no such column: absent"):
            session.execute(statement)
        session.rollback()
    assert session.scalar(LABEL.execution_options(cached=True)) == "red"


TEXTS = st.text(max_size=300)


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_tags_are_valid_and_different(first, second, third, fourth):
    def table(name, schema):
        return Table(
            name or "t",
            MetaData(),
            Column("a", String, primary_key=True),
            Column("b", String, primary_key=True),
            schema=schema or None,
        )

    one, other = table(first, second), table(third, fourth)
    tags = [row_tag(table, *key) for table in (one, other) for key in [(first, second), (third, fourth)]]
    zoocache.invalidate(*tags)
    assert (tags[0] == tags[1]) == ((first, second) == (third, fourth))
    same = ((first or "t").lower(), second.lower()) == ((third or "t").lower(), fourth.lower())
    assert (table_tag(one) == table_tag(other)) == same


def test_tags_of_long_keys():
    table = Table("t", MetaData(), *[Column(f"c{n}", Integer, primary_key=True) for n in range(20)])
    keys = [tuple(range(20)), tuple(range(1, 21))]
    tags = [row_tag(table, *key) for key in keys]
    zoocache.invalidate(*tags)
    assert len(set(tags)) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5,), "a Table, a mapped class or an instance of one is needed, not 5"),
        ((Place, "a"), "a value for each column of the primary key of 'place' \\(row, seat\\), not 1 values"),
        (
            (Table("bare", MetaData(), Column("x", Integer)), 1),
            "needs a table with a primary key, which 'bare' has not",
        ),
        ((Base, 1), "a Table, a mapped class or an instance"),
    ],
)
def test_tags_of_nothing(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        row_tag(*arguments)


def test_schemas():
    assert table_tag(Label, schema="Shop") == "shop.label"
    assert row_tag(Label, 5, schema="shop", prefix="main") == "main:shop.label:5"
    assert row_tag(Everything, uuid.UUID(int=1)) == "everything:00000000-0000-0000-0000-000000000001"
