"""Two processes that share a folder: what one commits, the other reads."""

import pytest
from other_process import Other
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy_models import Everything, Label

import zoocache
from zoocache.contrib.sqlalchemy import attach

LABELS = select(Label.text).order_by(Label.id).execution_options(cached=True)
EVERYTHING = select(Everything).order_by(Everything.id).execution_options(cached=True)


@pytest.mark.kinds("sqlite-wal", "postgresql")
def test_two_processes(database, tmp_path):
    folder = tmp_path / "cache"
    zoocache.configure(storage_url=f"lmdb://{folder}")
    engine = database.engine()
    attach(engine)

    def labels():
        with Session(engine) as session:
            return list(session.scalars(LABELS))

    with Other(folder, cwd=__file__.rpartition("/")[0]) as other:
        other.run(f"url = {database.url!r}")
        other.run(
            """
            import sys
            sys.path.insert(0, ".")
            from sqlalchemy import create_engine, select
            from sqlalchemy.orm import Session
            from sqlalchemy_models import Everything, Label
            from zoocache.contrib.sqlalchemy import attach
            engine = create_engine(url)
            attach(engine)
            sent = []
            execute = engine.dialect.do_execute
            def note(cursor, statement, *rest):
                sent.append(statement)
                execute(cursor, statement, *rest)
            engine.dialect.do_execute = note
            def labels():
                with Session(engine) as session:
                    statement = select(Label.text).order_by(Label.id).execution_options(cached=True)
                    return list(session.scalars(statement))
            def everything():
                with Session(engine) as session:
                    statement = select(Everything).order_by(Everything.id).execution_options(cached=True)
                    return [one.money and one.money.cents for one in session.scalars(statement)]
            def write(text):
                with Session(engine) as session:
                    session.get(Label, 1).text = text
                    session.commit()
            """
        )
        assert labels() == ["red", "blue"]
        with Session(engine) as session:
            session.scalars(EVERYTHING).all()
        other.run("sent.clear()")
        assert other("labels()") == ["red", "blue"]
        assert other("everything()") == [None, 995]
        assert (
            other("[one for one in sent if 'label' in one or 'everything' in one]") == []
        )  # this process has asked
        for number in range(10):
            other.run(f"write('other {number}')")
            assert labels() == [f"other {number}", "blue"]
            with Session(engine) as session:
                session.get(Label, 1).text = f"own {number}"
                session.commit()
            assert other("labels()") == [f"own {number}", "blue"]
        assert other.end() == 0


@pytest.mark.kinds("sqlite-wal", "postgresql")
def test_a_process_that_dies_between_commit_and_invalidation(database, tmp_path):
    folder = tmp_path / "cache"
    zoocache.configure(storage_url=f"lmdb://{folder}")
    engine = database.engine()
    attach(engine)
    with Session(engine) as session:
        assert session.scalars(LABELS).all() == ["red", "blue"]
    with Other(folder, cwd=__file__.rpartition("/")[0]) as other:
        other.run(f"url = {database.url!r}")
        other.run(
            """
            import os, sys
            sys.path.insert(0, ".")
            from sqlalchemy import create_engine
            from sqlalchemy.orm import Session
            from sqlalchemy_models import Label
            from zoocache.contrib.sqlalchemy import attach
            engine = create_engine(url)
            commit = engine.dialect.do_commit
            def die(connection):
                commit(connection)
                os._exit(1)
            engine.dialect.do_commit = die
            attach(engine, crash_safe=True)
            session = Session(engine)
            session.get(Label, 1).text = "last words"
            """
        )
        with pytest.raises(AssertionError, match="has ended"):
            other.run("session.commit()")
        with Session(engine) as session:
            assert session.scalars(LABELS).all() == ["last words", "blue"]
