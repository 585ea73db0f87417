"""Sessions of asyncio: the same, and the event loop goes on."""

import asyncio

import pytest
from redis_server import Server
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import selectinload
from sqlalchemy.util import await_only
from sqlalchemy_models import Label, Product

import zoocache
from zoocache.contrib.sqlalchemy import attach, invalidate_after_commit, row_tag

CACHED = {"cached": True}
LABELS = select(Label.text).order_by(Label.id).execution_options(cached=True)


def run(database, test, **options):
    """Run a test with an engine that is attached."""

    async def main():
        engine = database.async_engine()
        attach(engine, **options)
        try:
            await test(engine)
        finally:
            await engine.dispose()

    asyncio.run(main())


@pytest.mark.parametrize("crash_safe", [False, True])
def test_reads_and_writes(database, crash_safe):
    async def test(engine):
        async with AsyncSession(engine) as session:
            assert (await session.scalars(LABELS)).all() == ["red", "blue"]
        database.sent.clear()
        async with AsyncSession(engine) as session:
            assert (await session.scalars(LABELS)).all() == ["red", "blue"]
            assert database.sent == []
            (await session.get(Label, 1)).text = "changed"
            await session.rollback()
            (await session.get(Label, 2)).text = "changed"
            await session.commit()
            assert (await session.scalars(LABELS)).all() == ["red", "changed"]
            async with session.begin_nested():
                await session.execute(update(Label).values(text="all"))
            assert (await session.scalars(LABELS)).all() == ["all", "all"]
            await session.commit()
        async with AsyncSession(engine) as session:
            assert (await session.scalars(LABELS)).all() == ["all", "all"]

    run(database, test, crash_safe=crash_safe)


def test_eager_loads(database):
    async def test(engine):
        statement = select(Product).options(selectinload(Product.labels)).order_by(Product.id)
        for _ in range(3):
            database.sent.clear()
            async with AsyncSession(engine) as session:
                products = (await session.scalars(statement, execution_options=CACHED)).all()
                assert [[label.text for label in product.labels] for product in products] == [
                    ["red"],
                    ["red", "blue"],
                    [],
                ]
        assert database.sent == []

    run(database, test)


def test_one_task_asks_for_all(database):
    async def test(engine):
        async def ask():
            async with AsyncSession(engine) as session:
                return (await session.scalars(LABELS)).all()

        await ask()
        zoocache.clear()
        database.sent.clear()
        assert await asyncio.gather(*[ask() for _ in range(5)]) == [["red", "blue"]] * 5
        assert len(database.sent) == 1

    run(database, test)


def test_a_task_that_is_cancelled_leaves_the_question_to_another(database):
    async def test(engine):
        begun, cancelled = asyncio.Event(), asyncio.Event()
        execute = engine.sync_engine.dialect.do_execute

        def held(cursor, statement, parameters, context=None):
            if context.execution_options.get("cached") and not begun.is_set():
                begun.set()
                await_only(cancelled.wait())
            execute(cursor, statement, parameters, context)

        async def ask():
            async with AsyncSession(engine) as session:
                return (await session.scalars(LABELS)).all()

        engine.sync_engine.dialect.do_execute = held
        task = asyncio.ensure_future(ask())
        await begun.wait()
        others = [asyncio.ensure_future(ask()) for _ in range(2)]
        while zoocache.stats()["waits"] < len(others):
            await asyncio.sleep(0)
        task.cancel()
        assert await asyncio.gather(*others) == [["red", "blue"]] * 2
        with pytest.raises(asyncio.CancelledError):
            await task
        cancelled.set()

    run(database, test)


def test_what_can_be_attached(database):
    async def main():
        engine = database.async_engine()
        maker = async_sessionmaker(engine)
        late = async_sessionmaker()
        targets = {
            "engine": (engine, maker),
            "maker": (maker, maker),
            "late": (late, lambda: late(bind=engine)),
            "class": (AsyncSession, maker),
            "scoped": (async_scoped_session(maker, asyncio.current_task), maker),
        }
        told = []
        with zoocache.on_invalidate(lambda tags, _: told.extend(tags)):
            for number, (target, new) in enumerate(targets.values()):
                with attach(target):
                    async with new() as session:
                        (await session.get(Label, 1)).text = str(number)
                        await session.commit()
                assert told == ["label:1"] * (number + 1)
            single = maker()
            with attach(single):
                (await single.get(Label, 1)).text = "single"
                await single.commit()
            await single.close()
        assert told == ["label:1"] * (len(targets) + 1)
        await engine.dispose()

    asyncio.run(main())


def test_by_hand_and_core(database):
    async def test(engine):
        told = []
        with zoocache.on_invalidate(lambda tags, _: told.extend(tags)):
            async with AsyncSession(engine) as session:
                await session.connection()
                invalidate_after_commit(session, row_tag(Label, 1))
                await session.commit()
            async with engine.begin() as connection:
                await connection.execute(update(Label).where(Label.id == 2).values(text="x"))
                invalidate_after_commit(connection, "view")
            async with engine.connect() as connection:
                result = await connection.stream(LABELS)
                assert [row async for row in result.scalars()] == ["red", "x"]
        assert sorted(told) == ["label:1", "label:2", "view"]

    run(database, test)


def test_cached_functions_depend_on_the_tables(database):
    async def test(engine):
        @zoocache.cacheable
        async def labels():
            async with AsyncSession(engine) as session:
                return list((await session.scalars(LABELS)).all())

        for _ in range(2):
            assert await labels() == ["red", "blue"]
        async with AsyncSession(engine) as session:
            (await session.get(Label, 1)).text = "x"
            await session.commit()
        assert await labels() == ["x", "blue"]

    run(database, test)


@pytest.mark.kinds("sqlite")
def test_a_server_that_is_slow_does_not_block_the_event_loop(database):
    server = Server()
    zoocache.configure(storage_url=server.url)

    async def test(engine):
        async with AsyncSession(engine) as session:
            assert (await session.scalars(LABELS)).all() == ["red", "blue"]
            (await session.get(Label, 1)).text = "x"
            await session.flush()
            server.pause()
            committing = asyncio.ensure_future(session.commit())
            turns = 0
            while turns < 1000:
                await asyncio.sleep(0)
                turns += 1
            assert not committing.done()
            server.go_on()
            await committing
            assert (await session.scalars(LABELS)).all() == ["x", "blue"]

    run(database, test)
    zoocache.reset()
    server.end()
