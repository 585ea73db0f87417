"""`zoocache.telemetry`: what the program's own adapters are told, in step with the cache."""

import asyncio
import gc
import logging
import threading
import weakref
from collections import Counter

import pytest
from helpers import Running, run_program, wait_until
from telemetry_notes import DURATIONS, Notes, configured

import zoocache
from zoocache import Cache, ConfigError, cacheable, configure, invalidate, reset
from zoocache.telemetry import LogAdapter, TelemetryAdapter, TelemetryManager, TimerContext
from zoocache.testing import frozen_time, isolated

pytestmark = pytest.mark.memory_only("labels name the storage")


@pytest.fixture(autouse=True)
def memory(fresh_cache):
    """Each test configures the cache that it needs."""
    reset()


class Broken(Notes):
    def increment(self, name, value=1.0, labels=None):
        raise RuntimeError(name)

    observe = set_gauge = increment

    def bind_core(self, core):
        raise RuntimeError("bind_core")

    def close(self):
        raise RuntimeError("close")


@pytest.fixture
def notes(memory):
    return configured(Notes())


class TestInStep:
    def test_hits_and_misses_are_told_one_by_one(self, notes):
        @cacheable
        def f(x):
            return x

        f(1)
        assert notes.counts() == {"cache_misses_total": 1}
        for _ in range(200):
            f(1)
        f(2)
        assert notes.counts() == {"cache_hits_total": 200, "cache_misses_total": 2}
        assert all(value == 1.0 for name, value, _ in notes.told if name not in DURATIONS)
        label = f"{__name__}.{f.__qualname__}"
        assert notes.told[0][2] == {"function": label, "storage": "memory"}

    def test_the_cause_of_a_miss_is_told(self):
        with frozen_time() as clock:
            notes = configured(Notes())

            @cacheable(deps=["a"], ttl=10)
            def f():
                return 1

            f()
            invalidate("a")
            f()
            clock.advance(11)
            f()
            assert notes.causes() == ["absent", "stale", "expired"]
            assert f.stats()["misses"] == 2
            reset()

    def test_durations_are_those_of_lookups_and_stores(self, notes):
        @cacheable
        def f(x):
            return x

        f(1)
        f(1)
        zoocache.set("k", 1)
        zoocache.get("k")
        names = [name for name, _, _ in notes.told if name in DURATIONS]
        assert Counter(names) == {"cache_get_duration_seconds": 3, "cache_set_duration_seconds": 2}
        assert all(0 <= seconds < 60 for name, seconds, _ in notes.told if name in DURATIONS)

    def test_errors_are_told(self, notes):
        @cacheable
        def f():
            raise ValueError

        with pytest.raises(ValueError, match=r"^$"):
            f()
        assert notes.counts() == {"cache_errors_total": 1, "cache_misses_total": 1}

    def test_invalidations_are_told(self, notes):
        invalidate("a", "b")
        with zoocache.changing("c"):
            pass
        with zoocache.invalidation_batch():
            invalidate("d")
            invalidate("e")
        zoocache.clear()
        asyncio.run(zoocache.invalidate_async("f"))
        assert notes.counts() == {"cache_invalidations_total": 5}

    def test_operations_that_are_no_function_have_an_empty_one(self, notes):
        zoocache.set("k", 1)
        zoocache.get("k")
        zoocache.get("l")
        assert notes.counts(function="", storage="memory") == {"cache_hits_total": 1, "cache_misses_total": 1}

    def test_what_is_told_is_what_functions_count(self, notes):
        @cacheable
        def f(x):
            return x

        class Thing:
            def __zoocache_key__(self):
                return 1

            @cacheable
            def method(self, x):
                return f(x)

        @cacheable
        async def g(x):
            return f(x)

        async def calls():
            for x in (1, 2, 1, 1):
                await g(x)
            await asyncio.gather(*(g(9) for _ in range(5)))
            await g.many([(1,), (30,)])

        asyncio.run(calls())
        thing = Thing()
        for x in (1, 5, 5):
            thing.method(x)
        f.many([(1,), (7,), (7,)])
        f.refresh(1)
        f.bypass(1)
        for function in (f, g, Thing.method):
            stats = function.stats()
            label = f"{__name__}.{function.__qualname__}"
            counted = notes.counts(function=label)
            assert counted["cache_hits_total"] == stats["hits"]
            assert counted["cache_misses_total"] == stats["misses"] + stats["stale"]
            assert stats["hits"] > 0

    def test_callers_that_wait_are_told_of_too(self, notes):
        begun, may_end = threading.Event(), threading.Event()

        @cacheable
        def f():
            begun.set()
            assert may_end.wait(30)

        first = Running(f)
        assert begun.wait(30)
        others = [Running(f) for _ in range(3)]
        wait_until(lambda: zoocache.stats()["waits"] == 3)
        may_end.set()
        for thread in (first, *others):
            thread.result()
        assert notes.counts() == {"cache_misses_total": 1, "cache_hits_total": 3}

    def test_a_bypassed_cache_tells_nothing(self, notes):
        @cacheable
        def f():
            return 1

        with zoocache.testing.disabled():
            f()
            f()
        assert not notes.told
        f()
        assert notes.counts() == {"cache_misses_total": 1}

    def test_stale_values_that_are_served_count_as_stale(self):
        with frozen_time() as clock:
            notes = configured(Notes())
            fails = False

            @cacheable(ttl=10, stale_if_error="expired")
            def f():
                if fails:
                    raise ValueError
                return 1

            f()
            fails = True
            clock.advance(11)
            assert f() == 1
            assert notes.counts()["cache_errors_total"] == 1
            assert notes.causes() == ["absent", "expired", "stale"]
            reset()

    def test_each_adapter_has_labels_of_its_own(self):
        class Greedy(Notes):
            def increment(self, name, value=1.0, labels=None):
                super().increment(name, value, dict(labels))
                labels.clear()

        greedy, notes = Greedy(), Notes()
        configure(telemetry=TelemetryManager([greedy, notes]))
        zoocache.get("k")
        assert greedy.counts() == notes.counts(storage="memory") == {"cache_misses_total": 1}

    def test_an_adapter_that_only_looks_like_one_will_do(self):
        class Duck:
            told = 0

            def increment(self, name, value=1.0, labels=None):
                self.told += 1

            observe = set_gauge = increment

        duck = configured(Duck())
        zoocache.get("k")
        assert duck.told == 2
        reset()


class TestHostileAdapters:
    def test_what_it_raises_is_logged_once_a_minute_and_breaks_nothing(self, caplog):
        @cacheable(deps=["a"])
        def f(x):
            return x

        with caplog.at_level(logging.WARNING, "zoocache"):
            configured(Broken())
            assert [f(1), f(1), f(2)] == [1, 1, 2]
            invalidate("a")
            zoocache.set("k", 1)
            assert zoocache.get("k") == 1
            reset()
        assert len(caplog.records) == 1
        assert "Broken failed in bind_core()" in caplog.text
        assert "zoocache goes on" in caplog.text

    def test_the_others_are_told_all_the_same(self):
        notes = Notes()
        configure(telemetry=TelemetryManager([Broken(), notes]))
        zoocache.get("k")
        assert notes.counts() == {"cache_misses_total": 1}
        reset()
        assert notes.closed == 1

    def test_ctrl_c_is_not_swallowed(self):
        class Interrupted(Notes):
            def increment(self, name, value=1.0, labels=None):
                raise KeyboardInterrupt

        @cacheable
        def f():
            return 1

        configured(Interrupted())
        with pytest.raises(KeyboardInterrupt):
            f()
        reset()
        assert f() == 1

    def test_it_may_use_the_cache_and_is_not_told_of_that(self):
        class Curious(Notes):
            def increment(self, name, value=1.0, labels=None):
                super().increment(name, value, labels)
                # Also the very call that it is told of.
                assert f(1) == 1
                zoocache.get("other")
                if name != "cache_invalidations_total":
                    invalidate("other")

        @cacheable(deps=["a"])
        def f(x):
            return x

        curious = configured(Curious(), flight_timeout=5)
        f(1)
        f(1)
        invalidate("a")
        assert curious.counts() == {
            "cache_misses_total": 1,
            "cache_hits_total": 1,
            "cache_invalidations_total": 1,
        }

    def test_it_may_configure_the_cache_anew(self):
        class Rude(Notes):
            def increment(self, name, value=1.0, labels=None):
                super().increment(name, value, labels)
                reset()

        @cacheable
        def f():
            return 1

        rude = configured(Rude())
        assert f() == 1
        assert f() == 1
        assert rude.counts() == {"cache_misses_total": 1}
        assert rude.closed == 1


class TestLifecycle:
    def test_reset_closes_and_nothing_is_told_any_more(self, notes):
        @cacheable
        def f():
            return 1

        f()
        reset()
        assert notes.closed == 1
        told = len(notes.told)
        f()
        f()
        assert len(notes.told) == told

    def test_the_same_settings_again_are_harmless(self):
        manager = TelemetryManager([notes := Notes()])
        configure(telemetry=manager)
        configure(telemetry=manager)
        assert len(notes.cores) == 1
        with pytest.raises(RuntimeError, match="configured already"):
            configure(telemetry=TelemetryManager([]))

    def test_a_closed_manager_is_refused(self):
        manager = TelemetryManager([Notes()])
        configure(telemetry=manager)
        reset()
        with pytest.raises(ConfigError, match="TelemetryManager is closed"):
            configure(telemetry=manager)

    @pytest.mark.parametrize("wrong", [1, "log", Notes(), [Notes()]], ids=["int", "str", "adapter", "list"])
    def test_something_else_is_refused(self, wrong):
        with pytest.raises(ConfigError, match="telemetry must be a TelemetryManager"):
            configure(telemetry=wrong)

    @pytest.mark.parametrize("wrong", [1, None, Notes, object()], ids=["int", "none", "class", "object"])
    def test_something_that_is_no_adapter_is_refused(self, wrong):
        with pytest.raises(TypeError, match="must be a TelemetryAdapter, not"):
            TelemetryManager([wrong])

    def test_an_adapter_must_have_the_three_methods(self):
        class Half(TelemetryAdapter):
            def increment(self, name, value=1.0, labels=None):
                pass

        with pytest.raises(TypeError, match="abstract"):
            Half()

    def test_a_cache_of_its_own(self):
        notes, default = Notes(), configured(Notes())
        with Cache(telemetry=TelemetryManager([notes])) as cache:

            @cache.cacheable
            def f():
                return 1

            f()
            f()
            cache.get("k")
        assert notes.counts() == {"cache_misses_total": 2, "cache_hits_total": 1}
        assert notes.closed == 1
        assert not default.told
        assert not default.closed

    def test_a_manager_of_two_caches_ends_with_the_last(self):
        manager = TelemetryManager([notes := Notes()])
        first, second = Cache(telemetry=manager), Cache(telemetry=manager)
        first.get("k")
        first.close()
        assert not notes.closed
        second.get("k")
        second.close()
        second.close()
        assert notes.closed == 1
        assert notes.counts() == {"cache_misses_total": 2}

    def test_isolated_has_its_own(self):
        outer, inner = configured(Notes()), Notes()
        with isolated(telemetry=TelemetryManager([inner])):
            zoocache.get("k")
        zoocache.get("l")
        assert inner.counts() == outer.counts() == {"cache_misses_total": 1}
        assert (inner.closed, outer.closed) == (1, 0)
        reset()
        assert outer.closed == 1

    def test_isolated_without_one_tells_nobody(self):
        outer = configured(Notes())
        with isolated():
            zoocache.get("k")
        assert not outer.told

    def test_a_closed_cache_is_let_go(self):
        cache = Cache(telemetry=TelemetryManager([notes := Notes()]))
        cache.close()
        gone = weakref.ref(notes)
        del cache, notes
        gc.collect()
        assert gone() is None


class TestManager:
    def test_passes_on_to_all(self):
        first, second = Notes(), Notes()
        manager = TelemetryManager([first, second])
        manager.increment("a")
        manager.increment("b", 2, {"x": "y"})
        manager.observe("c", 0.5)
        manager.set_gauge("d", 3.0, {})
        expected = [("a", 1.0, None), ("b", 2, {"x": "y"}), ("c", 0.5, None), ("d", 3.0, {})]
        assert first.told == second.told == expected
        manager.close()
        manager.close()
        assert (first.closed, second.closed) == (1, 1)

    def test_without_adapters_it_does_nothing(self):
        manager = TelemetryManager([])
        manager.increment("a")
        configure(telemetry=manager)
        zoocache.get("k")

    def test_a_timer_observes_seconds_however_it_ends(self):
        notes = Notes()
        manager = TelemetryManager([notes])
        with TimerContext(manager, "a", {"x": "y"}):
            pass
        with pytest.raises(KeyError), TimerContext(manager, "b"):
            raise KeyError

        async def inside():
            async with TimerContext(notes, "c"):
                pass

        asyncio.run(inside())
        assert [(name, labels) for name, _, labels in notes.told] == [
            ("a", {"x": "y"}),
            ("b", None),
            ("c", None),
        ]
        assert all(0 <= seconds < 60 for _, seconds, _ in notes.told)


class TestLogs:
    @pytest.fixture
    def lines(self, caplog):
        caplog.set_level(logging.INFO)
        return lambda: [record.getMessage() for record in caplog.records]

    @pytest.mark.parametrize(
        ("method", "expected"),
        [
            ("increment", "[INCREMENT] hits: 2.0 {'tag': 'val'}"),
            ("observe", "[OBSERVE] hits: 2.0 {'tag': 'val'}"),
            ("set_gauge", "[GAUGE] hits: 2.0 {'tag': 'val'}"),
        ],
    )
    def test_direct_calls(self, lines, method, expected):
        getattr(LogAdapter(), method)("hits", 2, {"tag": "val"})
        assert lines() == [expected]

    def test_json(self, lines):
        adapter = LogAdapter(format_json=True)
        adapter.increment("hits", 2.0, {"a": "b\nc"})
        adapter.set_gauge("entries", 1)
        assert lines() == [
            '{"telemetry_type": "increment", "metric_name": "hits", "value": 2.0, "labels": {"a": "b\\nc"}}',
            '{"telemetry_type": "gauge", "metric_name": "entries", "value": 1.0, "labels": {}}',
        ]

    def test_logger_and_level(self, caplog):
        caplog.set_level(logging.DEBUG)
        LogAdapter(logging.getLogger("mine"), level=logging.DEBUG).increment("a")
        LogAdapter(name="yours").increment("a")
        assert [(record.name, record.levelname) for record in caplog.records] == [
            ("mine", "DEBUG"),
            ("yours", "INFO"),
        ]

    def test_a_report_tells_what_has_changed(self, lines):
        with frozen_time():
            adapter = configured(LogAdapter(interval="1h"))

            @cacheable(deps=["a"])
            def f(x):
                return x

            for x in (1, 2, 1):
                f(x)
            adapter.report()
            name, here = f"{__name__}.{f.__qualname__}", "'storage': 'memory'"
            told = [line for line in lines() if "fill_seconds" not in line]
            assert told == [
                "[INCREMENT] cache_hits_total: 1.0 {'storage': 'memory'}",
                "[INCREMENT] cache_computations_total: 2.0 {'storage': 'memory'}",
                "[INCREMENT] cache_flight_leaders_total: 2.0 {'storage': 'memory'}",
                "[INCREMENT] cache_misses_total: 2.0 {'cause': 'absent', 'storage': 'memory'}",
                f"[INCREMENT] function_hits_total: 1.0 {{'function': '{name}', 'storage': 'memory'}}",
                f"[INCREMENT] function_misses_total: 2.0 {{'cause': 'absent', 'function': '{name}', {here}}}",
                "[GAUGE] cache_entries: 2.0 {'storage': 'memory'}",
                f"[GAUGE] cache_trie_nodes: {zoocache.stats()['tags']}.0 {{'storage': 'memory'}}",
                "[GAUGE] cache_bytes: 628.0 {'storage': 'memory'}",
            ]
            (fills,) = [line for line in lines() if "fill_seconds" in line]
            assert fills.startswith("[OBSERVE] cache_fill_seconds: ")
            assert fills.endswith(" {'storage': 'memory'} (2 times)")
            before = len(lines())
            adapter.report()
            assert len(lines()) == before
            invalidate("a")
            adapter.report()
            assert lines()[before:] == ["[INCREMENT] cache_invalidations_total: 1.0 {'storage': 'memory'}"]
            reset()

    def test_the_last_report_comes_with_the_end(self, lines):
        configured(LogAdapter(interval="1h"))
        zoocache.get("k")
        assert not lines()
        reset()
        assert lines() == ["[INCREMENT] cache_misses_total: 1.0 {'cause': 'absent', 'storage': 'memory'}"]
        assert not [thread for thread in threading.enumerate() if thread.name == "zoocache-telemetry"]

    def test_a_program_that_just_ends_has_a_last_report_too(self):
        done = run_program(
            """
            import logging, zoocache
            from zoocache.telemetry import LogAdapter, TelemetryManager
            logging.basicConfig(level=logging.INFO, format="%(message)s")
            zoocache.configure(telemetry=TelemetryManager([LogAdapter()]))
            zoocache.get("k")
            """
        )
        assert done.returncode == 0
        assert done.stderr == "[INCREMENT] cache_misses_total: 1.0 {'cause': 'absent', 'storage': 'memory'}\n"

    def test_it_reports_by_itself(self, lines):
        configured(LogAdapter(interval=0.01))
        zoocache.get("k")
        wait_until(lines)
        reset()

    def test_a_level_that_is_off_costs_no_lines(self, caplog):
        caplog.set_level(logging.WARNING)
        LogAdapter().increment("a")
        assert not caplog.records

    @pytest.mark.parametrize("wrong", [0, -1, "soon", None])
    def test_an_interval_that_makes_no_sense(self, wrong):
        with pytest.raises(ConfigError, match="interval"):
            LogAdapter(interval=wrong)
