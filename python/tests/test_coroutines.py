"""The call of an async cached function is a coroutine like any other, on a miss and on a hit."""

import asyncio
import collections.abc
import contextvars
import gc
import inspect
import sys
import threading
import warnings
import weakref

import pytest

import zoocache
from zoocache import cacheable, invalidate


@cacheable
async def value(x):
    await asyncio.sleep(0)
    return x


@cacheable
async def at_once(x):
    return x


async def plain(x):
    await asyncio.sleep(0)
    return x


def test_a_call_is_a_coroutine():
    call = value(1)
    assert isinstance(call, collections.abc.Coroutine)
    assert isinstance(call, collections.abc.Awaitable)
    assert not isinstance(call, collections.abc.Iterable)
    assert asyncio.iscoroutine(call)
    assert inspect.isawaitable(call)
    assert call.__name__ == "value"
    assert call.__qualname__ == "value"
    call.close()


@pytest.mark.parametrize("await_it", [True, False])
def test_a_call_can_be_referenced_weakly(await_it):
    died = []
    call = value(1)
    reference = weakref.ref(call, died.append)
    assert reference() is call
    if await_it:
        assert asyncio.run(call) == 1
    else:
        call.close()
    assert not died
    del call
    assert died == [reference]
    assert reference() is None


def test_an_async_function_is_recognized():
    class Shop:
        @cacheable(ignore=("self",))
        async def method(self):
            return 1

        @classmethod
        @cacheable
        async def of_class(cls):
            return 1

        @staticmethod
        @cacheable
        async def static():
            return 1

    for function in (value, Shop.method, Shop().method, Shop.of_class, Shop().of_class, Shop.static):
        assert inspect.iscoroutinefunction(function)
    assert not inspect.iscoroutinefunction(cacheable(lambda: None))


def test_the_ways_to_run_a_call():
    async def main():
        for x in range(3):
            assert await value(x) == x
            assert await asyncio.create_task(value(x)) == x
            assert await asyncio.ensure_future(value(x)) == x
            assert await asyncio.wait_for(value(x), 5) == x
            assert await asyncio.shield(value(x)) == x
            assert await asyncio.gather(value(x), value(x + 10), value(x)) == [x, x + 10, x]
            done, _ = await asyncio.wait([asyncio.create_task(value(x)), asyncio.create_task(value(x + 20))])
            assert {task.result() for task in done} == {x, x + 20}
            assert [await first for first in asyncio.as_completed([value(x)])] == [x]
            if sys.version_info >= (3, 11):
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(value(x)) for _ in range(3)]
                assert [task.result() for task in tasks] == [x] * 3
        loop = asyncio.get_running_loop()
        future = asyncio.run_coroutine_threadsafe(value(1), loop)
        assert await asyncio.wrap_future(future) == 1

    asyncio.run(main())
    assert asyncio.run(value(99)) == 99
    assert asyncio.run(value(99)) == 99


@pytest.mark.parametrize(
    "result", [None, (), (1, 2), [1], StopIteration(5), ValueError("a value"), ValueError, StopIteration]
)
@pytest.mark.memory_only("its values have no bytes")
def test_results_that_a_stop_iteration_could_damage(result):
    @cacheable(copy="share")
    async def f():
        return result

    async def main():
        for _ in range(3):
            assert await f() is result
            assert await asyncio.create_task(f()) is result

    asyncio.run(main())


def test_sending_by_hand():
    call = value(5)
    assert call.send(None) is None  # the bare yield of sleep(0)
    with pytest.raises(StopIteration) as stop:
        call.send(None)
    assert stop.value.value == 5
    # A hit ends at the first step.
    with pytest.raises(StopIteration) as stop:
        value(5).send(None)
    assert stop.value.value == 5


@pytest.mark.parametrize("hit", [False, True])
def test_a_call_cannot_be_awaited_twice(hit):
    async def main():
        if hit:
            await value(1)
        call = value(1)
        assert await call == 1
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await call

    asyncio.run(main())


def test_a_call_cannot_be_awaited_by_two():
    async def main():
        call = value(1)
        first = asyncio.create_task(wrap(call))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
            await call
        assert await first == 1

    async def wrap(call):
        return await call

    asyncio.run(main())


def test_a_call_can_be_awaited_by_an_iterator():
    class Lazy:
        def __await__(self):
            return (yield from value(1).__await__())

    class Direct:
        def __await__(self):
            return value(1).__await__()

    async def main():
        for _ in range(2):
            assert await Lazy() == 1
            assert await Direct() == 1

    asyncio.run(main())


def outcome(action):
    """What happens, in comparable form."""
    try:
        return "returned", action()
    except BaseException as error:  # noqa: BLE001 - any outcome
        return type(error), str(error), getattr(error, "value", None)


def created(coroutine):
    return coroutine


def running(coroutine):
    coroutine.send(None)
    return coroutine


def finished(coroutine):
    for _ in range(2):
        outcome(lambda: coroutine.send(None))
    return coroutine


def closed(coroutine):
    coroutine.close()
    return coroutine


ACTIONS = {
    "send": lambda c: c.send(None),
    "send a value": lambda c: c.send(5),
    "throw an exception": lambda c: c.throw(LookupError("thrown")),
    "throw a class": lambda c: c.throw(LookupError),
    "throw GeneratorExit": lambda c: c.throw(GeneratorExit),
    "close": lambda c: c.close(),
    "throw nonsense": lambda c: c.throw(5),
}


@pytest.mark.parametrize("stage", [created, running, finished, closed], ids=lambda stage: stage.__name__)
@pytest.mark.parametrize("action", ACTIONS)
def test_every_stage_behaves_as_that_of_a_plain_coroutine(stage, action):
    zoocache.reset()
    expected, actual = stage(plain(1)), stage(value(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for _ in range(2):
            assert outcome(lambda: ACTIONS[action](actual)) == outcome(lambda: ACTIONS[action](expected))
    expected.close()
    actual.close()


@pytest.mark.parametrize("action", ["send a value", "throw an exception", "close"])
def test_a_hit_that_was_not_started_behaves_as_a_plain_coroutine(action):
    asyncio.run(at_once(1))

    async def plain_at_once(x):
        return x

    expected, actual = plain_at_once(1), at_once(1)
    assert outcome(lambda: ACTIONS[action](actual)) == outcome(lambda: ACTIONS[action](expected))
    expected.close()
    actual.close()


def test_what_is_thrown_reaches_the_function_and_its_answer_comes_back():
    @cacheable
    async def f():
        try:
            await asyncio.sleep(0)
        except LookupError:
            return "caught"

    call = f()
    call.send(None)
    with pytest.raises(StopIteration) as stop:
        call.throw(LookupError())
    assert stop.value.value == "caught"
    assert asyncio.run(f()) == "caught"


def test_closing_runs_the_functions_cleanup():
    cleaned = []

    @cacheable
    async def f():
        try:
            await asyncio.sleep(0)
        finally:
            cleaned.append(1)

    call = f()
    call.send(None)
    call.close()
    assert cleaned == [1]
    call.close()


def test_a_function_that_ignores_closing_is_an_error():
    ignored = []

    @cacheable
    async def f():
        while len(ignored) < 1:
            try:
                await asyncio.sleep(0)
            except GeneratorExit:
                ignored.append(1)
        await asyncio.sleep(0)

    call = f()
    call.send(None)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        call.close()
    call.close()
    assert asyncio.run(f()) is None


def test_a_call_that_is_never_awaited_warns():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value(1)
        gc.collect()
    assert [str(warning.message) for warning in caught] == ["coroutine 'value' was never awaited"]
    assert caught[0].category is RuntimeWarning


def test_a_call_that_was_closed_or_awaited_does_not_warn():
    value(1).close()
    asyncio.run(value(1))
    asyncio.run(value(1))
    gc.collect()


def test_nothing_happens_before_the_first_step():
    calls = []

    @cacheable
    async def f():
        calls.append(1)
        return len(calls)

    async def main():
        first, second = f(), f()
        assert calls == []
        assert await second == 1
        invalidate(f.tag)
        # Fresh at the moment it is awaited, not at the moment it was made.
        assert await first == 2

    asyncio.run(main())


def test_arguments_that_do_not_fit_are_an_error_at_the_call():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        value()
    with pytest.raises(TypeError):
        value(1, 2)


def test_arguments_without_an_encoding_are_an_error_when_awaited():
    with pytest.raises(ValueError, match=r"value.*'?x"):
        asyncio.run(value(object()))


def test_the_repr_of_a_task_and_of_a_function_name_it():
    async def main():
        task = asyncio.create_task(value(1))
        assert "value" in repr(task)
        assert await task == 1
        assert "value" in repr(task)

    asyncio.run(main())
    assert "value" in repr(value)
    assert "async" in repr(value)


def test_debug_mode_of_asyncio():
    async def main():
        assert await asyncio.gather(value(1), value(1), asyncio.create_task(value(2))) == [1, 1, 2]

    asyncio.run(main(), debug=True)


def test_a_cancelled_caller_cancels_the_function():
    async def main():
        started = asyncio.Event()
        cancelled = []

        @cacheable
        async def f():
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(1)
                raise

        task = asyncio.create_task(f())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(f(), 0.01)
        assert cancelled == [1, 1]

    asyncio.run(main())


def test_arguments_are_freed_with_the_call():
    class Argument:
        def __zoocache_key__(self):
            return 1

    argument = Argument()
    reference = weakref.ref(argument)
    assert asyncio.run(at_once.__wrapped__(1)) == 1

    @cacheable
    async def f(x):
        return 1

    asyncio.run(f(argument))
    asyncio.run(f(argument))
    f(argument).close()
    del argument
    gc.collect()
    assert reference() is None


def test_a_cycle_through_a_call_is_collected():
    class Node:
        def __zoocache_key__(self):
            return 1

    @cacheable
    async def f(node):
        await asyncio.sleep(0)

    node = Node()
    node.call = f(node)
    node.call.send(None)
    reference = weakref.ref(node)
    del node
    gc.collect()
    assert reference() is None


def test_a_coroutine_that_is_resumed_from_inside_of_itself():
    calls = {}

    async def resume():
        try:
            calls["own"].send(None)
        except (ValueError, RuntimeError) as error:
            return str(error)

    expected = resume()
    calls["own"] = expected
    with pytest.raises(StopIteration) as plain_stop:
        expected.send(None)
    cached = cacheable(resume)()
    calls["own"] = cached
    with pytest.raises(StopIteration) as stop:
        cached.send(None)
    assert stop.value.value == plain_stop.value.value == "coroutine already executing"


def test_other_kinds_of_loops():
    """What is not asyncio drives coroutines by hand, each in a context of its own."""

    class Pause:
        def __await__(self):
            yield

    @cacheable
    async def f(x):
        await Pause()
        return x

    def drive(coroutine):
        context = contextvars.copy_context()
        try:
            while True:
                yield context.run(coroutine.send, None)
        except StopIteration as stop:
            results.append(stop.value)

    results = []
    first, second = drive(f(1)), drive(f(1))
    next(first)  # computes
    # It cannot be woken, so it computes, too.
    assert len([*second, *first]) == 1
    assert list(drive(f(1))) == []
    assert results == [1, 1, 1]


def test_async_callable_objects():
    class Callable:
        async def __call__(self, x):
            await asyncio.sleep(0)
            return [x]

    f = cacheable(namespace="callable")(Callable())
    assert asyncio.run(f(1)) == asyncio.run(f(1)) == [1]
    assert f.stats()["hits"] == 1


def test_many_threads_with_loops():
    def run():
        async def main():
            return [await value(x % 7) for x in range(200)]

        assert asyncio.run(main()) == [x % 7 for x in range(200)]

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
