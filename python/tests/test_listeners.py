"""`on_invalidate`: callbacks are told of invalidations and cannot get in their way."""

import gc
import os
import sys
import threading
import weakref

import pytest
from helpers import Running

import zoocache
from zoocache import Cache, Subscription, cacheable, changing, clear, invalidate, on_invalidate
from zoocache.testing import isolated


@pytest.fixture
def unraisable(monkeypatch):
    errors = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: errors.append(args.exc_value))
    return errors


def test_is_told_of_tags_and_position():
    told = []
    on_invalidate(lambda tags, position: told.append((tags, position)))
    first = invalidate("a", "b:c")
    with changing("d") as change:
        assert len(told) == 1
    clear()
    assert told[:2] == [(["a", "b:c"], first), (["d"], change.position)]
    assert told[2] == (["*"], zoocache.get_tag_version("x"))
    assert told[2][1] > change.position
    invalidate("*")
    assert told[3][0] == ["*"]


def test_is_called_in_the_thread_that_invalidated_after_it_took_effect():
    value = 1
    seen = []

    @cacheable(deps=["a"])
    def read():
        return value

    on_invalidate(lambda tags, position: seen.append((threading.get_ident(), read())))
    read()
    value = 2
    invalidate("a")
    assert seen == [(threading.get_ident(), 2)]
    other = Running(lambda: (invalidate("b"), threading.get_ident())[1]).result()
    assert seen[1:] == [(other, 2)]


def test_ends_when_cancelled():
    told = []
    subscription = on_invalidate(lambda tags, position: told.append(tags))
    assert isinstance(subscription, Subscription)
    invalidate("a")
    subscription.cancel()
    subscription.cancel()
    invalidate("b")
    with on_invalidate(lambda tags, position: told.append(tags)) as block:
        assert isinstance(block, Subscription)
        invalidate("c")
    invalidate("d")
    with pytest.raises(KeyError), on_invalidate(lambda tags, position: told.append(tags)):
        raise KeyError
    invalidate("e")
    assert told == [["a"], ["c"]]


def test_the_same_callback_twice_is_called_twice():
    told = []

    def callback(tags, position):
        told.append(tags)

    first, second = on_invalidate(callback), on_invalidate(callback)
    invalidate("a")
    first.cancel()
    invalidate("b")
    second.cancel()
    invalidate("c")
    assert told == [["a"], ["a"], ["b"]]


def test_an_exception_concerns_nobody_else(unraisable):
    told = []

    def fails(tags, position):
        raise KeyError(tags[0])

    on_invalidate(fails)
    on_invalidate(lambda tags, position: told.append(tags))
    assert invalidate("a") > 0
    assert told == [["a"]]
    assert [type(error) for error in unraisable] == [KeyError]


def test_a_callback_that_invalidates_is_not_told_of_that(unraisable):
    told = []

    def again(tags, position):
        told.append(("again", tags))
        invalidate("b", *tags)

    on_invalidate(again)
    on_invalidate(lambda tags, position: told.append(("other", tags)))
    invalidate("a")
    assert told == [("again", ["a"]), ("other", ["b", "a"]), ("other", ["a"])]
    assert not unraisable


def test_two_callbacks_that_invalidate_come_to_an_end(unraisable):
    calls = []
    for name in ("x", "y"):
        on_invalidate(lambda tags, position, name=name: (calls.append(name), invalidate(name)))
    invalidate("a")
    assert sorted(calls) == ["x", "x", "y", "y"]
    invalidate("a")
    assert len(calls) == 8, "and both are told again next time"
    assert not unraisable


def test_a_callback_that_fails_is_told_again(unraisable):
    on_invalidate(lambda tags, position: 1 / 0)
    invalidate("a")
    invalidate("a")
    assert len(unraisable) == 2


def test_a_callback_may_subscribe_and_cancel():
    told = []
    subscriptions = []

    def once(tags, position):
        subscriptions.pop().cancel()
        on_invalidate(lambda tags, position: told.append(tags))

    subscriptions.append(on_invalidate(once))
    invalidate("a")
    invalidate("b")
    assert told == [["b"]]


def test_belongs_to_one_cache():
    told = []
    cache = Cache()
    cache.on_invalidate(lambda tags, position: told.append(tags))
    invalidate("default")
    cache.invalidate("own")
    assert told == [["own"]]


def test_is_gone_after_reset():
    told = []
    subscription = on_invalidate(lambda tags, position: told.append(tags))
    zoocache.reset()
    newer = on_invalidate(lambda tags, position: told.append(["newer", *tags]))
    subscription.cancel()
    invalidate("a")
    newer.cancel()
    assert told == [["newer", "a"]]


def test_cancelled_while_its_cache_is_put_aside():
    told = []
    subscription = on_invalidate(lambda tags, position: told.append(tags))
    with isolated():
        invalidate("a")
        subscription.cancel()
    invalidate("b")
    assert told == []


def test_is_freed_with_its_cache_even_if_it_knows_its_subscription():
    class Callback:
        subscription = None

        def __call__(self, tags, position):
            pass

    callback = Callback()
    gone = weakref.ref(callback)
    callback.subscription = on_invalidate(callback)
    del callback
    zoocache.reset()
    gc.collect()
    assert gone() is None


def test_what_cannot_be_called():
    with pytest.raises(TypeError, match="callable"):
        on_invalidate("a")

    async def callback(tags, position):
        raise AssertionError

    with pytest.raises(TypeError, match="not awaited"):
        on_invalidate(callback)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("invalidates", [clear, lambda: invalidate("a")])
def test_a_callback_may_fork(invalidates):
    statuses = []

    def forks(tags, position):
        child = os.fork()
        if child == 0:
            os._exit(7)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    on_invalidate(forks)
    Running(invalidates).result()
    assert statuses == [7]


def test_subscribing_in_many_threads_while_others_invalidate():
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            with on_invalidate(lambda tags, position: None):
                pass

    threads = [Running(churn) for _ in range(3)]
    count = []
    on_invalidate(lambda tags, position: count.append(position))
    positions = [invalidate("a") for _ in range(2000)]
    stop.set()
    for thread in threads:
        thread.result()
    assert count == positions
