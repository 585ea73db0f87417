"""Functions that processes share, in a module that each of them imports."""

import itertools
import os
import time
from dataclasses import dataclass

from zoocache import cacheable

#: What was computed in this process.
computed = []
_counter = itertools.count()


@dataclass
class Order:
    number: int
    lines: tuple[str, ...]


@cacheable(deps=lambda fruit: [f"shop:{fruit}"])
def pieces(fruit: str) -> str:
    computed.append(fruit)
    return f"3 {fruit}"


@cacheable(deps=lambda name: [f"number:{name}"])
def number(name: str) -> int:
    """Return another number with each computation, in whichever process."""
    computed.append(name)
    return time.time_ns() * 1_000_000 + os.getpid() % 1_000 * 1_000 + next(_counter)


@cacheable(deps=["number:*"])
def all_numbers() -> int:
    return number.__wrapped__("all")


@cacheable
def twice(name: str) -> list[int]:
    return [number(name), number(name)]


@cacheable
def order(number: int) -> Order:
    computed.append(number)
    return Order(number, ("bread", "salt"))


@cacheable
def lines(count: int) -> list[int]:
    return list(range(count))


@cacheable
async def slowly(value: int) -> int:
    computed.append(value)
    return 2 * value
