"""Caches that share a Redis server, in this process and in others."""

import logging
import threading
import time
from pathlib import Path

import pytest
from helpers import DEADLINE, Counted, Running, wait_until
from other_process import Other
from shared_functions import Order, computed, number, order, pieces

import zoocache
from zoocache import Cache, InvalidationQueued, StorageError, configure

#: Where other processes find `shared_functions`.
HERE = Path(__file__).parent


@pytest.fixture(params=["bounded", "strong"])
def consistency(request):
    return request.param


@pytest.fixture
def other(redis_server):
    with Other(redis_server.url, cwd=HERE) as other:
        other.run("from shared_functions import *")
        yield other


@pytest.fixture(autouse=True)
def nothing_computed():
    computed.clear()


def values_of(server):
    """Return the keys of all entries."""
    return [key for key in server.ask("KEYS", "*") if b":e:" in key]


class TestSharing:
    def test_what_one_process_computes_the_other_serves(self, redis_server, other, consistency):
        configure(storage_url=redis_server.url, consistency=consistency)
        other.run("pieces('apple'); order(7)")
        assert pieces("apple") == "3 apple"
        assert order(7) == Order(7, ("bread", "salt"))
        assert computed == []
        assert zoocache.stats()["shared_hits"] == 2
        pieces("pear")
        assert other("pieces('pear'), computed") == ["3 pear", ["apple", 7]]

    def test_an_invalidation_reaches_the_other(self, redis_server, other, consistency):
        configure(storage_url=redis_server.url, consistency=consistency)
        for _ in range(20):
            mine = number("a")
            assert other("number('a')") == mine
            other.run("invalidate('number:a')")
            if consistency == "strong":
                assert number("a") != mine
            else:
                wait_until(lambda mine=mine: number("a") != mine)
            mine = number("a")
            zoocache.invalidate("number")
            assert number("a") != mine

    def test_who_comes_late_serves_nothing_older(self, redis_server, consistency):
        configure(storage_url=redis_server.url)
        first = number("a")
        kept = number("b")
        zoocache.invalidate("number:a")
        with Other(redis_server.url, f"consistency={consistency!r}", cwd=HERE) as late:
            late.run("from shared_functions import *")
            assert late("number('a')") != first
            assert late("number('b')") == kept

    def test_nor_does_a_server_that_was_restarted(self, redis_server, consistency):
        configure(storage_url=redis_server.url, consistency=consistency)
        first = number("a")
        redis_server.ask("SAVE")
        zoocache.invalidate("number:a")
        second = number("a")
        redis_server.kill()
        redis_server.start()
        wait_until(
            lambda: zoocache.get("key") is None and zoocache.set("key", 1) is None and zoocache.get("key")
        )
        assert number("a") not in {first, second}
        kept = number("a")
        assert number("a") == kept

    def test_without_a_near_cache_every_hit_is_read_from_the_server(self, redis_server, consistency):
        configure(storage_url=redis_server.url, near_cache=False, consistency=consistency)
        f = Counted()
        assert f.entries(lambda f: f(1)) == 1
        f.f(1)
        assert zoocache.stats()["shared_hits"] == 2

    def test_many_entries_take_no_more_room_than_they_may(self, redis_server):
        configure(storage_url=redis_server.url, max_entries=10)
        f = Counted()
        for value in range(100):
            f.f(value)
        assert zoocache.stats()["entries"] <= 10
        assert len(values_of(redis_server)) == 100
        assert f.calls == 100
        f.f(0)
        assert f.calls == 100

    def test_operations_on_keys(self, redis_server, consistency):
        caches = [Cache(storage_url=redis_server.url, consistency=consistency) for _ in range(2)]
        one, two = caches
        one.set("key", [1], deps=["t"])
        assert two.get("key") == [1]
        assert two.get_many(["key", "nothing"]) == {"key": [1]}
        one.set("key", [2], deps=["t"])
        wait_until(lambda: two.get("key") == [2])
        assert one.delete("key")
        wait_until(lambda: two.get("key") is None)
        one.set_many({"a": 1, "b": 2}, deps=["t"])
        assert two.get_many(["a", "b"]) == {"a": 1, "b": 2}
        assert two.explain("a").state == "fresh"
        position = one.invalidate("t")
        assert two.get("a", consistent_after=position) is None
        assert two.get_tag_version("t") == position
        assert one.get_tag_version("t:below") == position

    def test_changing_covers_the_other(self, redis_server):
        one, two = (Cache(storage_url=redis_server.url, consistency="strong") for _ in range(2))
        one.set("key", 1, deps=["t"])
        with one.changing("t:below") as block:
            two.set("other", 1, deps=["t:below"])
            assert two.get("other") is None
        assert two.get("other") is None
        assert block.position == two.get_tag_version("t:below")

    def test_each_strong_read_is_one_trip(self, redis_server):
        configure(storage_url=redis_server.url, consistency="strong")
        f = Counted()
        f.entries(lambda f: f(1))
        redis_server.ask("CONFIG", "RESETSTAT")
        for _ in range(10):
            f.f(1)
        assert redis_server.calls("zrangebyscore") == 10
        # What is held here is not sent again.
        assert redis_server.calls("get") == 0

    def test_no_hit_writes(self, redis_server, consistency):
        configure(storage_url=redis_server.url, consistency=consistency, default_ttl=60)
        f = Counted()
        f.f(1)
        with Other(redis_server.url) as other:
            other.run("set('key', 1)")
        before = redis_server.calls("evalsha"), redis_server.calls("set"), redis_server.calls("pexpire")
        for _ in range(100):
            f.f(1)
            zoocache.get("key")
        assert f.calls == 1
        assert before == (
            redis_server.calls("evalsha"),
            redis_server.calls("set"),
            redis_server.calls("pexpire"),
        )

    def test_many_calls_take_one_trip(self, redis_server, consistency):
        configure(storage_url=redis_server.url, consistency=consistency)
        calls = [(value,) for value in range(50)]
        f = Counted()
        f.f.many(calls)
        zoocache.reset()
        configure(storage_url=redis_server.url, consistency=consistency)
        redis_server.ask("CONFIG", "RESETSTAT")
        assert f.f.many(calls) == list(range(1, 51))
        assert f.calls == 50
        assert redis_server.calls("get") == 50
        # One look at what has changed for all of them; the background has a look now and then.
        assert redis_server.calls("zrangebyscore") < 10


class TestAway:
    @pytest.fixture(autouse=True)
    def away(self, redis_server, consistency):
        configure(storage_url=redis_server.url, consistency=consistency)

    def test_functions_are_computed_and_it_is_logged_once(self, redis_server, caplog):
        f = Counted()
        f.f(1)
        redis_server.kill()
        with caplog.at_level(logging.DEBUG, "zoocache"):
            for value in range(50):
                f.f(value)
            assert zoocache.get("key", "default") == "default"
            zoocache.set("key", 1)
        assert f.calls >= 50
        assert len([record for record in caplog.records if "without its storage" in record.message]) == 1
        assert zoocache.stats()["storage_errors"] >= 50

    @pytest.mark.filterwarnings("ignore::zoocache.InvalidationQueued")
    def test_it_is_used_again_without_a_restart(self, redis_server):
        f = Counted(deps=["t"])
        f.f(1)
        redis_server.kill()
        f.f(1)
        redis_server.start()

        def is_kept():
            before = f.calls
            f.f(1)
            f.f(1)
            return f.calls == before

        wait_until(lambda: is_kept() and values_of(redis_server))

    def test_an_invalidation_holds_here_and_is_sent_later(self, redis_server, consistency):
        told = []
        f = Counted(deps=["t"])
        with (
            Cache(storage_url=redis_server.url) as two,
            zoocache.on_invalidate(lambda *args: told.append(args)),
        ):
            two.set("key", 1, deps=["t"])
            assert zoocache.get("key") == 1
            redis_server.pause()
            try:
                with pytest.warns(InvalidationQueued, match="holds in this process"):
                    position = zoocache.invalidate("t")
                assert zoocache.get("key") is None
                with pytest.raises(StorageError, match="holds in this process"):
                    zoocache.invalidate("t", wait=True)
                f.f(1)
            finally:
                redis_server.go_on()
            assert [tags for tags, _ in told] == [["t"], ["t"]]
            assert told[0][1] == position
            wait_until(lambda: two.get("key") is None)
            wait_until(lambda: zoocache.get_tag_version("t") == two.get_tag_version("t") > position)

    def test_blocks_end_all_the_same(self, redis_server):
        redis_server.kill()
        with pytest.warns(InvalidationQueued), zoocache.changing("t") as block:
            pass
        assert block.position is not None
        with pytest.warns(InvalidationQueued), zoocache.invalidation_batch():
            zoocache.invalidate("t")
        with pytest.raises(StorageError), zoocache.changing("t", wait=True):
            pass
        with pytest.raises(StorageError), zoocache.invalidation_batch(wait=True):
            zoocache.invalidate("t")
        with pytest.raises(StorageError):
            zoocache.clear(wait=True)
        with pytest.warns(InvalidationQueued):
            zoocache.clear()

    def test_a_thread_waits_without_the_interpreters_lock(self, redis_server):
        f = Counted()
        f.f(1)
        zoocache.reset()
        configure(storage_url=redis_server.url)
        redis_server.ask("DEBUG", "SET-ACTIVE-EXPIRE", "1")
        sleeping = Running(redis_server.ask, "DEBUG", "SLEEP", "0.5")
        wait_until(lambda: not sleeping.is_alive() or not _answers_soon(redis_server))
        ticks = 0
        reading = Running(f.f, 1)
        while reading.is_alive():
            ticks += 1
            time.sleep(0.001)
        assert reading.result() == 1
        sleeping.result()
        assert ticks > 20


def _answers_soon(server):
    """Is the server awake?"""
    from redis_server import Connection  # noqa: PLC0415

    connection = Connection(server.socket)
    connection._socket.settimeout(0.02)
    try:
        return connection.ask("PING") == b"PONG"
    except OSError:
        return False
    finally:
        connection.close()


class TestStaleness:
    def test_without_news_nothing_is_served_from_memory(self, redis_server):
        configure(storage_url=redis_server.url, max_staleness="200ms")
        f = Counted()
        f.entries(lambda f: f(1))
        redis_server.pause()
        try:
            began = time.monotonic()
            wait_until(lambda: f.f(1) != 1)
            assert time.monotonic() - began < DEADLINE
        finally:
            redis_server.go_on()

    def test_who_is_not_told_learns_of_it_from_a_read(self, redis_server):
        """Passive resynchronization: a read brings what has changed with it."""
        configure(storage_url=redis_server.url, consistency="strong")
        with Cache(storage_url=redis_server.url) as two:
            zoocache.set("key", 1, deps=["t"])
            # Nobody hears anything any more.
            redis_server.ask("ACL", "SETUSER", "default", "resetchannels")
            for client in redis_server.clients():
                redis_server.ask("CLIENT", "KILL", "ID", client)
            wait_until(lambda: redis_server.clients() and zoocache.get("key") == 1)
            before = zoocache.stats()["catch_ups"]
            wait_until(lambda: not _queued(two))
            assert zoocache.get("key") is None
            assert zoocache.stats()["catch_ups"] > before


def _queued(cache):
    try:
        cache.invalidate("t", wait=True)
    except StorageError:
        return True
    return False


class TestBus:
    def test_memory_caches_invalidate_each_other(self, redis_server, consistency):
        configure(bus_url=redis_server.url, consistency=consistency)
        with Other("memory://", f"bus_url={redis_server.url!r}", cwd=HERE) as other:
            other.run("from shared_functions import *")
            mine, others = number("a"), other("number('a')")
            assert mine != others
            assert (number("a"), other("number('a')")) == (mine, others)
            other.run("invalidate('number')")
            if consistency == "strong":
                assert number("a") != mine
            wait_until(lambda: number("a") != mine)
            zoocache.invalidate("number")
            wait_until(lambda: other("number('a')") != others)
        assert not values_of(redis_server)

    def test_values_need_no_bytes(self, redis_server):
        configure(bus_url=redis_server.url)
        value = object()
        zoocache.set("key", value)
        assert zoocache.get("key") is value

    def test_a_reset_invalidates_nothing_of_others(self, redis_server):
        with Cache(bus_url=redis_server.url, consistency="strong") as two:
            two.set("key", 1)
            configure(bus_url=redis_server.url)
            zoocache.reset()
            assert two.get("key") == 1

    def test_it_is_away(self, redis_server, caplog, consistency):
        configure(bus_url=redis_server.url, consistency=consistency, max_staleness="50ms")
        f = Counted()
        f.entries(lambda f: f(1))
        redis_server.kill()
        wait_until(lambda: f.f(1) != 1)
        assert "without its bus" in caplog.text
        with pytest.warns(InvalidationQueued):
            zoocache.invalidate("t")
        with pytest.raises(zoocache.BusError):
            zoocache.invalidate("t", wait=True)


class TestLock:
    SLOW = """
        import threading, time
        from zoocache import cacheable
        went_on = threading.Event()
        def compute(value):
            calls.append(value)
            went_on.wait(30)
            return value
        calls = []
        slow = cacheable(namespace="slow", cluster_lock=True)(compute)
        thread = None
        def begin():
            global thread
            thread = threading.Thread(target=slow, args=(1,))
            thread.start()
    """

    def test_one_process_computes_and_the_others_wait(self, redis_server):
        with Other(redis_server.url) as one, Other(redis_server.url) as two:
            for process in (one, two):
                process.run(self.SLOW)
            one.run("begin()")
            wait_until(lambda: one("calls"))
            two.run("begin()")
            wait_until(lambda: two("stats()['waits']"))
            one.run("went_on.set(); thread.join()")
            two.run("thread.join()")
            assert (one("calls"), two("calls")) == ([1], [])
            assert two("stats()['shared_hits']") == 1

    def test_it_is_given_back_when_the_computation_fails(self, redis_server):
        configure(storage_url=redis_server.url)

        @zoocache.cacheable(cluster_lock=True)
        def fails():
            raise ValueError("no value")

        for _ in range(2):
            with pytest.raises(ValueError, match="no value"):
                fails()
        assert not [key for key in redis_server.ask("KEYS", "*") if b":l:" in key]


class TestDamage:
    KINDS = (
        ("SET", b""),
        ("SET", b"\x00" * 100),
        ("SET", b"9" * 5_000),
        ("LPUSH", b"1"),
        ("SADD", b"1"),
        ("HSET", b"field"),
    )

    def test_foreign_bytes_in_every_key_never_raise_and_never_become_a_value(self, redis_server, consistency):
        configure(storage_url=redis_server.url, consistency=consistency)
        f = Counted(deps=["t"])
        for kind, value in self.KINDS:
            f.f(1)
            zoocache.set("key", "value", deps=["t"])
            keys = redis_server.ask("KEYS", "*")
            # The first store after a loss may be of the domain that is gone.
            assert len(keys) >= 2
            for key in keys:
                redis_server.ask("DEL", key)
                redis_server.ask(kind, key, value, *(["1"] if kind == "HSET" else []))
            with Cache(storage_url=redis_server.url, consistency=consistency) as late:
                assert late.get("key") is None
            assert f.f(2) == f.calls
            assert zoocache.get("key") in {None, "value"}
            _queued(zoocache)
            assert zoocache.get("key") is None
            for key in redis_server.ask("KEYS", "*"):
                redis_server.ask("DEL", key)

    def test_a_damaged_or_truncated_entry_is_a_miss(self, redis_server):
        configure(storage_url=redis_server.url, near_cache=False)
        zoocache.set("key", list(range(50)))
        (name,) = values_of(redis_server)
        stored = redis_server.ask("GET", name)
        for place in range(0, len(stored), 7):
            for damaged in (
                stored[:place],
                stored[:place] + bytes([stored[place] ^ 1]) + stored[place + 1 :],
            ):
                redis_server.ask("SET", name, damaged)
                value = zoocache.get("key")
                # The numbers in front only say when it was stored, and for how long.
                assert value is None or (place < 32 and value == list(range(50)))
        assert zoocache.stats()["rejected"] > 0

    def test_messages_of_nobody(self, redis_server):
        configure(storage_url=redis_server.url)
        f = Counted()
        f.f(1)
        (channel,) = redis_server.ask("PUBSUB", "CHANNELS")
        for message in (b"", b"\xff" * 1_000, b"a|b|c|d|e", b"9" * 100, b"1|2|" + b"9" * 30):
            assert redis_server.ask("PUBLISH", channel, message) > 0
        assert f.f(1) == 1
        assert f.f(1) == 1

    def test_what_was_made_without_the_secret_is_not_served(self, redis_server):
        with (
            Cache(storage_url=redis_server.url) as forger,
            Cache(storage_url=redis_server.url, secret="s") as one,
        ):
            forger.set("key", 1)
            assert one.get("key") is None
            assert one.stats()["rejected"] == 1
            one.set("key", 2)
            with Cache(storage_url=redis_server.url, secret="s") as two:
                assert two.get("key") == 2
            assert forger.get("key") in {None, 1}


def test_threads_share_a_connection(redis_server):
    # Beside it there is one on which the server tells of changes.
    configure(storage_url=redis_server.url, consistency="strong")
    f = Counted()
    barrier = threading.Barrier(8)

    def read(value):
        barrier.wait()
        for _ in range(50):
            f.f(value)

    for thread in [Running(read, value) for value in range(8)]:
        thread.result()
    assert f.calls == 8
    assert len(redis_server.clients()) == 2
