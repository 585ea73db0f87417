"""`many`, `get_many` and `set_many`."""

import asyncio

import pytest

import zoocache
from zoocache import (
    ConfigError,
    InvalidTag,
    add_deps,
    cacheable,
    explain,
    get_many,
    get_many_async,
    invalidate,
    set_many,
    set_many_async,
)
from zoocache.testing import disabled, frozen_time


@pytest.fixture
def counted():
    calls = []

    @cacheable(deps=lambda x: [f"x:{x}"])
    def f(x, y=0, *, z=0):
        calls.append(x)
        return [x, y, z]

    f.calls = calls
    return f


class TestMany:
    def test_results_in_order(self, counted):
        counted(2)
        assert counted.many([(1,), (2,), (3, 4), {"x": 5, "z": 6}]) == [
            [1, 0, 0],
            [2, 0, 0],
            [3, 4, 0],
            [5, 0, 6],
        ]
        assert counted.calls == [2, 1, 3, 5]
        assert counted.many(()) == []

    def test_equal_calls_are_computed_once(self, counted):
        assert counted.many([(1,), {"x": 1}, (1, 0), (2,), (1,)]) == [[1, 0, 0]] * 3 + [[2, 0, 0], [1, 0, 0]]
        assert counted.calls == [1, 2]
        first, second = counted.many([(9,), (9,)])
        assert first == second
        assert first is not second, "each caller gets its own copy"

    def test_equal_calls_that_are_not_stored_are_computed_once(self):
        calls = []

        @cacheable(deps=["a"])
        def f(x):
            calls.append(x)
            invalidate("a")
            return [x]

        assert f.many([(1,), (1,), (2,)]) == [[1], [1], [2]]
        assert calls == [1, 2]

    def test_any_iterable(self, counted):
        assert counted.many((x,) for x in range(3)) == [[0, 0, 0], [1, 0, 0], [2, 0, 0]]

    @pytest.mark.parametrize("item", [1, "a", [1], None, {1}])
    def test_an_item_that_is_no_call(self, counted, item):
        with pytest.raises(TypeError, match="call 1 "):
            counted.many([(1,), item])
        assert counted.calls == []

    def test_arguments_that_do_not_fit(self, counted):
        with pytest.raises(TypeError, match="missing a required argument"):
            counted.many([(1,), {"nothing": 1}])
        with pytest.raises(TypeError, match="no str"):
            counted.many([{1: 2}])
        with pytest.raises(ValueError, match="argument"):
            counted.many([(object(),)])
        assert counted.calls == []

    def test_an_exception_ends_it_and_what_was_computed_stays(self):
        @cacheable
        def f(x):
            return 1 // x

        with pytest.raises(ZeroDivisionError):
            f.many([(1,), (0,), (2,)])
        assert [explain(f, 1).state, explain(f, 2).state] == ["fresh", "absent"]

    def test_the_caller_depends_on_all(self, counted):
        @cacheable
        def total():
            return sum(x for x, _, _ in counted.many([(1,), (2,)]))

        counted(1)
        assert total() == 3
        invalidate("x:1")
        assert explain(total).state == "stale"

    def test_without_a_cache(self, counted):
        with disabled():
            assert counted.many([(1,), (1,)]) == [[1, 0, 0], [1, 0, 0]]
        assert counted.calls == [1, 1]

    def test_a_method_on_the_class(self):
        class Shop:
            def __zoocache_key__(self):
                return 1

            @cacheable
            def product(self, pid):
                return pid

        shop = Shop()
        assert Shop.product.many([(shop, 1), (shop, 2)]) == [1, 2]

    @pytest.mark.parametrize("limit", [0, -1, 1.5, "2", True])
    def test_a_limit_that_makes_no_sense(self, counted, limit):
        with pytest.raises(ConfigError, match="limit"):
            counted.many([(1,)], limit=limit)


class TestManyAsync:
    def test_missing_ones_are_computed_at_once(self):
        running = 0
        most = 0
        all_run = None

        @cacheable
        async def f(x):
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == 4:
                all_run.set()
            await all_run.wait()
            running -= 1
            return x

        async def main():
            nonlocal all_run
            all_run = asyncio.Event()
            return await f.many([(x % 4,) for x in range(10)])

        assert asyncio.run(main()) == [x % 4 for x in range(10)]
        assert most == 4

    def test_limit(self):
        running = 0
        most = 0

        @cacheable
        async def f(x):
            nonlocal running, most
            running += 1
            most = max(most, running)
            for _ in range(3):
                await asyncio.sleep(0)
            running -= 1
            return x

        async def main():
            assert await f.many([(x,) for x in range(20)], limit=3) == list(range(20))
            assert await f.many([(x,) for x in range(20, 25)], limit=1) == list(range(20, 25))

        asyncio.run(main())
        assert most == 3

    def test_the_first_exception_cancels_the_others_and_passes(self):
        cancelled = []

        @cacheable
        async def f(x):
            if x == 2:
                raise KeyError(x)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(x)
                raise

        async def main():
            with pytest.raises(KeyError):
                await f.many([(1,), (2,), (3,)])
            assert cancelled == [1, 3]
            assert len(asyncio.all_tasks()) == 1

        asyncio.run(main())

    @pytest.mark.not_on_server("a coroutine asks the server before it computes")
    def test_cancelled(self):
        cancelled = []

        @cacheable
        async def f(x):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(x)
                raise

        async def main():
            task = asyncio.create_task(f.many([(1,), (2,)]))
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert sorted(cancelled) == [1, 2]

        asyncio.run(main())

    def test_the_caller_depends_on_all(self):
        @cacheable
        async def f(x):
            await asyncio.sleep(0)
            add_deps([f"x:{x}"])
            return x

        @cacheable
        async def total():
            return sum(await f.many([(1,), (2,)]))

        async def main():
            assert await total() == 3
            invalidate("x:2")
            assert explain(total).state == "stale"

        asyncio.run(main())

    def test_arguments_are_checked_at_the_call(self):
        @cacheable
        async def f(x):
            return x

        with pytest.raises(TypeError, match="call 0 "):
            f.many([1])

    def test_what_is_cached_needs_no_loop_and_no_task(self):
        @cacheable
        async def f(x):
            return [x]

        async def main():
            await f.many([(1,), (2,), (1,)])
            hits = f.stats()["hits"]
            again = f.many([(1,), (2,), (1,)])
            with pytest.raises(StopIteration) as stopped:
                again.send(None)
            assert stopped.value.value == [[1], [2], [1]]
            assert f.stats()["hits"] == hits + 3

        asyncio.run(main())

    def test_without_asyncio(self):
        @cacheable
        async def f(x):
            return x

        with pytest.raises(StopIteration) as stopped:
            f.many([(1,), (2,)]).send(None)
        assert stopped.value.value == [1, 2]


class TestKeys:
    def test_only_fresh_ones(self):
        set_many({"a": 1, "b": None, "c": [3]}, deps=["t"])
        zoocache.set("d", 4)
        assert get_many(["c", "b", "absent", "d"]) == {"c": [3], "b": None, "d": 4}
        assert get_many(key for key in "ab") == {"a": 1, "b": None}
        invalidate("t")
        assert get_many(["a", "b", "c", "d"]) == {"d": 4}

    def test_values_are_copied(self):
        set_many({"a": [1]})
        get_many(["a"])["a"].append(2)
        assert get_many(["a"]) == {"a": [1]}

    def test_deps_may_be_used_up(self):
        set_many({"a": 1, "b": 2}, deps=(tag for tag in ["t"]))
        invalidate("t")
        assert get_many(["a", "b"]) == {}

    @pytest.mark.not_on_server("a server has a clock of its own")
    def test_ttl(self):
        with frozen_time() as time:
            set_many({"a": 1, "b": 2}, ttl=5)
            time.advance(6)
            assert get_many(["a", "b"]) == {}

    def test_async(self):
        async def main():
            await set_many_async({"a": 1}, deps=["t"], ttl=5)
            assert await get_many_async(["a", "b"]) == {"a": 1}

        asyncio.run(main())

    def test_nothing_is_stored_if_something_is_wrong(self):
        with pytest.raises(InvalidTag):
            set_many({"a": 1}, deps=["x|y"])
        with pytest.raises(ConfigError):
            set_many({"a": 1}, ttl=-1)
        with pytest.raises(TypeError, match="key"):
            set_many({"a": 1, 5: 1})
        with pytest.raises(TypeError, match="mapping"):
            set_many([("a", 1)])
        with pytest.raises(TypeError, match="deps"):
            set_many({"a": 1}, deps="t")
        assert get_many(["a"]) == {}

    def test_a_single_key(self):
        with pytest.raises(TypeError, match="single string"):
            get_many("abc")
