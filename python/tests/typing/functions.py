"""What type checkers see of functions and methods of every shape. Never run."""

import functools
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, overload

from typing_extensions import assert_type

from zoocache import Cache, CachedFunction, cacheable, invalidates

T = TypeVar("T")
cache = Cache()


@cacheable(
    deps=lambda pid: [f"p:{pid}"],
    key=lambda pid, lang: (pid, lang),
    ttl=lambda result: len(result) + 1,
    cache_if=lambda result: result != "",
)
def by_functions(pid: int, lang: str) -> str:
    """Give every option a lambda."""
    return lang * pid


@cacheable(deps=lambda a, b, c: [f"p:{a}:{b}:{c}"])
def of_three(a: int, b: int, c: int) -> int:
    """Give a lambda three parameters."""
    return a + b + c


def tags_of(pid: int, *, lang: str) -> list[str]:
    """Name the tags of a call."""
    return [f"{pid}:{lang}"]


@cacheable(deps=tags_of)
def by_name(pid: int, lang: str) -> str:
    """Take dependencies from a function that has a name."""
    return lang * pid


@cacheable(deps=lambda: ["p"])
def of_none(pid: int) -> str:
    """Take dependencies from a function without parameters."""
    return str(pid)


@invalidates("p", lambda result, pid: [f"x:{result}:{pid}"])
def change(pid: int) -> int:
    """Change something."""
    return pid


known: CachedFunction[[int, str], str] = by_functions


@cache.cacheable(ttl="10m")
def in_a_cache(pid: int) -> str:
    """Use a cache of one's own."""
    return str(pid)


assert_type(in_a_cache(pid=1), str)


@cacheable
def first(items: Sequence[T], at: int = 0) -> T:
    """Be generic."""
    return items[at]


@cacheable(ttl=5)
def load(model: type[T], pk: int = 1) -> T:
    """Be generic in a class."""
    print(pk)
    return model()


assert_type(first([1]), int)
assert_type(first(["a"], at=0), str)
assert_type(first.refresh(["a"], at=0), str)
assert_type(load(int, pk=1), int)
assert_type(load(model=str), str)


@overload
def either(x: int) -> int: ...
@overload
def either(x: str) -> str: ...
@cacheable
def either(x: int | str) -> int | str:
    """Be overloaded."""
    return x


assert_type(either(1), int)
assert_type(either("1"), str)


class Load(Protocol):
    """A protocol of callables."""

    def __call__(self, pid: int, /, *, lang: str = ...) -> bytes: ...


@cacheable
def loader(pid: int, /, *, lang: str = "en") -> bytes:
    """Fit the protocol."""
    return lang.encode() * pid


as_protocol: Load = loader
as_callable: Callable[[int], bytes] = loader
assert_type(functools.partial(loader, 1)(), bytes)
assert_type(cacheable(functools.partial(loader.__wrapped__, 1))(), bytes)


class Shop:
    """Methods and properties."""

    @property
    @cacheable(ignore=("self",))
    def size(self) -> int:
        """Be a property."""
        return 1

    @cacheable(ignore=("self",))
    def product(self, pid: int) -> str:
        """Be a method."""
        return str(pid)

    @cacheable(ignore=("self",))
    async def fetch(self, pid: int) -> str:
        """Be an async method."""
        return str(pid)

    @cacheable(ignore=("self",))
    def model(self, model: type[T], pk: int) -> T:
        """Be generic in a class, as a method."""
        print(pk)
        return model()

    @cacheable
    @staticmethod
    def tax(price: float) -> float:
        """Be a static method."""
        return price * 0.2

    @staticmethod
    @cacheable
    def gross(price: float) -> float:
        """Be a static method, the other way round."""
        return price * 1.2

    @cacheable
    @classmethod
    def of(cls, name: str) -> "Shop":
        """Be a class method."""
        print(name)
        return cls()

    @classmethod
    @cacheable
    def named(cls, name: str) -> "Shop":
        """Be a class method, the other way round."""
        print(name)
        return cls()


class Branch(Shop):
    """A subclass."""


shop = Branch()
assert_type(shop.size, int)
assert_type(shop.product(1), str)
assert_type(shop.product.many([(1,), {"pid": 2}]), list[str])
assert_type(shop.of("x"), Shop)
assert_type(shop.of.invalidate("x"), bool)
assert_type(Shop.of("x"), Shop)
assert_type(Shop.of.invalidate("x"), bool)
assert_type(Branch.of.refresh(name="x"), Shop)
assert_type(Shop.named("x"), Shop)
assert_type(shop.named("x"), Shop)
Shop.named(1)  # type: ignore[arg-type]


async def methods() -> None:
    """Use async methods."""
    assert_type(await shop.fetch(1), str)
    assert_type(await Shop.fetch(shop, 1), str)
    assert_type(await shop.fetch.refresh(1), str)
    assert_type(await shop.fetch.many([(1,)]), list[str])


assert_type(shop.model(int, pk=1), int)
assert_type(Shop.tax(1.0), float)
assert_type(Shop.tax.key(price=1.0), str)
assert_type(Shop.gross(1.0), float)
