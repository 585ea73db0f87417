"""Inspectors of caches of this process and of others: the same answers wherever the entries rest."""

import os
import threading
from datetime import datetime, timedelta, timezone
from itertools import islice

import pytest
from command_line import Sockets, shop
from helpers import Running, wait_until
from other_process import Other
from redis_server import Server

import zoocache
from zoocache import Cache, ConfigError, InvalidTag, StorageError, cacheable, configure
from zoocache.inspect import Unreachable, from_json, inspect, records, to_json

pytestmark = pytest.mark.memory_only("it names its storages")

KINDS = ["memory", "lmdb", "redis"]


@pytest.fixture
def url(request, tmp_path):
    """A place of the kind that the test asks for."""
    kind = request.param
    if kind == "memory":
        yield "memory://"
    elif kind == "lmdb":
        yield f"lmdb://{tmp_path}/cache"
    else:
        server = Server()
        yield server.url
        zoocache.reset()
        server.end()


@pytest.fixture
def cache(url):
    return Cache(storage_url=url)


everywhere = pytest.mark.parametrize("url", KINDS, indirect=True)
shared = pytest.mark.parametrize("url", ["lmdb", "redis"], indirect=True)


# ---- Entries


@everywhere
def test_each_entry_is_listed_once(cache):
    keys = {f"key {number:03}" for number in range(250)}
    for key in keys:
        cache.set(key, 1)
    with inspect(cache) as inspector:
        for limit in (7, 100, 250, 1000):
            found, cursor = [], None
            while True:
                page = inspector.entries(cursor=cursor, limit=limit)
                assert len(page.entries) <= limit
                found += [entry.key for entry in page.entries]
                cursor = page.cursor
                if cursor is None:
                    break
            assert sorted(found) == sorted(keys)
        assert {entry.key for entry in inspector.all_entries()} == keys
        assert len(list(inspector.all_entries(limit=33))) == 33


@everywhere
def test_an_entry_says_what_it_is(cache):
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    cache.set("lasting", 1, deps=["shop:1", "shop:2:*"])
    cache.set("passing", 1, ttl=60)
    cache.set("stale", 1, deps=["gone"])
    cache.invalidate("gone")
    with inspect(cache) as inspector:
        entries = {entry.key: entry for entry in inspector.entries().entries}
    assert entries["lasting"].dependencies == ("shop:1", "shop:2:*")
    assert entries["lasting"].expires is None
    assert before < entries["lasting"].created < datetime.now(timezone.utc) + timedelta(seconds=1)
    left = entries["passing"].expires - datetime.now(timezone.utc)
    assert timedelta(seconds=40) < left <= timedelta(seconds=61)
    assert {key: entry.state for key, entry in entries.items()} == {
        "lasting": "fresh", "passing": "fresh", "stale": "stale",
    }  # fmt: skip


# A server has a clock of its own.
@pytest.mark.parametrize("url", ["memory", "lmdb"], indirect=True)
def test_entries_that_are_being_changed_and_that_expired(cache, clock):
    cache.set("changed", 1, deps=["shop:1"])
    cache.set("short", 1, ttl=1)
    clock.advance(2)
    with cache.changing("shop"), inspect(cache) as inspector:
        states = {entry.key: entry.state for entry in inspector.entries().entries}
        assert states == {"changed": "changing", "short": "expired"}
        assert [branch.changing for branch in inspector.tree() if branch.tag == "shop"] == [True]


@everywhere
def test_entries_by_prefix_tag_and_state(cache):
    for number in range(10):
        cache.set(f"product {number}", 1, deps=[f"shop:{number}"])
    cache.set("list", 1, deps=["shop:*"])
    cache.invalidate("shop:4")

    def keys(**wanted):
        return sorted(entry.key for entry in inspector.entries(**wanted).entries)

    with inspect(cache) as inspector:
        assert keys(prefix="product 1") == ["product 1"]
        assert keys(tag="shop:7") == ["list", "product 7"]
        assert len(keys(tag="shop")) == 11
        assert keys(state="stale") == ["list", "product 4"]
        assert keys(prefix="product", tag="shop:4", state="fresh") == []
        assert len(keys(tag="*")) == 11


@everywhere
def test_wrong_questions_are_refused(cache):
    with inspect(cache) as inspector:
        for wrong in ({"tag": "a::b"}, {"tag": ""}):
            with pytest.raises(InvalidTag):
                inspector.entries(**wrong)
        with pytest.raises(InvalidTag):
            inspector.tree("|")
        with pytest.raises(ValueError, match="state must be"):
            inspector.entries(state="odd")
        with pytest.raises(ValueError, match="limit"):
            inspector.entries(limit=0)
        with pytest.raises(ValueError, match="not a cursor"):
            inspector.entries(cursor="xyz")


@everywhere
def test_looking_is_no_use(cache):
    cache.set("key", 1, ttl=100)
    before = cache.stats()
    with inspect(cache) as inspector:
        inspector.entries()
        inspector.value("key")
        inspector.explain("key")
        inspector.tree()
    after = cache.stats()
    assert {name: after[name] for name in ("hits", "misses", "entries")} == {
        name: before[name] for name in ("hits", "misses", "entries")
    }


@everywhere
def test_listing_while_others_store_and_invalidate(cache):
    ends = threading.Event()

    def go_on():
        turn = 0
        while not ends.is_set():
            turn += 1
            cache.set(f"busy {turn % 300}", turn, deps=[f"busy:{turn % 5}"])
            cache.invalidate(f"busy:{turn % 7}")

    for number in range(100):
        cache.set(f"quiet {number}", 1, deps=["quiet"])
    going = Running(go_on)
    try:
        with inspect(cache) as inspector:
            for _ in range(20):
                found = [entry.key for entry in inspector.all_entries(prefix="quiet")]
                assert set(found) == {f"quiet {number}" for number in range(100)}
                assert len(inspector.tree()) <= 2
    finally:
        ends.set()
        going.result()


# ---- Values, explanations, the tree


@everywhere
def test_a_value_is_plain_data(cache):
    cache.set("key", {"a": [1, None, 2.5], "b": b"\x00"}, deps=["t"])
    with inspect(cache) as inspector:
        value = inspector.value("key")
        assert value.value == {"a": [1, None, 2.5], "b": {"$type": "bytes", "hex": "00"}}
        assert value.state == "fresh"
        with pytest.raises(KeyError):
            inspector.value("nothing")
        cache.invalidate("t")
        assert inspector.value("key").state == "stale"


def test_an_object_in_memory_that_has_no_bytes_is_named():
    cache = Cache()
    cache.set("key", threading.Event())
    with inspect(cache) as inspector:
        assert inspector.value("key").value == {"$type": "threading:Event"}


@everywhere
def test_explain_names_the_tag_below_a_subtree(cache, url):
    cache.set("list", 1, deps=["shop:2:*"])
    position = cache.invalidate("shop:2:product:7")
    with inspect(cache) as inspector:
        cause = inspector.explain("list").cause
    assert cause.at == records.moment(position)
    # In memory nobody notes which one it was.
    assert cause.tag == ("shop:2:*" if url == "memory://" else "shop:2:product:7")
    assert str(os.getpid()) in cause.node


@shared
def test_explain_says_when_a_change_ran_out(cache, url):
    cache.set("key", 1, deps=["shop:1"])
    with Other(url) as other:
        other.run("changing('shop:1', timeout=0.2).__enter__()")
    with inspect(cache) as inspector:
        explained = wait_until(lambda: (found := inspector.explain("key")).state == "stale" and found)
    assert explained.cause.node == "the deadline of a change"


@everywhere
def test_the_tree_counts_entries_and_tells_times(cache):
    for number in range(6):
        cache.set(f"product {number}", 1, deps=[f"shop:1:product:{number}", f"shop:1:kind:{number % 2}"])
    cache.set("list", 1, deps=["shop:1:*", "other"])
    position = cache.invalidate("shop:1:product:2")
    with inspect(cache) as inspector:
        top = {branch.tag: branch for branch in inspector.tree()}
        assert sorted(top) == ["other", "shop"]
        assert (top["shop"].entries, top["shop"].fresh) == (7, 5)
        assert top["shop"].invalidated is None
        assert top["shop"].invalidated_below == records.moment(position)
        below = {branch.tag: branch for branch in inspector.tree("shop:1")}
        assert {tag: branch.entries for tag, branch in below.items()} == {
            "shop:1:product": 6,
            "shop:1:kind": 6,
        }
        leaves = {branch.tag: branch.invalidated for branch in inspector.tree("shop:1:product")}
        assert leaves["shop:1:product:2"] == records.moment(position)
        assert leaves["shop:1:product:3"] is None
        assert inspector.tree("no:where") == ()


@everywhere
def test_the_tree_shows_invalidated_tags_that_nothing_depends_on(cache):
    with inspect(cache) as inspector:
        position = cache.invalidate("lonely:tag")
        assert [(branch.tag, branch.entries) for branch in inspector.tree()] == [("lonely", 0)]
        (branch,) = inspector.tree("lonely")
        assert branch.invalidated == records.moment(position)


@everywhere
def test_affected_and_invalidate(cache):
    cache.set("key", 1, deps=["shop:1"])
    with inspect(cache) as inspector:
        assert inspector.affected("shop") == 1
        position = inspector.invalidate("shop", "other")
        assert cache.get("key") is None
        assert inspector.affected("shop") == 0
        assert inspector.invalidations()[-1].position == position
        cache.set("key", 1)
        inspector.clear()
        assert cache.get("key") is None
        assert inspector.prune() >= 0


@everywhere
def test_prune_frees_everything_that_is_dead(cache):
    for first in range(0, 5000, 1000):
        values = {f"key {number}": 1 for number in range(first, first + 1000)}
        cache.set_many(values, deps=["dead" if first else "alive"])
    with inspect(cache) as inspector:
        inspector.prune()  # as another process may have done just now
        cache.invalidate("dead")
        # Copies that this process holds count, too.
        assert 4000 <= inspector.prune() <= 8000
        assert inspector.stats().entries == 1000


# ---- Past invalidations


@everywhere
def test_invalidations_are_told_in_their_order(cache):
    with inspect(cache) as inspector:
        positions = [cache.invalidate(f"tag:{number}", "both") for number in range(5)]
        told = inspector.invalidations()
        assert [one.position for one in told if one.position in positions] == positions
        assert {f"tag:{4}", "both"} == set(told[-1].tags)
        assert str(os.getpid()) in told[-1].node
        assert [one.position for one in inspector.invalidations(after=positions[2])] == positions[3:]
        assert [one.position for one in inspector.invalidations(limit=2)] == positions[3:]
        assert inspector.invalidations(after=0, limit=1)[0].position <= positions[0]
        cache.clear()
        assert inspector.invalidations(limit=1)[0].tags == ("*",)


@everywhere
def test_following_misses_none(cache):
    with inspect(cache) as inspector:
        first = cache.invalidate("begin")
        following = Running(lambda: [one.tags for one in islice(inspector.follow(first, pause=0.001), 100)])
        for number in range(100):
            cache.invalidate(f"tag:{number}")
        assert following.result() == [(f"tag:{number}",) for number in range(100)]


# ---- Others' caches


@shared
def test_from_outside_nothing_is_left(url):
    with shop(url) as other:
        before = other("stats()['entries']")
        for _ in range(3):
            with inspect(url) as inspector:
                assert inspector.stats().entries >= 19
        assert not other("get('nothing')")
        assert other("stats()['entries']") >= before - 1
        wait_until(lambda: len(nodes_of(url)) <= 2)


def nodes_of(url):
    with inspect(url) as inspector:
        return inspector.nodes()


@shared
def test_the_class_of_a_value_is_neither_imported_nor_made(url):
    with Other(url) as other:
        other.run(
            """
            import dataclasses, enum

            @dataclasses.dataclass
            class Order:
                number: int
                lines: list

            class Colour(enum.Enum):
                RED = "red"

            set("order", Order(7, [Order(8, []), Colour.RED]))
            """
        )
        with inspect(url) as inspector:
            value = inspector.value("order").value
    assert value == {
        "$type": "__main__:Order",
        "number": 7,
        "lines": [
            {"$type": "__main__:Order", "number": 8, "lines": []},
            {"$type": "__main__:Colour", "value": "RED"},
        ],
    }


@shared
def test_the_nodes_are_the_processes(url):
    with Other(url) as one, Other(url) as two:

        def names():
            return {node.name for node in nodes_of(url) if not node.is_self}

        pids = {str(one.pid), str(two.pid)}
        wait_until(lambda: {name.rpartition(":")[2] for name in names()} == pids)
        one.kill()
        wait_until(lambda: {name.rpartition(":")[2] for name in names()} == {str(two.pid)})


def test_a_server_may_refuse_to_tell_of_its_nodes(redis_server):
    redis_server.ask("ACL", "SETUSER", "app", "on", ">app-password", "~*", "&*", "+@all", "-client")
    url = f"{redis_server.url}?user=app&pass=app-password"
    with (
        Other(url),
        inspect(url) as inspector,
        pytest.raises(StorageError, match="refuses CLIENT") as refused,
    ):
        inspector.nodes()
    assert "app-password" not in str(refused.value)


def test_invalidations_hold_where_the_history_cannot_be_kept(redis_server):
    redis_server.ask("ACL", "SETUSER", "app", "on", ">app-password", "~*", "&*", "+@all", "-xadd", "-xrange")
    cache = Cache(storage_url=f"{redis_server.url}?user=app&pass=app-password")
    cache.set("key", 1, deps=["shop"])
    cache.invalidate("shop")
    assert cache.get("key") is None
    assert cache.stats()["storage_errors"] == 0
    with inspect(cache) as inspector:
        assert inspector.explain("key").cause.tag == "shop"


def test_the_history_of_a_server_is_bounded(redis_server):
    cache = Cache(storage_url=redis_server.url)
    for number in range(1500):
        cache.invalidate(f"tag:{number % 3}")
    assert 1000 <= redis_server.ask("XLEN", "{zoocache}:history") <= 1200
    with inspect(cache) as inspector:
        assert len(inspector.invalidations(limit=5000)) <= 1200


def test_the_map_of_a_folder_stays_as_its_program_made_it(tmp_path):
    url = f"lmdb://{tmp_path}/cache"
    Other(url, f"lmdb_map_size={2**24}").kill()
    with inspect(url) as inspector, Other(url, f"lmdb_map_size={2**24}"):
        assert inspector.stats().facts["map_bytes"] == 2**24


@pytest.mark.parametrize("wrong", ["memory://", "lmdb:///nowhere/at/all"])
def test_where_there_is_nothing(wrong):
    with pytest.raises(Unreachable):
        inspect(wrong)


def test_a_url_that_is_none():
    with pytest.raises(ConfigError):
        inspect("ftp://password@host")


# ---- The default cache, and records


def test_the_default_cache():
    @cacheable
    def f(x):
        return x

    f(1)
    with inspect() as inspector:
        assert [entry.key for entry in inspector.entries().entries] == [f.key(1)]
        assert inspector.stats().kind == "memory"
        assert inspector.stats().counters["misses"] == 1
        assert [node.is_self for node in inspector.nodes()] == [True]


def test_the_default_cache_in_a_folder(tmp_path):
    configure(storage_url=f"lmdb://{tmp_path}", prefix="shop")
    zoocache.set("key", 1)
    with inspect() as inspector:
        stats = inspector.stats()
    assert (stats.kind, stats.place, stats.entries) == ("lmdb", f"{tmp_path}/app-shop", 1)


@everywhere
def test_records_are_the_same_after_json(cache):
    cache.set("key", 1, deps=["shop:1"], ttl=60)
    cache.invalidate("shop")
    with inspect(cache) as inspector:
        told = [
            inspector.stats(),
            inspector.entries(),
            inspector.explain("key"),
            *inspector.tree(),
            *inspector.invalidations(),
            *inspector.nodes(),
            inspector.value("key"),
        ]
    for record in told:
        assert from_json(type(record), to_json(record)) == record


def test_what_is_no_record_is_refused():
    for wrong in (None, 1, {"key": "a"}, {"nonsense": 1}):
        with pytest.raises(ValueError, match="not a Entry"):
            from_json(records.Entry, wrong)


def test_an_inspector_of_a_process_without_a_socket():
    with Sockets(), pytest.raises(Unreachable, match=r"configure\(control=True\)"):
        inspect(os.getpid())
