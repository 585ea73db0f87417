"""`zoocache.testing`, and the fixtures for pytest."""

import asyncio
import importlib.metadata
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta, timezone

import pytest
from helpers import Running, program

import zoocache
from zoocache import Cache, ConfigError, cacheable, changing, configure, explain, get, invalidate
from zoocache.testing import disabled, frozen_time, isolated


@pytest.fixture
def counted():
    calls = []

    @cacheable(deps=["a"], ttl=60)
    def f(x):
        calls.append(x)
        return x

    f.calls = calls
    return f


class TestDisabled:
    def test_functions_call_through_and_nothing_is_stored(self, counted):
        counted(1)
        with disabled():
            assert [counted(1), counted(1), counted(2)] == [1, 1, 2]
            assert counted.refresh(3) == 3
            zoocache.set("key", 1)
            assert get("key", "none") == "none"
        assert counted.calls == [1, 1, 1, 2, 3]
        assert get("key") is None
        assert [explain(counted, x).state for x in (1, 2, 3)] == ["fresh", "absent", "absent"]

    def test_async_functions(self):
        calls = []

        @cacheable
        async def f(x):
            calls.append(x)
            return x

        async def main():
            await f(1)
            async with disabled():
                assert [await f(1), await f.refresh(2)] == [1, 2]
            await f(1)
            assert calls == [1, 1, 2]
            assert explain(f, 2).state == "absent"

        asyncio.run(main())

    def test_arguments_need_no_key(self, counted):
        with disabled():
            assert counted([1, object]) == [1, object]

    def test_invalidating_works(self, counted):
        counted(1)
        with disabled():
            assert invalidate("a") > 0
        counted(1)
        assert counted.calls == [1, 1]

    def test_nests(self, counted):
        counted(1)
        block = disabled()
        with block, block:
            with disabled():
                pass
            counted(1)
        counted(1)
        assert counted.calls == [1, 1]

    def test_after_an_exception(self, counted):
        with pytest.raises(KeyError), disabled():
            raise KeyError
        counted(1)
        counted(1)
        assert counted.calls == [1]

    def test_as_a_decorator(self, counted):
        @disabled()
        def test():
            counted(1)
            counted(1)

        @disabled()
        async def test_async():
            await asyncio.sleep(0)
            counted(1)
            counted(1)

        test()
        asyncio.run(test_async())
        assert counted.calls == [1, 1, 1, 1]
        counted(1)
        counted(1)
        assert len(counted.calls) == 5

    def test_another_cache(self, counted):
        cache = Cache()
        cache.set("key", 1)
        counted(1)
        with disabled(cache):
            assert cache.get("key") is None
            counted(1)
        assert cache.get("key") == 1
        assert counted.calls == [1]

    def test_other_threads_are_concerned(self, counted):
        counted(1)
        with disabled():
            Running(counted, 1).result()
        assert counted.calls == [1, 1]


class TestIsolated:
    def test_the_cache_before_is_untouched(self, counted):
        configure(max_entries=100)
        counted(1)
        with isolated() as cache:
            assert cache.stats()["entries"] == 0
            counted(1)
            counted(2)
            invalidate("a")
            zoocache.reset()
            configure(max_entries=5)
        assert counted.calls == [1, 1, 2]
        assert [counted(1), counted(2)] == [1, 2]
        assert counted.calls == [1, 1, 2, 2]
        configure(max_entries=100)
        with pytest.raises(RuntimeError, match="max_entries=100"):
            configure(max_entries=5)

    def test_settings(self):
        with isolated(max_entries=5, default_ttl=60):
            for number in range(100):
                zoocache.set(str(number), number)
            assert zoocache.stats()["entries"] <= 5
            with pytest.raises(RuntimeError, match="max_entries"):
                configure(max_entries=6)
        configure(max_entries=6)

    def test_settings_that_make_no_sense(self, counted):
        counted(1)
        with pytest.raises(ConfigError, match="max_entries"):
            isolated(max_entries=0)
        with pytest.raises(TypeError, match="nothing"):
            isolated(nothing=1)
        counted(1)
        assert counted.calls == [1]

    def test_nests_and_can_be_used_again(self):
        zoocache.set("key", 0)
        block = isolated()
        with block:
            zoocache.set("key", 1)
            with block:
                assert get("key") is None
                zoocache.set("key", 2)
            assert get("key") == 1
        assert get("key") == 0
        with block:
            assert get("key") is None

    def test_a_cache_that_nobody_had_used(self):
        with isolated(max_entries=5):
            zoocache.set("key", 1)
        configure(max_entries=7)
        assert get("key") is None

    def test_async_and_as_a_decorator(self):
        zoocache.set("key", 0)

        @isolated(max_entries=10)
        async def test():
            assert get("key") is None
            async with isolated() as cache:
                cache.set("key", 2)
            zoocache.set("key", 1)
            await asyncio.sleep(0)
            assert get("key") == 1

        asyncio.run(test())
        assert get("key") == 0

    def test_after_an_exception(self):
        zoocache.set("key", 0)
        with pytest.raises(KeyError), isolated():
            raise KeyError
        assert get("key") == 0

    def test_another_cache_is_not_concerned(self):
        cache = Cache()
        cache.set("key", 1)
        with isolated():
            assert cache.get("key") == 1

    def test_a_computation_that_began_before(self, counted):
        @cacheable
        def outer():
            with isolated():
                return counted(1)

        outer()
        assert explain(outer).state == "fresh"


class TestFrozenTime:
    def test_entries_expire_when_the_test_says_so(self, counted):
        with frozen_time() as time:
            counted(1)
            time.advance(59)
            counted(1)
            time.advance(timedelta(minutes=1, seconds=1))
            counted(1)
        assert counted.calls == [1, 1]

    def test_at(self):
        moment = datetime(2030, 5, 6, 7, 8, 9, 123456, tzinfo=timezone.utc)
        for at in (moment, moment.timestamp(), moment.astimezone(timezone(timedelta(hours=5)))):
            with frozen_time(at) as time:
                assert abs(time.now() - moment) < timedelta(microseconds=2)
                position = invalidate("a")
                assert abs(position - moment.timestamp() * 1e6) < 1000
                time.advance(2)
                assert abs(time.now() - moment - timedelta(seconds=2)) < timedelta(microseconds=2)

    def test_now_if_nothing_is_said(self):
        before = datetime.now(timezone.utc)
        with frozen_time() as time:
            assert before - timedelta(seconds=1) <= time.now() <= datetime.now(timezone.utc)
            assert time.now() == time.now()

    def test_the_past(self, counted):
        counted(1)
        with frozen_time(0):
            assert invalidate("a") < 1_000_000
            counted(1)
            counted(1)
        counted(1)
        assert counted.calls == [1, 1]
        assert invalidate("a") > 1_000_000

    def test_isolates(self):
        zoocache.set("key", 0)
        with frozen_time(default_ttl=5) as time:
            zoocache.set("key", 1)
            time.advance(6)
            assert get("key") is None
        assert get("key") == 0

    def test_nests(self):
        with frozen_time(1000) as outer:
            zoocache.set("key", 0, ttl=60)
            with frozen_time(5000) as inner:
                inner.advance(3600)
                assert inner.now().timestamp() == 8600
            assert outer.now().timestamp() == 1000
            assert get("key") == 0
            with frozen_time() as inner:
                assert inner.now() == outer.now()
            outer.advance(61)
            assert get("key") is None

    def test_time_does_not_run_backwards(self):
        with frozen_time(1000) as time:
            with pytest.raises(ValueError, match="at least 0"):
                time.advance(-1)
            with pytest.raises(ValueError, match="at least 0"):
                time.advance(timedelta(seconds=-1))
            with pytest.raises(ValueError, match="9999"):
                time.advance(1e18)
            time.advance(0)
            assert time.now().timestamp() == 1000
        with pytest.raises(RuntimeError, match="stand still"):
            time.advance(1)

    @pytest.mark.parametrize(
        ("at", "error"),
        [
            (datetime(2030, 1, 1), ValueError),  # noqa: DTZ001 - what is refused
            (datetime(1960, 1, 1, tzinfo=timezone.utc), ValueError),
            (-1, ValueError),
            (1e30, ValueError),
            (float("nan"), ValueError),
            (float("inf"), ValueError),
            ("2030-01-01", TypeError),
            (True, TypeError),
        ],
    )
    def test_a_time_that_makes_no_sense(self, at, error):
        with pytest.raises(error, match="at must"):
            frozen_time(at)

    def test_afterwards_time_runs(self):
        with frozen_time(0) as time:
            pass
        assert time.now().year > 2000

    def test_async_and_as_a_decorator(self):
        @frozen_time(1000)
        async def test():
            await asyncio.sleep(0)
            async with frozen_time() as time:
                assert time.now().timestamp() == 1000

        asyncio.run(test())

    def test_other_caches_see_it(self):
        cache = Cache(default_ttl=60)
        cache.set("key", 1)
        with frozen_time() as time:
            assert cache.get("key") == 1
            time.advance(120)
            assert cache.get("key") is None

    def test_changes_reach_their_deadline(self, counted):
        with frozen_time() as time:
            with changing("a", timeout=5):
                counted(1)
                time.advance(6)
                counted(1)
                counted(1)
            assert counted.calls == [1, 1]


class TestPlugin:
    @staticmethod
    def run(directory, source, *options):
        (directory / "test_it.py").write_text(textwrap.dedent(source))
        (directory / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
        return subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "pytest", "-q", *options],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_is_installed(self):
        (entry,) = [
            entry for entry in importlib.metadata.entry_points(group="pytest11") if entry.name == "zoocache"
        ]
        assert entry.value == "pytest_zoocache"

    def test_fixtures(self, tmp_path):
        done = self.run(
            tmp_path,
            """
            import pytest, zoocache

            @pytest.fixture(scope="session", autouse=True)
            def outside():
                zoocache.configure(max_entries=50)
                zoocache.set("key", "outside")
                yield
                assert zoocache.get("key") == "outside"
                zoocache.configure(max_entries=50)

            @pytest.mark.parametrize("_", range(2))
            def test_isolated(zoocache_isolated, _):
                assert zoocache.get("key") is None
                zoocache_isolated.set("key", "inside")
                zoocache.configure()

            def test_frozen(zoocache_frozen_time):
                assert zoocache.get("key") is None
                zoocache.set("key", 1, ttl=60)
                zoocache_frozen_time.advance(61)
                assert zoocache.get("key") is None

            def test_both(zoocache_isolated, zoocache_frozen_time):
                assert zoocache.get("key") is None

            def test_outside():
                assert zoocache.get("key") == "outside"
            """,
        )
        assert done.returncode == 0, done.stdout
        assert "5 passed" in done.stdout

    def test_imports_nothing_before_a_fixture_is_used(self, tmp_path):
        done = self.run(
            tmp_path,
            """
            import sys

            def test_before():
                assert "pytest_zoocache" in sys.modules
                assert not [name for name in sys.modules if name.split(".")[0] == "zoocache"]

            def test_used(zoocache_isolated):
                assert "zoocache" in sys.modules
            """,
        )
        assert done.returncode == 0, done.stdout

    def test_is_listed(self, tmp_path):
        done = self.run(tmp_path, "", "--fixtures")
        assert "zoocache_isolated" in done.stdout
        assert "zoocache_frozen_time" in done.stdout


def test_importing_zoocache_does_not_import_the_testing_module():
    printed = program(
        "import sys, zoocache; print('zoocache.testing' in sys.modules, 'pytest' in sys.modules)"
    )
    assert printed == "False False\n"
