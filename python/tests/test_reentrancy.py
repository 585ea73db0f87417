"""Code that the cache runs may call the cache: nothing deadlocks, nothing breaks."""

import asyncio
import threading

import pytest
from helpers import Running, program, wait_for, wait_until

from zoocache import add_deps, cacheable, get, invalidate, reset, set, stats

#: A program whose objects call the cache back from wherever the cache calls them.
PROGRAM = """
import faulthandler, gc, sys, threading, weakref
faulthandler.dump_traceback_later(50, exit=True)
import zoocache
from zoocache import _native, add_deps, cacheable, clear, configure, explain, get, invalidate, reset, stats

sys.setswitchinterval(1e-4)
local = threading.local()
entered = 0

@cacheable(deps=lambda number: [f"inner:{number}"])
def inner(number):
    return number

@cacheable
async def inner_async(number):
    return number

def awaited(call):
    try:
        call.send(None)
    except StopIteration as stop:
        return stop.value

def reenter():
    # Once at a time for each thread: what it calls may call it.
    global entered
    if getattr(local, "inside", False):
        return
    local.inside = True
    try:
        entered += 1
        number = entered % 5
        assert inner(number) == number
        assert awaited(inner_async(number)) == number
        inner.invalidate(number)
        zoocache.set(f"key {number}", number, deps=["hook"], ttl=5)
        get(f"key {number}")
        invalidate("hook", f"inner:{number}")
        explain(inner, number), stats(), inner.stats(), add_deps(["late"])
        _native.NativeCache().sweep()
        if entered % 7 == 0:
            clear()
        if entered % 31 == 0:
            reset()
        if entered % 31 == 1:
            gc.collect()
    finally:
        local.inside = False

class Deleted:
    def __del__(self):
        reenter()

class Watched:
    watchers = {}
    def __init__(self):
        reference = weakref.ref(self, lambda reference: (Watched.watchers.pop(id(reference)), reenter()))
        Watched.watchers[id(reference)] = reference

class Compared:
    def __init__(self, number=0):
        self.number = number
    def __eq__(self, other):
        reenter()
        return isinstance(other, Compared) and self.number == other.number
    def __hash__(self):
        reenter()
        return 1
    def __repr__(self):
        reenter()
        return "compared"
    def __deepcopy__(self, memo):
        reenter()
        return Compared(self.number)

class Keyed(Compared):
    def __zoocache_key__(self):
        reenter()
        return self.number

class Tags:
    def __iter__(self):
        reenter()
        yield "tags"

def deps(argument):
    reenter()
    return Tags()

VALUES = {
    "__del__": Deleted,
    "weakref callback": Watched,
    "__eq__, __hash__ in containers": lambda: {"all": {Compared(1), Compared(2)}, Compared(3): Deleted()},
    "a list": lambda: [Deleted(), [Watched()]],
    "__zoocache_key__": lambda: {Keyed(1), Keyed(2)},
}
value = VALUES[HOOK]

def body(argument):
    reenter()
    return value()

functions = [cacheable(deps=deps, copy=copy, namespace=copy)(body) for copy in ("auto", "share", "deep")]
functions.append(cacheable(ttl=0.001, namespace="ttl")(body))

def work():
    for round in range(8):
        for function in functions:
            for number in range(4):
                for argument in (number, Keyed(number), {Keyed(number): Keyed(5), Keyed(7): 1}):
                    function(argument)
                    function(argument)
                try:
                    function(Compared())  # its repr goes into the message
                except ValueError:
                    pass
            function.invalidate(round % 4)
            function.refresh(round % 4)
        zoocache.set("value", value())
        get("value")
        zoocache.set("value", value(), ttl=0.001)
        for number in range(5):
            zoocache.set(f"evicting {round} {number}", value())
        if round % 5 == 0:
            invalidate("tags"), invalidate(functions[0].tag), _native.NativeCache().sweep()
        if round % 7 == 0:
            clear()
        if round % 11 == 0:
            reset()
            try:
                configure(max_entries=6)
            except RuntimeError:
                pass  # somebody was faster

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert entered > 50, entered
reset()
print("done")
"""


@pytest.mark.parametrize(
    "hook",
    ["__del__", "weakref callback", "__eq__, __hash__ in containers", "a list", "__zoocache_key__"],
)
def test_hooks_of_values_and_arguments_may_call_the_cache(hook):
    assert program(f"HOOK = {hook!r}\n{PROGRAM}", "-W", "error") == "done\n"


def test_recursion_is_an_error_at_once():
    @cacheable
    def loop(number):
        return loop(number)

    for _ in range(2):
        with pytest.raises(RecursionError, match="loop"):
            loop(1)


def test_indirect_recursion_is_an_error_at_once():
    @cacheable
    def first():
        return second()

    @cacheable
    def second():
        return first()

    with pytest.raises(RecursionError, match="first"):
        first()
    with pytest.raises(RecursionError, match="second"):
        second()


def test_async_recursion_is_an_error_at_once():
    @cacheable
    async def direct():
        return await direct()

    @cacheable
    async def in_a_task():
        return await asyncio.create_task(in_a_task())

    for function in (direct, in_a_task):
        with pytest.raises(RecursionError, match=function.__name__):
            asyncio.run(function())


def test_recursion_with_other_arguments_is_fine():
    @cacheable
    def factorial(number):
        return 1 if number < 2 else number * factorial(number - 1)

    assert factorial(50) == factorial(49) * 50
    assert factorial.stats()["misses"] == 50


def test_a_function_may_catch_its_recursion():
    @cacheable
    def careful(number):
        try:
            return careful(number)
        except RecursionError:
            return "no"

    assert careful(1) == "no"
    assert careful(1) == "no"


@pytest.mark.parametrize("when", ["before", "after"])
def test_invalidating_its_own_tag_while_computing(when):
    runs = []

    @cacheable
    def function():
        runs.append(1)
        if when == "before":
            invalidate("own")
        add_deps(["own"])
        if when == "after":
            invalidate("own")
        return len(runs)

    # Born stale: returned to its caller, and not stored.
    assert function() == 1
    assert function() == 2
    assert stats()["entries"] == 0


def test_dropping_its_own_entry_while_computing():
    runs = []

    @cacheable
    def function():
        runs.append(1)
        function.invalidate()
        return len(runs)

    assert function() == 1
    assert function() in {1, 2}


def test_refreshing_itself_while_computing_ends():
    @cacheable
    def function():
        return function.refresh()

    with pytest.raises(RecursionError):
        function()


def test_reset_while_computing():
    runs = []

    @cacheable
    def function():
        runs.append(1)
        reset()
        return len(runs)

    assert function() == 1
    # What began in the cache before is not in the one after.
    assert function() == 2


def test_reset_while_an_async_function_computes():
    runs = []

    @cacheable
    async def function():
        runs.append(1)
        await asyncio.sleep(0)
        if len(runs) == 1:
            reset()
        await asyncio.sleep(0)
        return len(runs)

    async def main():
        first = asyncio.create_task(function())
        assert await function() in {1, 2}
        assert await first in {1, 2}
        assert await function() == 2
        assert await function() == 2

    asyncio.run(main())


def test_setting_its_own_key_while_computing():
    @cacheable
    def function():
        set(function.key(), "set")
        return "returned"

    assert function() == "returned"
    assert function() in {"set", "returned"}
    assert get(function.key()) == function()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_only_concerns_the_leader_hands_over(error):
    inside, proceed = threading.Event(), threading.Event()
    runs = []

    @cacheable
    def function():
        runs.append(1)
        if len(runs) == 1:
            inside.set()
            wait_for(proceed)
            raise error
        return "value"

    leader = Running(function)
    wait_for(inside)
    waiters = [Running(function) for _ in range(3)]
    wait_until(lambda: stats()["waits"] == 3)
    proceed.set()
    assert [waiter.result() for waiter in waiters] == ["value"] * 3
    assert isinstance(leader.error(), error)
    assert len(runs) == 2


def test_an_argument_that_calls_the_same_function_while_its_key_is_made():
    class Item:
        def __init__(self, number):
            self.number = number

        def __zoocache_key__(self):
            if self.number:
                function(Item(self.number - 1))
            return self.number

    @cacheable
    def function(item):
        return item.number

    assert function(Item(5)) == 5
    assert function(Item(5)) == 5
    assert function.stats()["entries"] == 6


def test_deps_may_call_the_function_with_other_arguments():
    @cacheable(deps=lambda number: [f"tag:{function(number - 1) if number else 0}"])
    def function(number):
        return number

    assert function(3) == 3
    invalidate("tag:2")
    assert function.stats()["entries"] < 4
