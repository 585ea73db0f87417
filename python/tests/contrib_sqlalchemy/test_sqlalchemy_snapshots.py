"""What a transaction reads from a snapshot that is older than a change is never stored."""

import sqlite3

import pytest
from helpers import Running, wait_until
from sqlalchemy import create_engine, event, select, text, update
from sqlalchemy.orm import Session, aliased
from sqlalchemy_models import Code, Label, Product, Review

import zoocache
from zoocache.contrib.sqlalchemy import attach

LABEL = select(Label.text).where(Label.id == 1).execution_options(cached=True)
LEVELS = [None, "SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED", "READ UNCOMMITTED", "AUTOCOMMIT"]


def write(engine, value):
    with Session(engine) as session:
        session.get(Label, 1).text = value
        session.commit()


def begins(engine):
    """Let SQLite's driver begin transactions as others do."""
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))


@pytest.mark.kinds("postgresql")
@pytest.mark.parametrize("is_cached", [False, True], ids=["first is not cached", "first is cached"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_reader_whose_transaction_began_before_a_change(database, level, is_cached):
    engine = database.engine(**({} if level is None else {"isolation_level": level}))
    check_reader(engine, is_cached)


@pytest.mark.kinds("sqlite-wal")
@pytest.mark.parametrize("is_cached", [False, True], ids=["first is not cached", "first is cached"])
@pytest.mark.parametrize("level", [None, "SERIALIZABLE", "READ UNCOMMITTED", "AUTOCOMMIT", "own BEGIN"])
def test_a_reader_of_sqlite(database, level, is_cached):
    engine = database.engine(**({} if level in {None, "own BEGIN"} else {"isolation_level": level}))
    if level == "own BEGIN":
        begins(engine)
    check_reader(engine, is_cached)


def check_reader(engine, is_cached):
    attach(engine)
    first = select(Product.name).execution_options(cached=is_cached)
    with Session(engine) as reader:
        reader.execute(first).all()
        write(engine, "changed")
        assert reader.scalar(LABEL) in {"red", "changed"}
        with Session(engine) as other:
            assert other.scalar(LABEL) == "changed"
        assert reader.scalar(LABEL) in {"red", "changed"}
    with Session(engine) as other:
        assert other.scalar(LABEL) == "changed"


@pytest.mark.kinds("sqlite-wal")
def test_a_result_that_is_being_read_keeps_a_snapshot_of_sqlite(database):
    engine = database.engine()
    attach(engine)
    many = select(aliased(Label).id).join(Product, text("1 = 1")).join(Review, text("1 = 1"))
    with engine.connect() as connection:
        result = connection.execute(many)
        result.fetchone()
        connection.commit()
        write(engine, "changed")
        assert connection.execute(LABEL).scalar() == "red"  # as the database says
        with engine.connect() as other:
            assert other.execute(LABEL).scalar() == "changed"
        result.all()
        assert connection.execute(LABEL).scalar() == "changed"


@pytest.mark.kinds("sqlite-wal", "postgresql")
def test_a_change_while_a_statement_runs(database):
    """The rows were read before the change, and come after its invalidation."""
    engine = database.engine()
    attach(engine)
    execute = engine.dialect.do_execute
    others = []

    def slowly(cursor, statement, parameters, context=None):
        execute(cursor, statement, parameters, context)
        if context.execution_options.get("cached") and not others:
            others.append(write)
            write(engine, "changed")

    engine.dialect.do_execute = slowly
    with Session(engine) as session:
        assert session.scalar(LABEL) == "red"
    with Session(engine) as session:
        assert session.scalar(LABEL) == "changed"
    assert zoocache.stats()["born_stale"] == 1


def test_one_thread_asks_for_all(database):
    engine = database.engine(pool_size=10)
    attach(engine)
    execute = engine.dialect.do_execute
    asked = []

    def ask():
        with Session(engine) as session:
            return session.scalar(LABEL)

    def slowly(cursor, statement, parameters, context=None):
        if context.execution_options.get("cached"):
            asked.append(statement)
            wait_until(lambda: zoocache.stats()["waits"] >= 4)
        execute(cursor, statement, parameters, context)

    engine.dialect.do_execute = slowly
    threads = [Running(ask) for _ in range(5)]
    assert [thread.result() for thread in threads] == ["red"] * 5
    assert len(asked) == 1


@pytest.mark.kinds("postgresql")
def test_serializable_transactions_read_from_their_snapshot(database):
    """Once it has one: what is cached may be newer than what the transaction has read."""
    engine = database.engine(isolation_level="REPEATABLE READ")
    attach(engine)
    with Session(engine) as session:
        session.scalar(LABEL)  # fills
    with Session(engine) as reader:
        assert reader.scalars(select(Code.name)).all() == ["ex"]
        write(engine, "changed")
        with Session(engine) as other:
            assert other.scalar(LABEL) == "changed"
        assert reader.scalar(LABEL) == "red"


@pytest.mark.kinds("postgresql")
def test_levels_of_single_transactions(database):
    engine = database.engine()
    attach(engine)
    with Session(engine) as reader:
        reader.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        reader.execute(select(Product.name)).all()
        write(engine, "changed")
        assert reader.scalar(LABEL) == "red"
    with Session(engine) as reader:
        assert reader.scalar(LABEL) == "changed"


def test_locked_rows_are_never_cached(database):
    engine = database.engine()
    attach(engine)
    for _ in range(2):
        with Session(engine) as session:
            database.sent.clear()
            session.scalar(LABEL.with_for_update())
            assert any("label" in statement for statement in database.sent)
            session.scalar(LABEL)
            assert len(database.sent) >= 2


def test_streams_are_not_cached(database):
    engine = database.engine()
    attach(engine)
    for options in [{"yield_per": 1}, {"stream_results": True}]:
        with Session(engine) as session:
            assert session.scalars(
                select(Label.text), execution_options={"cached": True, **options}
            ).all() == ["red", "blue"]
    assert zoocache.stats()["entries"] == 0


def test_two_databases_share_nothing(tmp_path):
    engines = [create_engine(f"sqlite:///{tmp_path}/{name}.db") for name in "ab"]
    engines += [create_engine("sqlite://"), create_engine("sqlite://")]
    engines += [create_engine("sqlite://", creator=lambda: sqlite3.connect(tmp_path / "c.db"))]
    for number, engine in enumerate(engines):
        attach(engine)
        Label.__table__.create(engine)
        with Session(engine) as session:
            session.add(Label(id=1, text=str(number)))
            session.commit()
    for _ in range(2):
        for number, engine in enumerate(engines):
            with Session(engine) as session:
                assert session.scalar(LABEL) == str(number)
    for engine in engines:
        engine.dispose()


@pytest.mark.kinds("postgresql")
def test_tenants_by_schema_share_nothing(database):
    engine = database.engine()
    attach(engine)
    with engine.begin() as connection:
        for tenant in ["one", "two"]:
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {tenant} CASCADE")
            connection.exec_driver_sql(f"CREATE SCHEMA {tenant}")
    tenants = {name: engine.execution_options(schema_translate_map={None: name}) for name in ["one", "two"]}
    for name, tenant in tenants.items():
        Label.__table__.create(tenant)
        with Session(tenant) as session:
            session.add(Label(id=1, text=name))
            session.commit()
    told = []
    for _ in range(2):
        for name, tenant in tenants.items():
            with Session(tenant) as session:
                assert session.scalar(LABEL) == name
    with zoocache.on_invalidate(lambda tags, _: told.extend(tags)):
        write(tenants["one"], "changed")
    assert told == ["one.label:1"]
    database.sent.clear()
    with Session(tenants["two"]) as session:
        assert session.scalar(LABEL) == "two"
    assert database.sent == []
    with Session(tenants["one"]) as session:
        assert session.scalar(LABEL) == "changed"


@pytest.mark.kinds("postgresql")
def test_users_of_a_database_share_nothing(database):
    """They may see different rows."""
    engine = database.engine()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS reader")
        connection.exec_driver_sql("CREATE ROLE reader LOGIN")
        connection.exec_driver_sql("ALTER TABLE label ENABLE ROW LEVEL SECURITY")
        connection.exec_driver_sql("GRANT SELECT ON label TO reader")
    attach(engine)
    restricted = create_engine(engine.url.set(username="reader"))
    attach(restricted)
    with Session(engine) as session:
        assert session.scalar(LABEL) == "red"
    with Session(restricted) as session:
        assert session.scalar(LABEL) is None
    restricted.dispose()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP OWNED BY reader")
        connection.exec_driver_sql("DROP ROLE reader")


@pytest.mark.kinds("postgresql")
def test_settings_of_a_transaction_let_nothing_be_cached(database):
    engine = database.engine()
    attach(engine)
    with Session(engine) as session:
        session.scalar(LABEL)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA IF EXISTS elsewhere CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA elsewhere")
        connection.exec_driver_sql("CREATE TABLE elsewhere.label AS SELECT 1 AS id, 'other' AS text")
    with Session(engine) as session:
        session.execute(text("SET LOCAL search_path TO elsewhere"))
        assert session.scalar(LABEL) == "other"
    with Session(engine) as session:
        assert session.scalar(LABEL) == "red"


@pytest.mark.kinds("postgresql")
def test_a_writer_that_waits(database):
    """A transaction that has written does not wait for others' computations, which may wait for it."""
    engine = database.engine()
    attach(engine)
    with Session(engine) as writer:
        writer.execute(text("LOCK TABLE label IN ACCESS EXCLUSIVE MODE"))

        def read():
            with Session(engine) as reader:
                return reader.scalar(LABEL)

        reader = Running(read)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: database.fresh(lambda session: session.scalar(text(waiting))))
        assert writer.scalar(LABEL) == "red"
        writer.execute(update(Label).where(Label.id == 1).values(text="changed"))
        writer.commit()
        assert reader.result() == "changed"
