"""Anything that two sessions do, in any order: what a session reads is what the database says."""

import contextlib

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from sqlalchemy import create_engine, delete, event, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.pool import NullPool
from sqlalchemy_models import Base, Child, Label, Parent, Product, fill

import zoocache
from zoocache.contrib.sqlalchemy import attach

QUESTIONS = [
    select(Label.id, Label.text).order_by(Label.id),
    select(Label.text).where(Label.id == 1),
    select(Label.text).where(Label.id == 3),
    select(Product.name, Label.text).join(Product.labels).order_by(Product.id, Label.id),
    select(Child.id).order_by(Child.id),
]
SESSIONS = st.sampled_from([0, 1])
IDS = st.integers(1, 4)
TEXTS = st.sampled_from(["x", "y", "z"])


class Shop(RuleBasedStateMachine):
    """At most one of the sessions writes at a time, as SQLite wants it."""

    engine = plain = None

    def __init__(self):
        super().__init__()
        Base.metadata.drop_all(self.plain)
        Base.metadata.create_all(self.plain)
        with Session(self.plain) as session:
            fill(session)
        zoocache.clear()
        self.sessions = [Session(self.engine) for _ in range(2)]
        self.savepoints = [[], []]
        self.writer = None

    def teardown(self):
        for session in self.sessions:
            session.close()

    def write(self, number, change):
        if self.writer not in {None, number}:
            return
        session = self.sessions[number]
        try:
            change(session)
            session.flush()
            self.writer = number
        except IntegrityError:
            self.end(number, session.rollback)
        except OperationalError:  # another has written since its snapshot was taken
            self.end(number, session.rollback)

    def end(self, number, how):
        how()
        self.savepoints[number].clear()
        if self.writer == number:
            self.writer = None

    @rule(number=SESSIONS, key=IDS, value=TEXTS)
    def adds(self, number, key, value):
        self.write(number, lambda session: session.execute(insert(Label).values(id=key, text=value)))

    @rule(number=SESSIONS, key=IDS, value=TEXTS)
    def sets(self, number, key, value):
        def change(session):
            label = session.get(Label, key)
            if label is not None:
                label.text = value

        self.write(number, change)

    @rule(number=SESSIONS, key=IDS)
    def deletes(self, number, key):
        def change(session):
            label = session.get(Label, key)
            if label is not None:
                session.delete(label)

        self.write(number, change)

    @rule(number=SESSIONS, old=TEXTS, new=TEXTS)
    def sets_many(self, number, old, new):
        self.write(number, lambda s: s.execute(update(Label).where(Label.text == old).values(text=new)))

    @rule(number=SESSIONS, key=IDS, labels=st.sets(IDS))
    def labels(self, number, key, labels):
        def change(session):
            product = session.get(Product, key)
            if product is not None:
                product.labels = [label for label in session.scalars(select(Label)) if label.id in labels]

        self.write(number, change)

    @rule(number=SESSIONS, key=IDS)
    def deletes_with_children(self, number, key):
        self.write(number, lambda session: session.execute(delete(Parent).where(Parent.id == key)))

    @rule(number=SESSIONS)
    def begins_savepoint(self, number):
        with contextlib.suppress(OperationalError):
            self.savepoints[number].append(self.sessions[number].begin_nested())

    @rule(number=SESSIONS, commits=st.booleans(), depth=st.integers(0, 2))
    def ends_savepoint(self, number, commits, depth):
        if depth >= len(self.savepoints[number]):
            return
        if commits:
            self.savepoints[number].pop().commit()
        else:
            self.savepoints[number][depth].rollback()
            del self.savepoints[number][depth:]

    @rule(number=SESSIONS, commits=st.booleans())
    def ends(self, number, commits):
        session = self.sessions[number]
        self.end(number, session.commit if commits else session.rollback)

    @rule(number=SESSIONS)
    def closes(self, number):
        self.end(number, self.sessions[number].close)

    @rule(number=SESSIONS, question=st.sampled_from(QUESTIONS))
    def reads(self, number, question):
        """What has been committed since may not be seen yet; what the transaction itself has written is."""
        session = self.sessions[number]
        cached = session.execute(question, execution_options={"cached": True}).all()
        if number == self.writer:
            assert cached == session.execute(question).all()

    @rule(question=st.sampled_from(QUESTIONS))
    def another_reads(self, question):
        with Session(self.engine) as session:
            cached = session.execute(question, execution_options={"cached": True}).all()
        with Session(self.plain) as session:
            assert cached == session.execute(question).all()

    @rule(key=IDS)
    @precondition(lambda self: self.writer is None)
    def another_loads(self, key):
        options = [selectinload(Product.labels)]
        with Session(self.engine) as session:
            cached = session.get(Product, key, options=options, execution_options={"cached": True})
            found = cached and [label.text for label in cached.labels]
        with Session(self.plain) as session:
            product = session.get(Product, key, options=options)
            assert found == (product and [label.text for label in product.labels])


@pytest.mark.kinds("sqlite-wal", "postgresql")
@pytest.mark.parametrize("begin", ["driver", "own"])
def test_whatever_two_sessions_do(database, begin):
    is_strict = begin == "own" and not database.is_sqlite
    engine = database.engine(isolation_level="REPEATABLE READ") if is_strict else database.engine()
    plain = create_engine(database.url, poolclass=NullPool)
    if database.is_sqlite:
        event.listen(
            engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=0") and None
        )
        if begin == "own":
            event.listen(
                engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None)
            )
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    attach(engine)

    class Here(Shop):
        pass

    Here.engine, Here.plain = engine, plain
    checks = list(HealthCheck)
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=checks
        ),
    )
    plain.dispose()
