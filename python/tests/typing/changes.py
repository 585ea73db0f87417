"""What type checkers see of changes, bulk reads and the tools for tests. Never run."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta, timezone
from typing import Any

from typing_extensions import assert_type

import zoocache
from zoocache import Cache, Subscription, cacheable, changing, invalidates, invalidation_batch, on_invalidate
from zoocache.testing import disabled, frozen_time, isolated


@invalidates("product:{pid}", lambda result: [f"order:{result}"])
def buy(pid: int, *, amount: int = 1) -> str:
    """Change something."""
    return str(pid * amount)


@invalidates("product:{pid}", timeout=timedelta(seconds=5))
async def buy_async(pid: int) -> str:
    """Change something."""
    return str(pid)


class Shop:
    """Methods."""

    @invalidates("shop")
    def close(self, day: str) -> int:
        """Change something."""
        return len(day)

    @invalidates("shop")
    @classmethod
    def of(cls, name: str) -> "Shop":
        """Change something."""
        print(name)
        return cls()


assert_type(buy(1, amount=2), str)
buy("1")  # type: ignore[arg-type]
buy(1, 2)  # type: ignore[call-arg]
assert_type(Shop().close("monday"), int)
assert_type(Shop.of("x"), Shop)
Shop().close(1)  # type: ignore[arg-type]
invalidates(5)  # type: ignore[arg-type]
invalidates("a", timeout=b"5")  # type: ignore[arg-type]

with changing("a", "b", timeout=5) as change:
    assert_type(change.position, int | None)
with invalidation_batch() as batch:
    zoocache.invalidate("a")
assert_type(batch.position, int | None)
changing(5)  # type: ignore[arg-type]


@cacheable
def plain(pid: int) -> list[str]:
    """Cached."""
    return [str(pid)]


@cacheable
async def fetch(pid: int) -> bytes:
    """Cached."""
    return b"x" * pid


assert_type(plain.many([(1,), {"pid": 2}]), list[list[str]])
assert_type(fetch.many([(1,)], limit=5), Coroutine[Any, Any, list[bytes]])  # type: ignore[unused-coroutine]
plain.many([1])  # type: ignore[list-item]
plain.many([(1,)], limit="1")  # type: ignore[arg-type]
assert_type(zoocache.get_many(["a"]), dict[str, Any])
zoocache.set_many({"a": 1}, deps=["x"], ttl=timedelta(minutes=1))
zoocache.get("a", consistent_after=zoocache.invalidate("x"))
assert_type(zoocache.affected("a"), int)


def listener(tags: list[str], position: int) -> None:
    """Be told."""
    print(tags, position)


assert_type(on_invalidate(listener), Subscription)
with on_invalidate(listener) as subscription:
    subscription.cancel()
on_invalidate(lambda: None)  # type: ignore[arg-type,misc]


async def blocks() -> None:
    """Use everything in async code."""
    assert_type(await buy_async(1), str)
    async with changing("a") as change, invalidation_batch(), zoocache.consistent_after(1):
        await asyncio.sleep(0)
    assert_type(change.position, int | None)
    assert_type(await fetch.many([(1,)]), list[bytes])
    async with disabled(), isolated() as cache, frozen_time() as time:
        assert_type(cache, Cache)
        assert_type(time.now(), datetime)


@isolated(max_entries=5)
def test_decorated(number: int) -> str:
    """Keep the signature."""
    return str(number)


assert_type(test_decorated(1), str)
test_decorated("1")  # type: ignore[arg-type]
with frozen_time(datetime(2030, 1, 1, tzinfo=timezone.utc), default_ttl=5) as time:
    time.advance(5)
    time.advance(timedelta(days=1))
isolated(max_entries="5")  # type: ignore[arg-type]
disabled(5)  # type: ignore[arg-type]
