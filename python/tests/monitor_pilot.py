"""Using the terminal monitor by its keys, and reading what it shows."""

import asyncio
import contextlib
import threading
import time

from helpers import DEADLINE
from textual import events
from textual.widgets import TabbedContent

from zoocache.cli.monitor import Monitor


class Pilot:
    """A monitor that runs without a terminal."""

    def __init__(self, pilot):
        self._pilot = pilot
        self.app = pilot.app

    @property
    def shown(self):
        """What the screen on top shows, as text."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    async def press(self, *keys):
        await self._pilot.press(*keys)

    async def press_soon(self, key, steps=0):
        """Press a key when the loop has gone on by some steps, whatever is under way."""
        for _ in range(steps):
            await asyncio.sleep(0)
        self.app.post_message(events.Key(key, key))

    async def type(self, text):
        """Give a text, at once as a terminal does when it is pasted."""
        self.app.post_message(events.Paste(text))
        await self._pilot.pause()

    async def until(self, condition):
        """Wait until `condition()` is true, and return what it returned; texts must be shown."""
        if isinstance(condition, str):
            text = condition
            return await self.until(lambda: text in self.shown)
        end = time.monotonic() + DEADLINE
        while not (found := condition()):
            assert time.monotonic() < end, self.shown
            await self._pilot.pause(0.02)
        return found

    async def go(self, number):
        """Open a tab, and wait until it is there."""
        await self.press(str(number))
        tabs = self.app.query_one(TabbedContent)
        names = ["overview", "functions", "tags", "entries", "log", "nodes"]
        await self.until(lambda: tabs.active == names[number - 1])
        await self._pilot.pause()


def use(inspector, scenario, size=(80, 24)):
    """Let a scenario use a monitor of an inspector."""

    async def run():
        async with Monitor(inspector, pause=0.05).run_test(size=size, notifications=True) as pilot:
            await scenario(Pilot(pilot))

    asyncio.run(run())


@contextlib.contextmanager
def repeated(step):
    """Do something again and again in the background, as long as the block runs."""
    ended = threading.Event()

    def go_on():
        while not ended.wait(0.001):
            step()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
