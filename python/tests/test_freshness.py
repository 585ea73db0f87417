"""No stale hit: whatever was invalidated is computed anew, whenever the invalidation came."""

import asyncio
import random
import sys
import threading

import pytest
from helpers import Running, unique, wait_for

import zoocache
from zoocache import add_deps, cacheable, clear, explain, get, invalidate


class Source:
    """A source of truth, and a function that can be stopped after it has read it."""

    def __init__(self):
        self.value = 1
        self.reads = 0
        self.has_read = threading.Event()
        self.may_go_on = threading.Event()

    def read_slowly(self):
        value = self.read()
        self.has_read.set()
        wait_for(self.may_go_on)
        return value

    def read(self):
        self.reads += 1
        return self.value


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def eager_switches():
    """Let threads interrupt each other a hundred times more often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 100)
    yield
    sys.setswitchinterval(before)


def late(tag):
    """Declare a dependency at the end of the function."""

    def make(source):
        @cacheable
        def f():
            value = source.read_slowly()
            add_deps([tag])
            return value

        return f

    return make


def early(tag):
    """Declare a dependency at the beginning of the function."""

    def make(source):
        @cacheable
        def f():
            add_deps([tag])
            return source.read_slowly()

        return f

    return make


def static(tag):
    """Declare a dependency in the decorator."""
    return lambda source: cacheable(deps=[tag])(source.read_slowly)


def computed(tag):
    """Declare a dependency by a function of the arguments."""
    return lambda source: cacheable(deps=lambda: [tag])(source.read_slowly)


def inner_late(tag):
    """Depend through a nested call that misses."""

    def make(source):
        inner = late(tag)(source)

        @cacheable
        def f():
            return inner()

        return f

    return make


def inner_static(tag):
    """Depend through a nested call of an inner function."""

    def make(source):
        inner = cacheable(deps=[tag])(source.read_slowly)

        @cacheable
        def f():
            return inner()

        return f

    return make


@pytest.mark.parametrize("depends", [late, early, static, computed, inner_late, inner_static])
@pytest.mark.parametrize(
    ("tag", "invalidated"),
    [
        ("store:1:product:2", "store:1:product:2"),
        ("store:1:product:2", "store:1"),
        ("store:1:product:2", "store"),
        ("store:1:product:2", "store:1:*"),
        ("store:1:product:*", "store:1:product:2"),
        ("store:1:product:*", "store:1:product:2:price"),
        ("store:1:product:*", "store:1:product"),
        ("store:1:product:*", "store"),
        ("store:1", None),
    ],
)
def test_an_invalidation_while_the_function_runs(source, depends, tag, invalidated):
    f = depends(tag)(source)
    leader = Running(f)
    wait_for(source.has_read)
    source.value = 2
    if invalidated is None:
        clear()
    else:
        invalidate(invalidated)
    source.may_go_on.set()
    # The caller that began before may have what was true then.
    assert leader.result() == 1
    assert f() == 2
    assert f() == 2
    assert source.reads == 2


@pytest.mark.parametrize("depends", [late, early, static, computed, inner_late, inner_static])
def test_an_unrelated_invalidation_while_the_function_runs(source, depends):
    f = depends("store:1:product:2")(source)
    leader = Running(f)
    wait_for(source.has_read)
    invalidate("store:1:product:3", "store:2", "store:1:product:2:price")
    source.may_go_on.set()
    assert leader.result() == f() == 1
    assert source.reads == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_an_invalidation_while_an_async_function_runs(when, depth):
    truth = {"value": 1}
    reads = []

    async def main():
        has_read, may_go_on = asyncio.Event(), asyncio.Event()

        @cacheable
        async def inner():
            if when == "before":
                add_deps(["a:b"])
            value = truth["value"]
            reads.append(value)
            has_read.set()
            await may_go_on.wait()
            if when == "after":
                add_deps(["a:b"])
            return value

        def around(function):
            @cacheable
            async def outer():
                return await function()

            return outer

        f = inner
        for _ in range(depth - 1):
            f = around(f)
        leader = asyncio.create_task(f())
        await has_read.wait()
        truth["value"] = 2
        await zoocache.invalidate_async("a")
        may_go_on.set()
        assert await leader == 1
        assert await f() == 2
        assert await f() == 2

    asyncio.run(main())
    assert reads == [1, 2]


def test_invalidating_inside_of_the_function_itself():
    calls = []

    @cacheable(deps=["a"])
    def f():
        calls.append(1)
        invalidate("a")
        return len(calls)

    assert f() == 1
    assert f() == 2


def test_a_waiter_never_gets_what_was_computed_before_its_own_invalidation(source):
    f = static("a")(source)
    leader = Running(f)
    wait_for(source.has_read)
    source.value = 2
    invalidate("a")
    waiter = Running(f)
    # The waiter either waits for the old flight and finds it stale, or computes beside it.
    source.may_go_on.set()
    assert waiter.result() == 2
    assert leader.result() == 1
    assert f() == 2


def test_an_async_waiter_never_gets_what_was_computed_before_its_own_invalidation():
    truth = {"value": 1}

    async def main():
        has_read, may_go_on = asyncio.Event(), asyncio.Event()

        @cacheable(deps=["a"])
        async def f():
            value = truth["value"]
            has_read.set()
            await may_go_on.wait()
            return value

        leader = asyncio.create_task(f())
        await has_read.wait()
        truth["value"] = 2
        invalidate("a")
        waiters = [asyncio.create_task(f()) for _ in range(5)]
        await asyncio.sleep(0)
        may_go_on.set()
        assert await leader == 1
        assert await asyncio.gather(*waiters) == [2] * 5
        assert await f() == 2

    asyncio.run(main())


def test_dropping_one_call_while_it_is_computed(source):
    f = static("a")(source)
    leader = Running(f)
    wait_for(source.has_read)
    source.value = 2
    f.invalidate()
    waiter = Running(f)
    source.may_go_on.set()
    assert (leader.result(), waiter.result(), f()) == (1, 2, 2)


def test_a_refresh_does_not_overwrite_what_is_newer(source):
    first = True

    @cacheable(deps=["a"])
    def f():
        nonlocal first
        if first:
            first = False
            return source.read_slowly()
        return source.read()

    refreshing = Running(f.refresh)
    wait_for(source.has_read)
    source.value = 2
    f.invalidate()
    assert f() == 2
    source.may_go_on.set()
    assert refreshing.result() == 1
    assert f() == 2


def test_an_old_computation_does_not_overwrite_a_refresh(source):
    f = static("a")(source)
    old = Running(f)
    wait_for(source.has_read)
    source.value = 2
    source.may_go_on.set()
    old.result()
    assert f.refresh() == 2
    assert f() == 2


def test_a_refresh_wins_over_a_computation_that_began_before(source):
    first = True

    @cacheable
    def f():
        nonlocal first
        if first:
            first = False
            return source.read_slowly()
        return source.read()

    old = Running(f)
    wait_for(source.has_read)
    source.value = 2
    assert f.refresh() == 2
    source.may_go_on.set()
    assert old.result() == 1
    assert f() == 2


def test_set_wins_over_a_computation_that_runs(source):
    f = static("a")(source)
    old = Running(f)
    wait_for(source.has_read)
    zoocache.set(f.key(), 5)
    source.may_go_on.set()
    assert old.result() == 1
    assert f() == 5


def test_nested_calls_pass_their_dependencies_on():
    calls = []

    @cacheable(deps=lambda pid: [f"product:{pid}"])
    def product(pid):
        calls.append(pid)
        return pid

    @cacheable
    def page(*pids):
        calls.append("page")
        return [product(pid) for pid in pids]

    # 2 is a hit inside of the page, 1 a miss.
    product(2)
    page(1, 2)
    for pid in (1, 2):
        calls.clear()
        assert page(1, 2) == [1, 2]
        assert calls == []
        invalidate(f"product:{pid}")
        assert page(1, 2) == [1, 2]
        assert calls == ["page", pid]


def test_nested_hits_through_several_levels():
    calls = []

    @cacheable
    def a():
        add_deps(["deep:tag"])
        calls.append("a")

    @cacheable
    def b():
        a()
        calls.append("b")

    @cacheable
    def c():
        b()
        calls.append("c")

    a(), b(), c()
    assert calls == ["a", "b", "c"]
    invalidate("deep")
    c()
    assert calls == ["a", "b", "c", "a", "b", "c"]
    c(), b(), a()
    assert len(calls) == 6


def test_a_nested_async_call_that_was_waited_for_passes_its_dependencies_on():
    async def main():
        started, may_go_on = asyncio.Event(), asyncio.Event()

        @cacheable
        async def inner():
            started.set()
            await may_go_on.wait()
            add_deps(["late:tag"])
            return unique()

        @cacheable(copy="share")
        async def outer(x):
            return (x, await inner())

        leader = asyncio.create_task(inner())
        await started.wait()
        waiting = [asyncio.create_task(outer(x)) for x in range(3)]
        await asyncio.sleep(0)
        may_go_on.set()
        await leader
        before = await asyncio.gather(*waiting)
        assert await asyncio.gather(*map(outer, range(3))) == before
        invalidate("late:tag")
        after = await asyncio.gather(*map(outer, range(3)))
        assert all(old != new for old, new in zip(before, after, strict=True))

    asyncio.run(main())


def test_dependencies_of_tasks_and_threads_of_a_computation():
    @cacheable(deps=["inner"])
    async def in_task():
        return 1

    @cacheable(deps=["threaded"])
    def in_thread():
        return 2

    @cacheable
    async def outer():
        return unique(), await asyncio.gather(in_task(), asyncio.to_thread(in_thread))

    for tag in ("inner", "threaded"):
        before = asyncio.run(outer())
        assert asyncio.run(outer())[0] is before[0]
        invalidate(tag)
        assert asyncio.run(outer())[0] is not before[0]


def test_a_task_that_outlives_its_computation_adds_nothing_and_harms_nothing():
    async def main():
        may_go_on = asyncio.Event()
        tasks = []

        async def later():
            await may_go_on.wait()
            add_deps(["too:late"])
            return await other(1)

        @cacheable
        async def other(x):
            return unique()

        @cacheable
        async def f():
            tasks.append(asyncio.create_task(later()))
            return unique()

        first = await f()
        may_go_on.set()
        value = await tasks[0]
        assert await other(1) is value
        invalidate("too:late")
        assert await f() is first

    asyncio.run(main())


def test_a_task_that_outlives_the_computation_that_began_it_concerns_the_one_around():
    data, tasks = [1], []
    go_on = asyncio.Event()

    @cacheable(deps=["data"])
    async def inner():
        read = data[0]
        await go_on.wait()
        return read

    @cacheable
    async def middle():
        tasks.append(asyncio.create_task(inner()))
        await asyncio.sleep(0)

    @cacheable
    async def outer():
        await middle()
        go_on.set()
        return await tasks[0]

    async def main():
        assert await outer() == 1
        data[0] = 2
        invalidate("data")
        tasks.append(asyncio.create_task(inner()))
        tasks.pop(0)
        assert await outer() == 2

    asyncio.run(main())


def test_get_passes_its_dependencies_on():
    @cacheable
    def f():
        return (get("key"), unique())

    zoocache.set("key", 1, deps=["a"])
    first = f()
    assert f() is first
    invalidate("a")
    assert f()[0] is None


def test_a_list_depends_on_everything_below():
    products = {1: "one", 2: "two"}

    @cacheable(deps=["store:2:products:*"], copy="auto")
    def listing():
        return sorted(products.values())

    @cacheable(deps=lambda pid: [f"store:2:products:{pid}"])
    def product(pid):
        return products.get(pid)

    assert listing() == ["one", "two"]
    product(1)
    product(3)
    products[3] = "three"
    invalidate("store:2:products:3")
    assert listing() == ["one", "three", "two"]
    assert product(3) == "three"
    assert product.stats()["hits"] == 0
    product(1)
    assert product.stats()["hits"] == 1
    invalidate("store:3:products:1")
    listing()
    assert listing.stats()["hits"] == 1
    invalidate("store")
    listing()
    assert listing.stats()["hits"] == 1


def test_a_failed_function_is_not_cached_and_its_dependencies_count_for_its_caller():
    fails = True

    @cacheable
    def inner():
        add_deps(["inner:state"])
        if fails:
            raise LookupError
        return "found"

    @cacheable
    def outer():
        try:
            return inner()
        except LookupError:
            return "nothing"

    assert outer() == outer() == "nothing"
    fails = False
    invalidate("inner:state")
    assert outer() == "found"


def test_an_inner_time_to_live_bounds_the_outer_one():
    zoocache.configure(read_extend_ttl=False)

    @cacheable(ttl=0.05)
    def inner():
        return unique()

    @cacheable
    def outer():
        return inner()

    outer()
    assert explain(outer).expires_in is not None
    assert explain(outer).expires_in <= 0.05


def test_many_dependencies():
    @cacheable
    def f():
        add_deps(f"many:{number}" for number in range(5000))
        return unique()

    for number in (0, 4999, 2500):
        first = f()
        assert f() is first
        invalidate(f"many:{number}")
        assert f() is not first


def test_threads_that_read_and_write_never_see_a_stale_value(eager_switches):
    """Each product has a version. Who has seen a version never gets an older one afterwards."""
    products, rounds = 20, 4000
    truth = [0] * products
    published = [0] * products

    @cacheable(deps=lambda pid: [f"shop:{pid % 4}:product:{pid}"], copy="share")
    def product(pid):
        return truth[pid]

    @cacheable(deps=lambda shop: [f"shop:{shop}:product:*"], copy="share")
    def listing(shop):
        return tuple(truth[pid] for pid in range(shop, products, 4))

    @cacheable(copy="share")
    def page(pid):
        return (product(pid), listing(pid % 4))

    stale = []

    def read(seed):
        dice = random.Random(seed)
        for _ in range(rounds):
            pid = dice.randrange(products)
            shop = pid % 4
            least = published[pid]
            all_least = [published[other] for other in range(shop, products, 4)]
            own, others = page(pid)
            if own < least or any(got < want for got, want in zip(others, all_least, strict=True)):
                stale.append((pid, own, least))
            if product(pid) < least:
                stale.append((pid, "product", least))

    def write(seed):
        dice = random.Random(seed)
        lock = locks[seed % 2]
        for number in range(rounds // 5):
            pid = dice.randrange(seed % 2, products, 2)
            with lock:
                truth[pid] += 1
                version = truth[pid]
                invalidate(f"shop:{pid % 4}:product:{pid}" if number % 10 else f"shop:{pid % 4}")
                published[pid] = version

    locks = [threading.Lock(), threading.Lock()]
    threads = [Running(read, seed) for seed in range(6)] + [Running(write, seed) for seed in range(2)]
    for thread in threads:
        thread.result()
    assert stale == []
    stats = [f.stats() for f in (product, listing, page)]
    hits = sum(one["hits"] for one in stats)
    assert hits / sum(one["hits"] + one["misses"] + one["stale"] for one in stats) > 0.3


def test_tasks_and_threads_that_read_and_write_never_see_a_stale_value(eager_switches):
    products = 8
    truth, published = [0] * products, [0] * products

    @cacheable(deps=lambda pid: [f"product:{pid}"])
    async def product(pid):
        value = truth[pid]
        await asyncio.sleep(0)
        return value

    @cacheable(deps=["product:*"])
    async def total():
        await asyncio.sleep(0)
        return sum([await product(pid) for pid in range(products)])

    async def read(dice):
        for _ in range(300):
            pid = dice.randrange(products)
            least, least_total = published[pid], sum(published)
            assert await product(pid) >= least
            assert await total() >= least_total

    async def write(dice):
        for _ in range(100):
            pid = dice.randrange(products)
            truth[pid] += 1
            version = truth[pid]
            await zoocache.invalidate_async(f"product:{pid}")
            published[pid] = max(published[pid], version)
            for _ in range(dice.randrange(8)):
                await asyncio.sleep(0)

    async def main(seed):
        await asyncio.gather(*(read(random.Random(seed + n)) for n in range(8)), write(random.Random(seed)))

    for thread in [Running(lambda seed=seed: asyncio.run(main(seed))) for seed in (1, 100)]:
        thread.result()
    assert product.stats()["hits"] > 500
