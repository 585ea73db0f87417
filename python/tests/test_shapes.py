"""Functions of every shape: what can be cached is, what cannot says so when it is decorated."""

import asyncio
import functools
import inspect

import pytest

from zoocache import cacheable


def generator(x):
    yield x


async def async_generator(x):
    yield x


class Generators:
    def method(self):
        yield 1

    async def async_method(self):
        yield 1

    def __call__(self, x):
        yield x


class AsyncGenerators:
    async def __call__(self, x):
        yield x


@pytest.mark.parametrize(
    "function",
    [
        generator,
        async_generator,
        lambda: (yield),
        functools.partial(generator, 1),
        functools.partial(functools.partial(async_generator), 1),
        Generators().method,
        Generators().async_method,
        functools.partial(Generators().method),
        Generators(),
        AsyncGenerators(),
        functools.partial(Generators(), 1),
        classmethod(generator),
        staticmethod(async_generator),
    ],
)
def test_generators_are_refused_with_advice(function):
    with pytest.raises(TypeError, match=r"is a generator.*return a list"):
        cacheable(function)
    with pytest.raises(TypeError, match=r"is a generator.*return a list"):
        cacheable(namespace="generators", ttl=5)(function)


@pytest.mark.parametrize(
    ("thing", "advice"),
    [
        (property(lambda self: 1), "@property above @cacheable"),
        (functools.cached_property(lambda self: 1), "@property above @cacheable"),
        (Generators, "function that makes its objects"),
        (5, "options are keyword arguments"),
    ],
)
def test_what_is_no_function_is_refused_with_advice(thing, advice):
    with pytest.raises(TypeError, match=advice):
        cacheable(thing)


def inject_session(function):
    """Give the function one argument more than its callers pass."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function("session", *args, **kwargs)

    return wrapper


def inject_session_async(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        return await function("session", *args, **kwargs)

    return wrapper


def test_a_wrapper_that_injects_an_argument():
    calls = []

    @cacheable
    @inject_session
    def load(session, number):
        calls.append((session, number))
        return [number]

    # It does not fit what the function shows, so nobody knows a key.
    assert load(1) == [1]
    assert load(1) == [1]
    assert load(number=1) == [1]
    assert calls == [("session", 1)] * 3
    with pytest.raises(TypeError, match="number"):
        load.key(1)


def test_an_async_wrapper_that_injects_an_argument():
    calls = []

    @cacheable
    @inject_session_async
    async def load(session, number, scale=1):
        calls.append((session, number, scale))
        return number * scale

    async def main():
        assert await load(1) == 1
        assert await load(1) == 1
        assert await asyncio.create_task(load(number=1)) == 1
        assert calls == [("session", 1, 1)] * 3
        with pytest.raises(TypeError, match="number"):
            await load()

    asyncio.run(main())


@pytest.mark.parametrize("is_async", [False, True])
def test_a_call_that_fits_what_a_wrapper_shows_is_cached(is_async):
    calls = []

    def show(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            calls.append(1)
            return function(*args, **kwargs)

        @functools.wraps(function)
        async def async_wrapper(*args, **kwargs):
            calls.append(1)
            return await function(*args, **kwargs)

        return async_wrapper if is_async else wrapper

    if is_async:

        @cacheable
        @show
        async def load(number, scale=1):
            return number * scale

        def ask(*args, **kwargs):
            return asyncio.run(load(*args, **kwargs))

    else:

        @cacheable
        @show
        def load(number, scale=1):
            return number * scale

        ask = load
    assert [ask(2), ask(number=2), ask(2, 1), ask(2, scale=1)] == [2] * 4
    assert len(calls) == 1
    with pytest.raises(TypeError):
        ask(1, 2, 3)


def test_an_async_function_called_with_arguments_that_do_not_fit():
    @cacheable
    async def load(number, /, *, key):
        return number

    for call in (load, lambda: load(1), lambda: load(number=1, key=1), lambda: load(1, 2, key=3)):
        with pytest.raises(TypeError):
            call()
    assert asyncio.run(load(1, key=2)) == 1


def test_a_partial_of_an_async_function():
    async def load(left, right):
        return [left, right]

    class Loader:
        async def __call__(self, left, right):
            return [left, right]

    for function in (load, Loader()):
        cached = cacheable(namespace="partial")(functools.partial(function, 1))
        assert asyncio.run(cached(2)) == asyncio.run(cached(right=2)) == [1, 2]
        assert cached.stats()["hits"] == 1
        cached.invalidate(2)


def test_a_bound_method_of_an_async_callable():
    class Loader:
        def __init__(self, factor):
            self.factor = factor

        async def load(self, x):
            return x * self.factor

    cached = cacheable(Loader(3).load)
    assert inspect.iscoroutinefunction(cached)
    assert asyncio.run(cached(2)) == 6
    assert asyncio.run(cached(2)) == 6
    assert cached.stats()["hits"] == 1


def test_single_dispatch():
    @cacheable
    @functools.singledispatch
    def kind(value):
        return "something"

    @kind.register
    def _(value: int):
        return "a number"

    assert [kind(1), kind("x"), kind(1)] == ["a number", "something", "a number"]
    assert kind.stats()["hits"] == 1
    assert kind.dispatch(int)(5) == "a number"


def test_lru_cache_below():
    calls = []

    @cacheable
    @functools.lru_cache
    def load(x):
        calls.append(x)
        return x

    assert [load(1), load(1)] == [1, 1]
    assert load.stats()["hits"] == 1
    load.invalidate(1)
    assert load(1) == 1
    assert calls == [1]  # the inner cache answers: it knows nothing of the invalidation


def test_builtin_functions():
    length = cacheable(len)
    assert [length("abc"), length("abc")] == [3, 3]
    assert length.stats()["hits"] == 1
    upper = cacheable(namespace="upper")("abc".upper)
    assert [upper(), upper()] == ["ABC", "ABC"]


def test_a_builtin_function_that_does_not_tell_its_parameters():
    with pytest.raises(TypeError, match="does not tell its parameters; wrap it"):
        cacheable(dict.fromkeys.__self__.update)


def test_callable_objects():
    class Adder:
        def __init__(self, n):
            self.n = n

        def __call__(self, x, *, y=0):
            return x + y + self.n

    one, two = (cacheable(namespace=str(n))(Adder(n)) for n in (1, 2))
    assert (one(1), two(1), one(1, y=5), one(x=1)) == (2, 3, 7, 2)
    assert one.stats()["hits"] == 1
