"""What is invalidated, and when: after the COMMIT of the database, whoever sends it; never what is undone."""

import pytest
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Table,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy_models import (
    Base,
    Child,
    Code,
    CodeUse,
    Engineer,
    Label,
    Parent,
    Person,
    Place,
    Product,
    Review,
    Toy,
    product_tag,
)

import zoocache
from zoocache.contrib.sqlalchemy import attach, invalidate_after_commit, row_tag, table_tag

TABLES = Base.metadata.tables


@pytest.fixture
def told():
    """The tags that were invalidated."""
    tags = set()
    with zoocache.on_invalidate(lambda new, _: tags.update(new)):
        yield tags


@pytest.fixture
def engine(database):
    engine = database.engine()
    attach(engine)
    return engine


def new_product(session):
    session.add(Product(id=9, name="new", labels=[session.get(Label, 1)]))


def through_core(session):
    session.connection().execute(
        update(TABLES["product"]).where(TABLES["product"].c.name == "tea").values(name="x")
    )


def bulk_objects(session):
    session.bulk_save_objects([Label(id=8, text="x"), Label(id=9, text="y")])


def bulk_mappings(session):
    session.bulk_update_mappings(Label, [{"id": 1, "text": "x"}, {"id": 2, "text": "y"}])


def without_flush(session):
    session.get(Label, 1).text = "x"


def by_hand(session):
    session.execute(text("UPDATE product SET name = 'x' WHERE id = 1"))
    invalidate_after_commit(session, "view", row_tag(Product, 1))


def in_cte(session):
    gone = delete(Toy).returning(Toy.id).cte()
    session.execute(select(gone.c.id))


CHANGES = {
    "insert and secondary": (new_product, {"product:9", "product_label:9:1"}),
    "update": (without_flush, {"label:1"}),
    "delete and secondary": (
        lambda s: s.delete(s.get(Product, 2)),
        {"product:2", "product_label:2:1", "product_label:2:2"},
    ),
    "inherited": (lambda s: setattr(s.get(Engineer, 2), "language", "x"), {"engineer:2", "person:2"}),
    "inherited insert": (lambda s: s.add(Engineer(id=9, name="n", language="C")), {"engineer:9", "person:9"}),
    "of the base": (lambda s: setattr(s.get(Engineer, 2), "name", "x"), {"person:2"}),
    "key": (lambda s: setattr(s.get(Code, "x"), "code", "y"), {"code", "code_use"}),
    "not the key": (lambda s: setattr(s.get(Code, "x"), "name", "y"), {"code:x"}),
    "composite": (lambda s: setattr(s.get(Place, ("a", 1)), "who", "x"), {"place:a:1"}),
    "part of a composite": (lambda s: setattr(s.get(Place, ("a", 1)), "seat", 7), {"place"}),
    "cascades of the database": (lambda s: s.delete(s.get(Parent, 1)), {"parent:1", "child", "toy"}),
    "cascades of an orm delete": (
        lambda s: s.execute(delete(Parent).where(Parent.id == 1)),
        {"parent:1", "child", "toy"},
    ),
    "cascades of an orm update": (
        lambda s: s.execute(update(Code).where(Code.code == "x").values(code="y")),
        {"code", "code_use"},
    ),
    "orm update of what is inherited": (
        lambda s: s.execute(update(Engineer).where(Engineer.id == 2).values(language="x")),
        {"engineer:2", "person:2"},
    ),
    "orm update": (lambda s: s.execute(update(Label).where(Label.text == "red").values(text="x")), {"label"}),
    "orm update of a row": (
        lambda s: s.execute(update(Label).where(Label.id == 1).values(text="x")),
        {"label:1"},
    ),
    "orm delete": (lambda s: s.execute(delete(Review)), {"review"}),
    "orm delete of a row": (lambda s: s.execute(delete(Review).where(Review.id == 1)), {"review:1"}),
    "either row": (
        lambda s: s.execute(delete(Review).where((Review.id == 1) | (Review.id == 2))),
        {"review"},
    ),
    "orm insert": (
        lambda s: s.execute(insert(Label), [{"id": 8, "text": "x"}, {"id": 9, "text": "y"}]),
        {"label:8", "label:9"},
    ),
    "insert of many values": (
        lambda s: s.execute(insert(Label).values([{"id": 8, "text": "x"}, {"id": 9, "text": "y"}])),
        {"label"},
    ),
    "insert from select": (
        lambda s: s.execute(
            insert(Label).from_select(["id", "text"], select(Product.id + 100, Product.name))
        ),
        {"label"},
    ),
    "bulk insert": (bulk_objects, {"label:8", "label:9"}),
    "bulk update": (bulk_mappings, {"label:1", "label:2"}),
    "core": (through_core, {"product"}),
    "core secondary": (
        lambda s: s.execute(insert(product_tag).values(product_id=3, label_id=1)),
        {"product_label:3:1"},
    ),
    "nothing": (lambda s: s.scalars(select(Product)).all(), set()),
    "known by hand": (by_hand, {"view", "product:1"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_commit_invalidates_what_was_changed(engine, told, name):
    change, expected = CHANGES[name]
    with Session(engine) as session:
        change(session)
        session.flush()
        assert told == set()
        session.commit()
        assert told == expected


@pytest.mark.parametrize("name", CHANGES)
def test_a_rollback_invalidates_nothing(engine, told, name):
    with Session(engine) as session:
        CHANGES[name][0](session)
        session.flush()
        session.rollback()
    with Session(engine) as session:
        session.commit()
    assert told == set()


def test_the_key_that_the_database_gives_is_told(engine, told):
    with Session(engine) as session:
        # The rows of `fill` have taken numbers that a sequence does not know of.
        if engine.dialect.name == "postgresql":
            for table in ["label", "review"]:
                session.execute(select(func.setval(f"{table}_id_seq", 100))).all()
        session.add(label := Label(text="x"))
        session.add_all([Review(text="x"), Review(text="y")])
        session.commit()
        assert told >= {f"label:{label.id}"}
        assert {tag.partition(":")[0] for tag in told} == {"label", "review"}


def test_a_failed_statement_invalidates_nothing(engine, told):
    with Session(engine) as session:
        session.add(Label(id=1, text="again"))
        with pytest.raises(Exception, match=r"(?i)unique"):
            session.commit()
        session.rollback()
        session.get(Label, 2).text = "x"
        session.commit()
    assert told == {"label:2"}


@pytest.fixture
def exact(database):
    """An engine whose savepoints are the database's: SQLite's driver has to be told to begin transactions."""
    engine = database.engine()
    if database.is_sqlite:
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    attach(engine)
    return engine


def test_savepoints(exact, told):
    with Session(exact) as session:
        session.get(Label, 1).text = "kept"
        with session.begin_nested() as undone:
            session.get(Label, 2).text = "undone"
            with session.begin_nested():
                session.get(Product, 1).name = "undone, too"
            undone.rollback()
        with session.begin_nested():
            session.get(Product, 2).name = "kept"
        session.commit()
    assert told == {"label:1", "product:2"}


def test_after_a_savepoint_is_undone_the_cache_answers_again(exact, database):
    statement = select(Label.text).order_by(Label.id)
    with Session(exact) as session:
        session.execute(statement, execution_options={"cached": True}).all()
    with Session(exact) as session:
        with session.begin_nested() as undone:
            session.execute(update(Label).values(text="undone"))
            assert session.scalars(statement, execution_options={"cached": True}).all() == ["undone"] * 2
            undone.rollback()
        database.sent.clear()
        assert session.scalars(statement, execution_options={"cached": True}).all() == ["red", "blue"]


def test_the_end_of_a_savepoint_that_commits_in_sqlite(tmp_path, told):
    engine = create_engine(f"sqlite:///{tmp_path}/plain.db")
    Base.metadata.create_all(engine)
    attach(engine)
    with Session(engine) as session:
        with session.begin_nested():
            session.add(Label(id=1, text="x"))
        session.rollback()
    with Session(engine) as session:
        is_there = session.get(Label, 1) is not None
    assert is_there == ("label:1" in told)
    engine.dispose()


def test_a_session_in_a_transaction_of_others(exact, told):
    with exact.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            session.get(Label, 1).text = "x"
            session.commit()
        assert told == set()
        with Session(connection, join_transaction_mode="rollback_only") as session:
            session.get(Label, 2).text = "x"
            session.commit()
        assert told == set()
        outer.commit()
    assert told == {"label:1", "label:2"}


def test_that_transaction_is_rolled_back(exact, told):
    with exact.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            session.get(Label, 1).text = "x"
            session.commit()
        outer.rollback()
    assert told == set()


def test_blocks_that_commit(engine, told):
    with Session(engine) as session, session.begin():
        session.get(Label, 1).text = "x"
    assert told == {"label:1"}
    with sessionmaker(engine).begin() as session:
        session.get(Label, 2).text = "x"
    with engine.begin() as connection:
        connection.execute(delete(TABLES["toy"]))
    assert told == {"label:1", "label:2", "toy"}


def test_closing_without_commit(engine, told):
    with engine.connect() as connection:
        connection.execute(delete(TABLES["toy"]))
    with engine.begin() as connection:
        connection.execute(delete(TABLES["code_use"]))
    assert told == {"code_use"}


def test_autocommit(database, told):
    engine = database.engine(isolation_level="AUTOCOMMIT")
    attach(engine)
    with engine.connect() as connection:
        connection.execute(update(TABLES["label"]).where(TABLES["label"].c.id == 1).values(text="x"))
        assert told == {"label:1"}
        connection.rollback()
        assert told == {"label:1"}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with pytest.raises(Exception, match=r"(?i)unique"):
            connection.execute(insert(TABLES["label"]), [{"id": 8, "text": "x"}, {"id": 1, "text": "again"}])
        assert "label" in told or database.fresh(lambda session: session.get(Label, 8)) is None


@pytest.mark.kinds("postgresql")
def test_two_phases(database, told):
    engine = database.engine()
    attach(engine)
    with Session(engine, twophase=True) as session:
        session.get(Label, 1).text = "x"
        session.prepare()
        assert told == set()
        session.commit()
        assert told == {"label:1"}
        session.get(Label, 2).text = "x"
        session.prepare()
        session.rollback()
    with Session(engine, twophase=True) as session:
        session.get(Product, 1)
        session.commit()
    assert told == {"label:1"}


def test_tables_that_come_and_go(engine, told):
    table = Table("passing", MetaData(), Column("id", Integer, primary_key=True))
    table.create(engine)
    assert told == {"passing"}
    told.clear()
    with Session(engine) as session:
        session.get(Label, 1).text = "x"
        session.flush()
        table.drop(session.connection())
        session.commit()
    assert told == {"passing", "label:1"}


def test_many_rows_are_told_as_their_table(engine, told):
    with Session(engine) as session:
        session.execute(insert(Label), [{"id": n, "text": "x"} for n in range(100, 1500)])
        session.commit()
    assert told == {"label"}


def test_replacing_rows(engine, told):
    upsert = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}[engine.dialect.name]
    with Session(engine) as session:
        statement = upsert(Label).values(id=1, text="x")
        session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"text": "y"}))
        session.commit()
    assert told == {"label"}


def test_text_in_a_transaction_lets_nothing_be_cached(engine, database):
    statement = select(Label.text).where(Label.id == 1).execution_options(cached=True)
    with Session(engine) as session:
        assert session.scalar(statement) == "red"
    with Session(engine) as session:
        session.execute(text("UPDATE label SET text = 'x' WHERE id = 1"))
        assert session.scalar(statement) == "x"
        invalidate_after_commit(session, row_tag(Label, 1))
        session.commit()
        assert session.scalar(statement) == "x"


def test_what_was_written_is_read_by_its_own_transaction_only(engine, database):
    statement = select(Label.text).order_by(Label.id).execution_options(cached=True)

    def ask(session):
        return session.scalars(statement).all()

    with Session(engine) as reader:
        assert ask(reader) == ["red", "blue"]
    with Session(engine) as writer:
        writer.get(Label, 1).text = "x"
        assert ask(writer) == ["x", "blue"]  # autoflush
        with Session(engine) as reader:
            assert ask(reader) == ["red", "blue"]
        writer.rollback()
        assert ask(writer) == ["red", "blue"]
        writer.get(Label, 1).text = "x"
        writer.commit()
        assert ask(writer) == ["x", "blue"]
    with Session(engine) as reader:
        assert ask(reader) == ["x", "blue"]


def test_objects_with_changes_keep_them(engine):
    statement = select(Label).where(Label.id == 1).execution_options(cached=True)
    with Session(engine) as session:
        session.scalars(statement).all()
    with Session(engine, autoflush=False) as session:
        label = session.scalars(statement).one()
        label.text = "pending"
        assert session.scalars(statement).one() is label
        assert label.text == "pending"
        assert session.scalars(statement, execution_options={"populate_existing": True}).one().text == "red"


@pytest.mark.parametrize("crash_safe", [False, True])
def test_an_error_in_the_commit_invalidates_all_the_same(database, told, crash_safe):
    engine = database.engine()
    commit = engine.dialect.do_commit

    def broken(connection):
        commit(connection)
        message = "the answer was lost"
        raise OSError(message)

    engine.dialect.do_commit = broken
    attach(engine, crash_safe=crash_safe)
    with Session(engine) as session:
        session.get(Label, 1).text = "x"
        with pytest.raises(OSError, match="lost"):
            session.commit()
    assert told == {"label:1"}
    engine.dialect.do_commit = commit


def test_crash_safe_commits_are_changes(database, told):
    engine = database.engine()
    states = []
    commit = engine.dialect.do_commit

    def asking(connection):
        states.append(zoocache.explain("entry").state)
        commit(connection)

    engine.dialect.do_commit = asking
    attach(engine, crash_safe=True)
    zoocache.set("entry", 1, deps=["label:*"])
    with Session(engine) as session:
        session.get(Label, 1).text = "x"
        session.commit()
    assert states == ["changing"]
    assert told == {"label:1"}


def sessions_of(engine):
    class Own(Session):
        pass

    own = sessionmaker(class_=Own)
    own.configure(bind=engine)
    single = Session(engine)
    return {
        "engine": (engine, Session(engine)),
        "options": (engine.execution_options(logging_token="x"), Session(engine)),
        "sessionmaker": ((maker := sessionmaker(engine)), maker()),
        "unbound": ((late := sessionmaker()), late(bind=engine)),
        "configured": (own, own()),
        "class": (Own, Own(engine)),
        "session": (single, single),
        "scoped": ((scoped := scoped_session(sessionmaker(engine))), scoped()),
        "binds": ((binds := sessionmaker(binds={Label: engine})), binds()),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "engine",
        "options",
        "sessionmaker",
        "unbound",
        "configured",
        "class",
        "session",
        "scoped",
        "binds",
    ],
)
def test_what_can_be_attached_and_detached(database, told, kind):
    target, session = sessions_of(database.engine())[kind]
    with attach(target), attach(target):
        session.get(Label, 1).text = "x"
        session.commit()
        assert told == {"label:1"}
    session.get(Label, 2).text = "x"
    session.commit()
    assert told == {"label:1"}
    session.close()


def test_everything_is_as_before_after_detaching(database):
    engine = database.engine()
    before = {
        name: getattr(engine.dialect, name) for name in ["do_commit", "do_rollback", "statement_compiler"]
    }
    attach(engine).detach()
    assert before == {name: getattr(engine.dialect, name) for name in before}


def test_wrong_targets_and_options(database):
    engine = database.engine()
    with pytest.raises(Exception, match=r"attach\(\) needs an engine.* not 'engine'"):
        attach("engine")
    with pytest.raises(zoocache.InvalidTag):
        attach(engine, prefix="a|b")
    for prefix in ["a" * 51, "a:" * 10 + "a"]:
        with pytest.raises(Exception, match="prefix may have 50 characters and 8 levels"):
            attach(engine, prefix=prefix)
    with pytest.raises(zoocache.ConfigError, match="timeout"):
        attach(engine, timeout=-1)
    with Session(engine) as session, pytest.raises(Exception, match="is not attached"):
        invalidate_after_commit(session, "a")
    attach(engine)
    with pytest.raises(Exception, match="attached already with other options"):
        attach(engine, prefix="shop")


def test_prefix_and_cache(database):
    engine = database.engine()
    statement = select(Label.text).where(Label.id == 1).execution_options(cached=True)
    with zoocache.Cache() as cache, attach(engine, prefix="shop:a", cache=cache), Session(engine) as session:
        assert session.scalar(statement) == "red"
        session.get(Label, 1).text = "x"
        session.commit()
        assert session.scalar(statement) == "x"
        assert cache.get_tag_version(row_tag(Label, 1, prefix="shop:a")) > 0
        assert cache.get_tag_version(table_tag(Product, prefix="shop:a")) == 0
    assert zoocache.stats()["entries"] == 0


def test_statements_that_were_compiled_before(database, told):
    engine = database.engine()
    changes = [CHANGES[name] for name in CHANGES if name != "known by hand"]
    with Session(engine) as session:
        for change, _ in changes:
            change(session)
            session.flush()
            session.rollback()
    attach(engine)
    for change, expected in changes:
        told.clear()
        with Session(engine) as session:
            change(session)
            session.commit()
            # Rows may not be known.
            assert {tag.partition(":")[0] for tag in told} == {tag.partition(":")[0] for tag in expected}
        database.fill()


@pytest.mark.kinds("postgresql")
def test_deleting_in_a_cte(database, told):
    engine = database.engine()
    attach(engine)
    with Session(engine) as session:
        in_cte(session)
        session.commit()
    assert told == {"toy"}


def test_key_of_an_instance(engine):
    with Session(engine) as session:
        assert row_tag(session.get(Engineer, 2)) == row_tag(Person, 2) == "person:2"
        assert row_tag(session.get(Place, ("a", 1))) == "place:a:1"
        assert table_tag(Engineer) == table_tag(TABLES["person"]) == "person"
        assert inspect(session.get(Child, 1)).identity == (1,)
        assert row_tag(CodeUse(id=5)) == "code_use:5"
