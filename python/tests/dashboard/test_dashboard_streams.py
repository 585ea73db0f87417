"""The dashboard's stream of events: what it tells, to how many, and when it ends."""

import asyncio
import math
import os
import threading
import time
from dataclasses import replace

import pytest
from asgi_client import Client
from helpers import wait_until
from sse_client import Listener

import zoocache
from zoocache import StorageError, cacheable
from zoocache.dashboard import _live, dashboard
from zoocache.inspect import inspect

pytestmark = pytest.mark.memory_only("it shows whatever cache there is")


def test_events_tell_rates_and_invalidations_and_the_history_to_those_who_come_late(monkeypatch):
    monkeypatch.setattr(_live, "_PAUSE", 0.02)

    @cacheable(deps=["shop:1"])
    def product():
        return 1

    async def listen():
        async with Listener(shown) as first:
            for _ in range(5):
                product()
                _, _, told = await first.event()
            zoocache.invalidate("shop:1")
            while not told["invalidations"]:
                _, _, told = await first.event()
            assert told["invalidations"][0]["tags"] == ["shop:1"]
            assert told["trouble"] is None
            assert told["functions"][0]["hits"] == 4
            assert told["nodes"][0]["is_self"]
            async with Listener(shown) as second:
                kind, last, late = await second.event()
            assert kind == "history"
            assert len(late["samples"]) >= 5
            assert late["invalidations"][0]["tags"] == ["shop:1"]
            sample = dict(zip(late["fields"], late["samples"][-1], strict=True))
            assert sample["processes"] == 1
            # Whoever was away for a moment gets what it has missed, and no more.
            async with Listener(shown, headers=[("last-event-id", last)]) as third:
                kind, number, _ = await third.event()
            assert kind == "look"
            assert int(number.partition("-")[2]) == int(last.partition("-")[2]) + 1
            for unknown in ("other-1", last + "9999", last + "9" * 5000, "-", "\u0661"):
                async with Listener(shown, headers=[("last-event-id", unknown)]) as fourth:
                    assert (await fourth.event())[0] == "history"

    shown = dashboard()
    asyncio.run(listen())
    shown.close()


def test_it_looks_only_while_somebody_listens(monkeypatch):
    monkeypatch.setattr(_live, "_PAUSE", 0.01)
    monkeypatch.setattr(_live, "_LINGER", 0.05)
    looks = []

    class Counting(type(inspect())):
        def activity(self):
            looks.append(time.monotonic())
            return super().activity()

    def lookers():
        return [one for one in threading.enumerate() if one.name == "zoocache-dashboard-live"]

    async def listen(count):
        listeners = [Listener(shown) for _ in range(count)]
        for listener in listeners:
            await listener.__aenter__()
        assert len(lookers()) == 1
        for listener in listeners:
            await listener.event()
            await listener.__aexit__()

    shown = dashboard(Counting(zoocache._cache.DEFAULT))
    Client(shown).close()
    assert not lookers()
    assert not looks
    for _ in range(2):
        asyncio.run(listen(3))
        wait_until(lambda: not lookers())
    assert looks
    shown.close()


def test_a_slow_client_makes_nobody_wait(monkeypatch):
    monkeypatch.setattr(_live, "_PAUSE", 0.01)

    async def listen():
        async with Listener(shown) as slow, Listener(shown) as quick:
            await slow.event()
            slow.may_send.clear()
            for _ in range(60):
                await quick.event()
            slow.may_send.set()
            numbers = []
            while len(numbers) < 3:
                _, told, _ = await slow.event()
                numbers.append(int(told.partition("-")[2]))
            # It goes on with what is kept, in order.
            assert numbers == sorted(numbers)

    shown = dashboard()
    asyncio.run(listen())
    shown.close()


def test_what_is_no_number_ends_no_stream(monkeypatch):
    monkeypatch.setattr(_live, "_PAUSE", 0.01)

    class Odd(type(inspect())):
        def stats(self):
            return replace(super().stats(), bytes=math.nan)

    async def listen():
        async with Listener(shown) as listener:
            for _ in range(3):
                assert "no number" in (await listener.event())[2]["trouble"]
            async with Listener(shown) as late:
                kind, _, told = await late.event()
            assert kind == "history"
            assert "no number" in told["trouble"]

    shown = dashboard(Odd(zoocache._cache.DEFAULT))
    asyncio.run(listen())
    shown.close()


def test_a_client_that_reads_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(_live, "_STALLED", 0.05)

    async def listen():
        async with Listener(shown) as stalled:
            await stalled.event()
            stalled.may_send.clear()
            await asyncio.wait_for(stalled._task, 30)

    shown = dashboard()
    asyncio.run(listen())
    assert not shown._live._listeners
    shown.close()


def test_no_more_streams_than_a_server_can_bear(monkeypatch):
    monkeypatch.setattr(_live, "_MOST_STREAMS", 2)

    async def listen():
        async with Listener(shown), Listener(shown), Listener(shown) as third:
            assert third.status == 503
            assert third.headers["retry-after"] == "5"
        async with Listener(shown) as fourth:
            assert fourth.status == 200

    shown = dashboard()
    asyncio.run(listen())
    shown.close()


def test_asking_for_the_headers_of_the_stream_opens_none(client):
    began = time.monotonic()
    answer = client.request("HEAD", "/events", timeout=30)
    assert answer.headers["content-type"] == "text/event-stream"
    assert time.monotonic() - began < 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process is forked there")
def test_forked_workers_do_not_take_the_events_of_another_for_their_own(monkeypatch):
    shown = dashboard()
    mine = shown._live._name
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert shown._live._name != mine
    shown.close()


def test_streams_end_by_themselves_and_when_the_dashboard_is_closed(monkeypatch):
    monkeypatch.setattr(_live, "_PAUSE", 0.01)

    async def read_to_the_end(listener):
        while await listener.event() is not None:
            pass

    async def listen():
        async with Listener(shown) as listener:
            await listener.event()
            threading.Thread(target=shown.close).start()
            await read_to_the_end(listener)
        async with Listener(shown) as listener:
            await read_to_the_end(listener)

    shown = dashboard()
    asyncio.run(listen())
    monkeypatch.setattr(_live, "_LONGEST", 0.05)
    shown = dashboard()

    async def until_the_end():
        async with Listener(shown) as listener:
            await read_to_the_end(listener)

    asyncio.run(until_the_end())
    shown.close()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StorageError("no server"), "no server"),
        (RuntimeError("a secret of the program"), "this failed; the log of the server says why"),
    ],
)
def test_trouble_is_told_and_ends(monkeypatch, error, told):
    monkeypatch.setattr(_live, "_PAUSE", 0.01)
    is_dead = threading.Event()

    class Sick(type(inspect())):
        def activity(self):
            if is_dead.is_set():
                raise error
            return super().activity()

    async def listen():
        async with Listener(shown) as listener:
            assert (await listener.event())[2]["trouble"] is None
            is_dead.set()
            while (trouble := (await listener.event())[2]["trouble"]) is None:
                pass
            assert trouble == told
            is_dead.clear()
            while (await listener.event())[2]["trouble"] is not None:
                pass

    shown = dashboard(Sick(zoocache._cache.DEFAULT))
    asyncio.run(listen())
    shown.close()
