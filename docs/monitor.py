"""Makes `monitor.svg`, the picture of `cli.md`: the monitor on a cache that this program keeps busy.

It needs the extra `cli`, and takes a minute: python docs/monitor.py
"""

import asyncio
import random
import threading
import time
from pathlib import Path

from zoocache import cacheable, invalidate
from zoocache.cli.monitor import Monitor
from zoocache.inspect import inspect


@cacheable(namespace="shop.product", deps=lambda number: [f"shop:{number % 5}:product:{number}"])
def product(number: int) -> dict[str, object]:
    """What most of the load reads."""
    time.sleep(0.002)
    return {"number": number, "name": f"Chair {number}", "in stock": number % 7}


@cacheable(namespace="shop.price_list", deps=lambda shop: [f"shop:{shop}:product", "currency:EUR"])
def price_list(shop: int) -> list[int]:
    """What depends on every product of a shop."""
    time.sleep(0.02)
    return [product(number)["number"] for number in range(shop, 300, 5)]  # type: ignore[misc]


@cacheable(namespace="shop.search", deps=["shop"], ttl=300)
def search(text: str) -> list[str]:
    """What hardly is asked for twice."""
    time.sleep(0.005)
    return [text]


def load() -> None:
    """Read for ever, with a few invalidations."""
    dice = random.Random(7)  # noqa: S311 - it chooses what is read
    turn = 0
    while True:
        turn += 1
        product(int(dice.paretovariate(0.6)) % 300)
        if turn % 10 == 0:
            price_list(dice.randrange(5))
        if turn % 25 == 0:
            search(f"chair {dice.randrange(2000)}")
        if dice.random() < 0.002 + 0.002 * (int(time.monotonic()) // 9 % 3):
            invalidate(f"shop:{dice.randrange(5)}:product:{dice.randrange(300)}")
        time.sleep(0.001)


async def picture() -> str:
    """Let the monitor look for a minute, and tell what it shows."""
    threading.Thread(target=load, daemon=True).start()
    with inspect() as inspector:
        monitor = Monitor(inspector)
        async with monitor.run_test(size=(100, 30)):
            await asyncio.sleep(62)
            return monitor.export_screenshot(title="zoocache cli")


if __name__ == "__main__":
    Path(__file__).with_name("monitor.svg").write_text(asyncio.run(picture()), encoding="utf-8")
