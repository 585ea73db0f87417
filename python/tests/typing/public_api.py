"""What type checkers see. Checked by `mypy --strict`, never run."""

import asyncio

from typing_extensions import assert_type

import zoocache
from zoocache import CachedFunction, cacheable
from zoocache.context import DepsTracker, get_current_deps


@cacheable
def plain(pid: int, lang: str = "en") -> list[str]:
    """Cached without parentheses."""
    return [lang] * pid


@cacheable(deps=lambda pid: [f"product:{pid}"], ttl=60, copy="share", ignore=("session",), namespace="shop")
def options(pid: int, *, session: object = None) -> dict[str, int]:
    """Cached with options."""
    return {"pid": pid, "session": id(session)}


@cacheable(typed=False, version="beta")
def loose(x: float) -> float:
    """Cached by what is equal."""
    return x


cacheable(version=1.5)(loose.__wrapped__)  # type: ignore[call-overload]


@cacheable()
async def fetch(pid: int) -> bytes:
    """Async."""
    return b"x" * pid


assert_type(plain(1), list[str])
assert_type(plain(pid=1, lang="de"), list[str])
assert_type(options(1, session=None), dict[str, int])
assert_type(plain.key(1), str)
assert_type(plain.invalidate(1), bool)
assert_type(plain.refresh(1, lang="de"), list[str])
assert_type(plain.bypass(1), list[str])
assert_type(plain.stats(), dict[str, int])
assert_type(plain.tag, str)
assert_type(plain.__wrapped__(1), list[str])
annotated: CachedFunction[[int], bytes] = cacheable(lambda pid: b"x" * pid)
assert_type(annotated(1), bytes)

plain("1")  # type: ignore[arg-type]
plain()  # type: ignore[call-arg]
plain.key("1")  # type: ignore[arg-type]
plain.refresh(1, 2)  # type: ignore[arg-type]
options(1, None)  # type: ignore[call-arg]
plain.nothing()  # type: ignore[attr-defined]
cacheable(copy="sometimes")(plain.__wrapped__)  # type: ignore[call-overload]
cacheable(5)  # type: ignore[call-overload]


async def awaits() -> None:
    """Use an async cached function."""
    call = fetch(1)
    task = asyncio.create_task(call)
    assert_type(await task, bytes)
    assert_type(await fetch(1), bytes)
    assert_type(await fetch.refresh(1), bytes)
    assert_type(await asyncio.gather(fetch(1), fetch(2)), tuple[bytes, bytes])
    await fetch("1")  # type: ignore[arg-type]
    fetch(1)  # type: ignore[unused-coroutine]
    assert_type(await zoocache.invalidate_async("a"), int)
    await zoocache.set_async("key", 1, deps=["a"], ttl=1.5)


class Shop:
    """Methods of all kinds."""

    def __zoocache_key__(self) -> int:
        """Identify the shop."""
        return 1

    @cacheable
    def product(self, pid: int) -> str:
        """A method."""
        return str(pid)

    @cacheable(ttl=5)
    async def fetch(self, pid: int) -> str:
        """Do it in an async method."""
        return str(pid)

    @cacheable
    @classmethod
    def of(cls, name: str) -> "Shop":
        """Do it in a class method."""
        print(name)
        return cls()

    @cacheable(ttl=5)
    @staticmethod
    def tax(price: float) -> float:
        """Do it in a static method."""
        return price * 0.2

    @staticmethod
    @cacheable
    def gross(price: float) -> float:
        """Do it in a static method, the other way round."""
        return price * 1.2


shop = Shop()
assert_type(shop.product(1), str)
assert_type(Shop.product(shop, 1), str)
assert_type(Shop.product.invalidate(shop, 1), bool)
assert_type(Shop.product.key(shop, pid=1), str)
assert_type(shop.product.__self__, Shop)
assert_type(shop.of("x"), Shop)
assert_type(Shop.tax(1.0), float)
assert_type(Shop.gross(1.0), float)
shop.product("1")  # type: ignore[arg-type]
shop.product()  # type: ignore[call-arg]
assert_type(shop.product.invalidate(1), bool)
assert_type(shop.product.key(pid=1), str)
assert_type(shop.product.refresh(1), str)
assert_type(shop.product.bypass(1), str)
assert_type(shop.product.stats(), dict[str, int])
assert_type(shop.product.tag, str)
assert_type(shop.product.__wrapped__(1), str)
shop.product.invalidate("1")  # type: ignore[arg-type]
shop.product.refresh()  # type: ignore[call-arg]
assert_type(shop.of.key("x"), str)
Shop.product.invalidate(1)  # type: ignore[arg-type, call-arg]


async def methods() -> None:
    """Use an async method."""
    assert_type(await shop.fetch(1), str)
    assert_type(await shop.fetch.refresh(1), str)


assert_type(zoocache.invalidate("a", "b"), int)
assert_type(zoocache.get_tag_version("a"), int)
assert_type(zoocache.delete("a"), bool)
zoocache.delete(5)  # type: ignore[arg-type]
assert_type(zoocache.stats(), dict[str, int])
assert_type(zoocache.version(), str)
assert_type(zoocache.prune(5), int)
assert_type(zoocache.explain("key").state, str)
zoocache.explain(plain, 1)
zoocache.explain(shop.product, 1)
with DepsTracker() as tracker:
    plain(1)
assert_type(tracker.deps, frozenset[str])
assert_type(get_current_deps(), frozenset[str] | None)
zoocache.set("key", object(), ("a",))
zoocache.add_deps(["a"])
zoocache.configure(max_entries=5, default_ttl=1.5)
zoocache.configure(max_entries="5")  # type: ignore[arg-type]
zoocache.invalidate(5)  # type: ignore[arg-type]
