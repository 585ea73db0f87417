"""What processes do with a cache: what they tell, from where it can be asked, and rates of it."""

import json
import os
import signal
import threading
import time

import pytest
from command_line import Sockets
from helpers import wait_until
from other_process import Other
from redis_server import Server

import zoocache
from zoocache import Cache, cacheable, configure
from zoocache.inspect import Activity, FunctionActivity, Node, _activity, from_json, inspect, to_json
from zoocache.inspect._server import Server as Connection
from zoocache.inspect.watching import Watch

pytestmark = pytest.mark.memory_only("it names its storages")

#: What other processes do: a function that is called on and on, and that takes its time.
LOAD = """
import threading, time

@cacheable(namespace="product", deps=lambda number: [f"shop:{number % 3}"])
def product(number):
    time.sleep(0.002)
    return number

def go_on():
    turn = 0
    while True:
        turn += 1
        product(turn % 10)
        if turn % 100 == 0:
            invalidate(f"shop:{turn // 100 % 3}")
        time.sleep(0.001)

threading.Thread(target=go_on, daemon=True).start()
"""
NAME = "__main__.product"


@pytest.fixture(autouse=True)
def sockets():
    with Sockets():
        yield
        zoocache.reset()


@pytest.fixture(params=["memory", "lmdb", "redis"])
def loaded(request, tmp_path):
    """What names a cache under load, and the processes that use it: two where they can share it."""
    server = Server() if request.param == "redis" else None
    url = {"memory": "memory://", "lmdb": f"lmdb://{tmp_path}/cache"}.get(request.param) or server.url
    others = []
    try:
        for _ in range(1 if request.param == "memory" else 2):
            others.append(Other(url, "control=True"))
            others[-1].run(LOAD)
        yield (others[0].pid if request.param == "memory" else url), others
    finally:
        for other in others:
            other.kill()
        if server is not None:
            server.end()


def looked(watch, condition):
    """Look until the condition holds for the watch, and return the last sample."""

    def look():
        sample = watch.look()
        return sample if condition(sample) else None

    return wait_until(look)


def test_rates_of_a_cache_that_others_use(loaded):
    place, others = loaded
    with inspect(place) as inspector:
        watch = Watch(inspector)
        sample = looked(
            watch,
            lambda one: (
                (one.processes, one.entries) == (len(others), 10)
                and min(one.hits, one.misses, one.invalidations) > 0
                # Those that were running already at the first look are not measured.
                and watch.functions[0].mean is not None
                # Processes may tell of one that the log did not show yet when it was asked.
                and watch.invalidations
            ),
        )
        assert 0 < sample.hit_ratio < 1
        assert sample.hit_ratio == pytest.approx(sample.hits / (sample.hits + sample.misses))
        (function,) = watch.functions
        assert function.name == NAME
        assert function.calls > 0
        assert function.mean >= 0.002
        assert function.hits > 0
        assert function.misses > 0
        assert watch.trouble is None
        assert watch.invalidations[0].tags[0].startswith("shop:")
        positions = [one.position for one in watch.invalidations]
        assert positions == sorted(positions, reverse=True)
        assert len(set(positions)) == len(positions)
        assert {node.name for node in watch.nodes if not node.is_self} >= {
            activity.process for activity in inspector.activity()
        }
        # One that ends counts no more.
        others[-1].kill()
        looked(watch, lambda one: one.processes == len(others) - 1)


def test_what_is_told_is_what_the_process_counts(loaded):
    place, others = loaded
    with inspect(place) as inspector:

        def told():
            told = [one for one in inspector.activity() if one.counters["hits"]]
            return told if len(told) == len(others) else None

        activities = wait_until(told)
        for other in others:
            (activity,) = [one for one in activities if one.process.endswith(f":{other.pid}")]
            now = other("zoocache.stats()")
            assert 0 < activity.counters["hits"] <= now["hits"]
            (function,) = activity.functions
            assert function.name == NAME
            assert 0 < function.hits <= other("product.stats()")["hits"]


def test_processes_without_a_control_socket_tell_nothing(tmp_path):
    with Other(tmp_path / "cache") as other:
        other.run(LOAD)
        with inspect(f"lmdb://{tmp_path}/cache") as inspector:
            watch = Watch(inspector)
            sample = looked(watch, lambda one: one.invalidations > 0)
            assert (sample.processes, sample.hits, sample.hit_ratio) == (0, 0, None)
            assert inspector.activity() == ()


def test_of_another_folder_nothing_is_told(tmp_path):
    with Other(tmp_path / "one", "control=True") as other:
        Cache(storage_url=f"lmdb://{tmp_path}/two").set("k", 1)
        # It has both open; its default cache is the first.
        other.run(f"second = Cache(storage_url='lmdb://{tmp_path}/two'); second.set('k', 1)")
        with inspect(f"lmdb://{tmp_path}/two") as inspector:
            assert inspector.activity() == ()
        with inspect(f"lmdb://{tmp_path}/one") as inspector:
            assert [one.process for one in inspector.activity()] == [f"pid:{other.pid}"]


def test_inside_a_process_the_others_are_told_of_too(tmp_path):
    configure(storage_url=f"lmdb://{tmp_path}/cache", control=True)
    with Other(tmp_path / "cache", "control=True") as other, inspect() as inspector:
        zoocache.get("k")
        own, of_other = inspector.activity()
        assert (own.process, of_other.process) == (f"pid:{os.getpid()}", f"pid:{other.pid}")
        assert own.counters["misses"] == 1


@pytest.mark.parametrize("kind", ["lmdb", "redis"])
def test_forked_workers_tell_for_themselves(request, tmp_path, kind):
    url = f"lmdb://{tmp_path}/cache" if kind == "lmdb" else request.getfixturevalue("redis_server").url
    with Other(url, "control=True") as other:
        other.run("""
            import os, time
            get("k")

            def work():
                while True:
                    get("k")
                    time.sleep(0.01)

            workers = []
            for _ in range(2):
                worker = os.fork()
                if worker == 0:
                    work()
                workers.append(worker)
        """)
        workers = other("workers")
        try:
            with inspect(url) as inspector:
                pids = {str(pid) for pid in [*workers, other.pid]}
                wait_until(lambda: {one.process.rpartition(":")[2] for one in inspector.activity()} == pids)
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)


def test_computations_are_measured_from_the_first_question_on():
    @cacheable(deps=["a"])
    def slow():
        time.sleep(0.005)

    def counted():
        (activity,) = inspector.activity()
        (function,) = [one for one in activity.functions if one.name.endswith("slow")]
        return function

    with inspect() as inspector:
        slow()
        assert (counted().misses, counted().computed, counted().seconds) == (1, 0, 0.0)
        zoocache.invalidate("a")
        slow()
        assert (counted().computed, counted().stale) == (1, 1)
        assert counted().seconds >= 0.005


@pytest.mark.parametrize("kind", ["memory", "lmdb"])
def test_all_invalidations_count_not_only_those_that_are_remembered(tmp_path, kind):
    configure(storage_url="memory://" if kind == "memory" else f"lmdb://{tmp_path}/cache")
    with inspect() as inspector:
        watch = Watch(inspector)
        began = time.monotonic()
        watch.look()
        # In memory a thousand are remembered, in a folder the latest of each tag.
        for _ in range(3000):
            zoocache.invalidate("one")
        sample = looked(watch, lambda one: one.invalidations)
        assert sample.invalidations * (time.monotonic() - began) >= 3000


def test_many_processes_are_asked_at_once(tmp_path, monkeypatch):
    # Each answers when the other one has been asked, too.
    both = threading.Barrier(2, timeout=30)
    asked = _activity._asked

    def ask(pid, path):
        both.wait()
        return asked(pid, path)

    monkeypatch.setattr(_activity, "_asked", ask)
    place = tmp_path / "cache"
    with (
        Other(place, "control=True") as one,
        Other(place, "control=True") as two,
        inspect(f"lmdb://{place}") as inspector,
    ):
        assert {told.process for told in inspector.activity()} == {f"pid:{one.pid}", f"pid:{two.pid}"}


class Told:
    """An inspector that tells what a test wants."""

    def __init__(self):
        self.activities, self.troubles = [], []
        self.processes = ()

    def activity(self):
        if self.troubles:
            raise self.troubles.pop()
        return tuple(self.activities)

    def invalidations(self, **_asked):
        return ()

    def stats(self):
        raise zoocache.StorageError("no sizes")

    def nodes(self):
        return self.processes


def activity(clock, hits, misses=0, process="a"):
    function = FunctionActivity("f", hits, misses, 0, 0, 0, 0, 0.0)
    return Activity(process, "here", clock, {"hits": hits, "misses": misses}, (function,))


class TestRates:
    def test_are_by_the_clock_of_each_process(self):
        told = Told()
        watch = Watch(told)
        told.activities = [activity(10, 100), activity(500, 0, process="b")]
        assert watch.look().hits == 0
        told.activities = [activity(12, 120), activity(501, 3, 1, process="b")]
        sample = watch.look()
        assert (sample.hits, sample.misses, sample.hit_ratio) == (13, 1, 13 / 14)
        assert watch.functions[0].calls == 14
        # Nothing new was told: the rate stays.
        assert watch.look().hits == 13

    def test_a_process_that_began_anew_tells_no_negative_rate(self):
        told = Told()
        watch = Watch(told)
        for step in [activity(10, 100), activity(11, 200), activity(3, 5), activity(4, 6)]:
            told.activities = [step]
            assert watch.look().hits >= 0
        assert watch.look().hits == 1

    def test_a_process_that_began_anew_is_known_by_any_counter(self):
        told = Told()
        watch = Watch(told)
        for step in [activity(10, 0, 100), activity(11, 5, 10), activity(13, 15, 30)]:
            told.activities = [step]
            sample = watch.look()
        assert (sample.hits, sample.misses) == (5, 10)

    def test_looks_at_the_same_time_tell_no_rate(self):
        told = Told()
        watch = Watch(told)
        for step in [activity(0.0, 0), activity(5e-324, 2**63)]:
            told.activities = [step]
            assert watch.look().hits == 0

    def test_nodes_that_are_gone_are_gone(self, monkeypatch):
        monkeypatch.setattr("zoocache.inspect.watching._LEAST_REST", 0.0)
        monkeypatch.setattr("zoocache.inspect.watching._REST", 0)
        told = Told()
        watch = Watch(told)
        told.processes = (Node("a", 0.0, 1.0, "", is_self=False),)
        watch.look()
        assert watch.nodes == told.processes
        told.processes = ()
        watch.look()
        assert watch.nodes == ()

    def test_are_of_the_last_seconds(self):
        told = Told()
        watch = Watch(told)
        for second in range(20):
            told.activities = [activity(second, 1000 * min(second, 10))]
            sample = watch.look()
        assert sample.hits == 0

    def test_what_cannot_be_found_out_is_told_and_nothing_else_is_lost(self):
        told = Told()
        watch = Watch(told)
        told.activities = [activity(1, 1)]
        watch.look()
        told.troubles = [zoocache.StorageError("the server is gone")]
        told.activities = [activity(2, 2)]
        watch.look()
        assert watch.trouble == "the server is gone"
        assert watch.look().hits == 1
        assert watch.trouble is None

    def test_only_so_many_samples_are_kept(self):
        watch = Watch(Told(), span=3)
        samples = [watch.look() for _ in range(5)]
        assert watch.samples == tuple(samples[-3:])


class TestOnAServer:
    def test_nothing_is_written_unless_somebody_watches(self, redis_server):
        with Other(redis_server.url, "control=True") as other:
            other.run("get('k')")
            with inspect(redis_server.url) as inspector:
                wait_until(inspector.activity)
                (name,) = [node.name for node in inspector.nodes() if not node.is_self]
            key = f"{{zoocache}}:activity:{name}"
            assert 0 < redis_server.ask("PTTL", key) <= 10_000
            assert 0 < redis_server.ask("PTTL", "{zoocache}:watched") <= 10_000
            redis_server.ask("DEL", key, "{zoocache}:watched")
            # It has looked again, and told nothing.
            calls = b"cmdstat_exists:calls="

            def looks():
                return int(redis_server.ask("INFO", "commandstats").split(calls)[1].split(b",")[0])

            before = looks()
            wait_until(lambda: looks() >= before + 2)
            assert redis_server.ask("EXISTS", key) == 0

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "no json",
            "[" * 100_000,
            "{}",
            '{"process": "a"}',
            json.dumps(to_json(activity(1, 1)) | {"counters": {"hits": "many"}}),
            json.dumps(to_json(activity(1, 1)) | {"functions": [{"name": 1}]}),
            json.dumps(to_json(activity(1, 1)) | {"more": 1}),
            "x" * 300_000,
            *(
                json.dumps(to_json(activity(1, 1, process="NAME")) | more)
                for more in (
                    {"process": "another"},
                    {"clock": float("nan")},
                    {"clock": float("inf")},
                    {"clock": -1},
                    {"clock": 10**400},
                    {"counters": {"hits": 10**400}},
                    {"counters": {"hits": -1}},
                    {"functions": [vars(FunctionActivity("f", 10**400, 0, 0, 0, 0, 0, 0.0))]},
                    {"functions": [vars(FunctionActivity("f", 1, 0, 0, 0, 0, 1, float("nan")))]},
                )
            ),
        ],
    )
    def test_what_somebody_else_has_written_there_is_no_harm(self, redis_server, text):
        with Other(redis_server.url) as other:
            other.run("get('k')")
            with inspect(redis_server.url) as inspector:
                (name,) = [node.name for node in inspector.nodes() if not node.is_self]
                redis_server.ask("SET", f"{{zoocache}}:activity:{name}", text.replace("NAME", name))
                assert inspector.activity() == ()
                assert Watch(inspector).look().processes == 0

    def test_what_a_process_tells_there_is_taken(self, redis_server):
        with Other(redis_server.url) as other:
            other.run("get('k')")
            with inspect(redis_server.url) as inspector:
                (name,) = [node.name for node in inspector.nodes() if not node.is_self]
                told = activity(1.0, 1, process=name)
                redis_server.ask("SET", f"{{zoocache}}:activity:{name}", json.dumps(to_json(told)))
                assert inspector.activity() == (told,)

    def test_who_is_there_is_found_out_in_one_question(self, redis_server, monkeypatch):
        with Other(redis_server.url, "control=True") as other, inspect(redis_server.url) as inspector:
            other.run("get('k')")
            # How far each one is behind takes one more for each.
            monkeypatch.setattr(inspector, "invalidations", None)
            wait_until(inspector.activity)

    def test_a_server_that_does_not_answer_delays_nobody_else(self, redis_server):
        with Other(redis_server.url, "control=True") as other:
            with inspect(redis_server.url) as inspector:
                wait_until(inspector.activity)
            with inspect(other.pid) as inspector:
                redis_server.pause()
                try:
                    # Longer than it takes until the process knows that nobody answers, and asks again.
                    end = time.monotonic() + 4
                    while time.monotonic() < end:
                        began = time.monotonic()
                        (told,) = inspector.activity()
                        assert time.monotonic() - began < 1.5
                        assert told.process.endswith(f":{other.pid}")
                        time.sleep(0.05)
                finally:
                    redis_server.go_on()

    def test_a_cache_that_was_reset_meanwhile_is_not_made_anew(self, redis_server):
        class Resetting:
            probe = type("Probe", (), {"table": "{zoocache}:V"})

            def ask(self, command, *_words):
                if command == "EXISTS":
                    zoocache.reset()
                return 1

        configure(storage_url=redis_server.url)
        with inspect() as inspector:
            _activity.Publisher(Resetting(), inspector.own_activity).publish()
        configure(storage_url=redis_server.url, max_entries=7)

    def test_a_server_that_has_become_a_replica_is_left(self, redis_server):
        server = Connection(redis_server.url, "zoocache")
        first = server.ask("CLIENT", "ID")
        with pytest.raises(zoocache.StorageError, match="unknown"):
            server.ask("NONSENSE")
        assert server.ask("CLIENT", "ID") == first
        redis_server.ask("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(zoocache.StorageError, match="READONLY"):
            server.ask("SET", "a", 1)
        # The address may lead to another one by now.
        assert server.ask("CLIENT", "ID") != first

    @pytest.mark.parametrize("refused", ["exists", "set"])
    def test_a_process_that_may_not_tell_warns_once_and_goes_on(self, redis_server, refused, caplog):
        configure(max_entries=7)
        redis_server.ask("SET", "{zoocache}:watched", 1)
        redis_server.ask("ACL", "SETUSER", "default", f"-{refused}")
        publisher = _activity.Publisher(Connection(redis_server.url, "zoocache"), lambda: activity(1.0, 1))
        for _ in range(3):
            publisher.publish()
        (warning,) = caplog.records
        assert f"refuses {refused.upper()}: NOPERM" in warning.getMessage()
        redis_server.ask("ACL", "SETUSER", "default", f"+{refused}")
        publisher.publish()
        assert redis_server.ask("EXISTS", "{zoocache}:activity:a") == 1


@pytest.mark.parametrize(
    "plain",
    [
        {"process": 1},
        {"clock": "1"},
        {"clock": True},
        {"counters": {"hits": 1.5}},
        {"counters": {"hits": None}},
        {"counters": []},
        {"functions": {}},
        {"functions": [[]]},
    ],
)
def test_a_record_is_of_the_right_types(plain):
    right = to_json(activity(1.0, 1))
    assert from_json(Activity, right) == activity(1.0, 1)
    with pytest.raises(ValueError, match="not a Activity"):
        from_json(Activity, right | plain)
