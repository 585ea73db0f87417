"""Makes `monitor.svg`, the picture of `cli.md`: the monitor on a cache that this program keeps busy.

It needs the extra `cli`: python docs/monitor.py [SECONDS] [TAB] [THEME] [WIDTH] [HEIGHT] [FILE]
"""

import asyncio
import random
import sys
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
    dice = random.Random(7)
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


async def picture(
    seconds: float = 60, tab: str = "overview", theme: str = "textual-dark", width: int = 100, height: int = 30,
    file: str = str(Path(__file__).with_name("monitor.svg")),
) -> None:
    """Let the monitor look for a while, and save what it shows."""
    threading.Thread(target=load, daemon=True).start()
    with inspect() as inspector:
        monitor = Monitor(inspector)
        async with monitor.run_test(size=(width, height)) as pilot:
            monitor.theme = theme
            await pilot.pause()
            monitor.action_go(tab)
            await asyncio.sleep(seconds)
            if tab == "tags":
                await pilot.press("down", "down", "enter")
                await asyncio.sleep(1)
                await pilot.press("down", "enter")
                await asyncio.sleep(1)
            Path(file).write_text(monitor.export_screenshot(title="zoocache cli"), encoding="utf-8")


if __name__ == "__main__":
    given = sys.argv[1:]
    kinds = (float, str, str, int, int, str)
    asyncio.run(picture(*(kind(text) for kind, text in zip(kinds, given, strict=False))))  # type: ignore[arg-type]
