"""Statements inside of cached functions: what these make of rows is stale when the rows are."""

import asyncio

import pytest
from sqlalchemy import event, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy_models import Label, Product

import zoocache
from zoocache.contrib.sqlalchemy import attach


def write(engine, value, number=1):
    with Session(engine) as session:
        session.get(Label, number).text = value
        session.commit()


def test_a_function_is_stale_when_a_row_that_it_read_is(database):
    engine = database.engine()
    attach(engine)

    @zoocache.cacheable
    def label(number):
        with Session(engine) as session:
            return session.get(Label, number).text

    @zoocache.cacheable
    def count():
        with Session(engine) as session:
            return session.scalar(select(func.count()).select_from(Product))

    before = label(1), label(2), count()
    database.sent.clear()
    assert (label(1), label(2), count()) == before
    assert database.sent == []
    write(engine, "changed")
    database.sent.clear()
    assert (label(1), label(2), count()) == ("changed", *before[1:])
    # The row that was changed alone.
    assert len([sent for sent in database.sent if "SELECT" in sent]) == 1


def test_a_coroutine_is_stale_when_a_row_that_it_read_is(database):
    async def run():
        engine = database.async_engine()
        attach(engine)

        @zoocache.cacheable
        async def label():
            async with AsyncSession(engine) as session:
                return (await session.get(Label, 1)).text

        try:
            first = [await label() for _ in range(2)]
            async with AsyncSession(engine) as session:
                (await session.get(Label, 1)).text = "changed"
                await session.commit()
            return [*first, await label()]
        finally:
            await engine.dispose()

    assert asyncio.run(run()) == ["red", "red", "changed"]


def test_what_a_transaction_has_written_is_for_itself(database):
    engine = database.engine()
    attach(engine)

    @zoocache.cacheable(key=lambda: 1)
    def label(session):
        return session.get(Label, 1, populate_existing=True).text

    with Session(engine) as writer:
        writer.execute(update(Label).where(Label.id == 1).values(text="not committed"))
        assert label(writer) == "not committed"
        writer.rollback()
    with Session(engine) as other:
        assert label(other) == "red"


@pytest.mark.parametrize("inside", [False, True], ids=["snapshot before", "snapshot inside"])
@pytest.mark.parametrize("level", ["REPEATABLE READ", "READ COMMITTED"])
@pytest.mark.kinds("postgresql")
def test_a_function_in_an_old_snapshot_keeps_its_result_for_itself(database, level, inside):
    engine = database.engine(isolation_level=level)
    attach(engine)
    calls = []

    @zoocache.cacheable(key=lambda: 1)
    def label(session):
        calls.append(1)
        session.scalar(select(func.count()).select_from(Product))
        return session.scalar(select(Label.text).where(Label.id == 1))

    with Session(engine) as reader:
        if not inside:
            reader.scalar(select(func.count()).select_from(Label))
        write(engine, "changed")
        read = label(reader)
        assert read == ("red" if level == "REPEATABLE READ" and not inside else "changed")
    with Session(engine) as other:
        assert label(other) == "changed"
    is_kept = inside or level == "READ COMMITTED"
    assert len(calls) == (1 if is_kept else 2)


@pytest.mark.kinds("sqlite-wal")
@pytest.mark.parametrize("inside", [False, True], ids=["snapshot before", "snapshot inside"])
def test_the_same_with_sqlite(database, inside):
    engine = database.engine()
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    attach(engine)

    @zoocache.cacheable(key=lambda: 1)
    def label(session):
        session.scalar(select(func.count()).select_from(Product))
        return session.scalar(select(Label.text).where(Label.id == 1))

    with Session(engine) as reader:
        if not inside:
            reader.scalar(select(func.count()).select_from(Label))
        write(engine, "changed")
        assert label(reader) == ("changed" if inside else "red")
    with Session(engine) as other:
        assert label(other) == "changed"


def test_text_in_a_function_says_nothing(database):
    engine = database.engine()
    attach(engine)

    @zoocache.cacheable(deps=["label"])
    def label():
        with Session(engine) as session:
            return session.scalar(text("SELECT text FROM label WHERE id = 1"))

    assert label() == "red"
    write(engine, "changed")
    assert label() == "red"
    zoocache.invalidate("label")
    assert label() == "changed"


READS = {
    "text": lambda session: session.scalar(text("SELECT text FROM label WHERE id = 1")),
    "columns": lambda session: session.execute(
        text("SELECT text FROM label WHERE id = 1").columns(Label.text)
    ).scalar(),
    "driver": lambda session: (
        session.connection().exec_driver_sql("/* ours */ SELECT text FROM label WHERE id = 1").scalar()
    ),
    "locks": lambda session: session.scalar(select(Label.text).where(Label.id == 1).with_for_update()),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_what_text_and_locks_read_of_what_is_not_committed_is_for_itself(database, read):
    engine = database.engine()
    attach(engine)
    label = zoocache.cacheable(key=lambda: 1)(read)

    with Session(engine) as writer:
        writer.execute(update(Label).where(Label.id == 1).values(text="not committed"))
        assert label(writer) == "not committed"
        writer.rollback()
    with Session(engine) as other:
        assert label(other) == "red"


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.kinds("postgresql")
def test_what_text_and_locks_read_of_an_old_snapshot_is_for_itself(database, read):
    engine = database.engine(isolation_level="REPEATABLE READ")
    attach(engine)
    label = zoocache.cacheable(key=lambda: 1)(read)

    with Session(engine) as reader:
        reader.scalar(text("SELECT 1"))
        with Session(engine) as writer:
            writer.execute(update(Label).where(Label.id == 2).values(text="changed"))
            writer.commit()
        label(reader)
        assert label.stats()["entries"] == 0


def test_texts_that_only_read_do_not_keep_each_other_from_being_stored(database):
    engine = database.engine()
    attach(engine)
    calls = []

    @zoocache.cacheable
    def labels():
        calls.append(1)
        with Session(engine) as session:
            one = text("SELECT text FROM label WHERE id = :id")
            return [session.scalar(one, {"id": number}) for number in (1, 2)]

    assert labels() == labels()
    assert calls == [1]


def test_rows_that_are_locked_are_dependencies(database):
    engine = database.engine()
    attach(engine)

    @zoocache.cacheable
    def label():
        with Session(engine) as session:
            return READS["locks"](session)

    assert label() == "red"
    write(engine, "changed")
    assert label() == "changed"


def all_labels(session, **options):
    statement = select(Label).order_by(Label.id).execution_options(**options)
    return [label.text for label in session.scalars(statement)]


OLD = {
    "statement": all_labels,
    "cached": lambda session: all_labels(session, cached=True),
    "loader": lambda session: [session.get(Label, number).text for number in (2, 1)],
    "locked": lambda session: session.scalar(select(Label).where(Label.id == 1).with_for_update()).text,
}


@pytest.mark.parametrize("read", OLD.values(), ids=OLD)
def test_objects_that_a_session_had_before_are_for_itself(database, read):
    engine = database.engine(isolation_level=None if database.is_sqlite else "READ COMMITTED")
    attach(engine)
    labels = zoocache.cacheable(key=lambda: 1)(read)

    with Session(engine) as session:
        held = session.get(Label, 1)
        write(engine, "changed")
        labels(session)
        assert held.text == "red"
    with Session(engine) as other:
        assert "changed" in labels(other)


def test_objects_that_were_changed_and_not_flushed_are_for_themselves(database):
    engine = database.engine()
    attach(engine)
    labels = zoocache.cacheable(key=lambda: 1)(all_labels)

    with Session(engine, autoflush=False) as session:
        session.get(Label, 1).text = "not flushed"
        assert "not flushed" in labels(session)
    with Session(engine) as other:
        assert "not flushed" not in labels(other)


KEPT = {
    "of other tables": lambda session: session.scalars(select(Product)).all(),
    "of the function's own": lambda session: None,
    "expired": lambda session: (all_labels(session), session.commit()),
}


@pytest.mark.parametrize("before", KEPT.values(), ids=KEPT)
def test_other_objects_keep_nothing_from_being_stored(database, before):
    engine = database.engine()
    attach(engine)
    calls = []

    @zoocache.cacheable(key=lambda: 1)
    def labels(session):
        calls.append(1)
        return all_labels(session), all_labels(session), session.scalar(select(func.max(Label.id)))

    for _ in range(2):
        with Session(engine) as session:
            held = before(session)
            labels(session)
            del held
    assert calls == [1]


@pytest.mark.parametrize(
    "read",
    [
        lambda session: all_labels(session, populate_existing=True),
        lambda session: list(session.scalars(select(Label.text))),
    ],
    ids=["populate_existing", "columns"],
)
def test_statements_that_do_not_return_old_objects_are_stored(database, read):
    engine = database.engine()
    attach(engine)
    labels = zoocache.cacheable(key=lambda: 1)(read)

    with Session(engine) as session:
        held = session.get(Label, 1)
        write(engine, "changed")
        assert "changed" in labels(session)
        assert labels.stats()["entries"] == 1
        del held
