"""Processes that share a cache of Django."""

import os
import subprocess
import sys
import textwrap
import threading
import warnings

import other_process
import pytest
from helpers import DEADLINE, Running, wait_for

PROGRAM = """
import sys
from django.conf import settings
location, action = sys.argv[1:]
CACHES = {"default": {"BACKEND": "zoocache.contrib.django.CacheBackend", "LOCATION": location}}
settings.configure(SECRET_KEY="shared", CACHES=CACHES)
import django
django.setup()
from django.core.cache import cache
from django.http import HttpResponse
print("ready", flush=True)
sys.stdin.readline()
if action == "incr":
    for _ in range(100):
        cache.incr("counter")
elif action == "add":
    print(sum(cache.add(f"key {i}", 1) for i in range(100)))
elif action == "read":
    print(cache.get("response").content.decode(), cache.get("key"))
elif action == "write":
    cache.set("key", "written by another", tags=["a"])
else:
    cache.invalidate("a")
"""


class Process:
    def __init__(self, location, action):
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", textwrap.dedent(PROGRAM), location, action],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def go(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def result(self):
        out, _ = self._process.communicate(timeout=DEADLINE)
        assert self._process.returncode == 0
        return out.strip()


def together(location, *actions):
    processes = [Process(location, action) for action in actions]
    for process in processes:
        process.go()
    return [process.result() for process in processes]


@pytest.fixture
def shared(location, configured):
    return configured(default={"LOCATION": location})


@pytest.mark.storages("lmdb", "redis")
def test_increments_of_processes_add_up(location, shared):
    shared.set("counter", 0)
    together(location, "incr", "incr")
    assert shared.get("counter") == 200


@pytest.mark.storages("lmdb", "redis")
def test_of_processes_that_add_one_succeeds(location, shared):
    assert sum(map(int, together(location, "add", "add"))) == 100


@pytest.mark.storages("lmdb", "redis")
def test_one_process_reads_what_another_writes_and_invalidates(location, shared):
    from django.http import HttpResponse  # noqa: PLC0415 - needs settings

    shared.set("key", 1)
    shared.set("response", HttpResponse("page"))
    assert together(location, "read") == ["page 1"]
    together(location, "write")
    assert shared.get("key") == "written by another"
    together(location, "invalidate")
    assert shared.get("key") is None
    assert shared.get("response").content == b"page"


def test_one_of_all_processes_computes_a_page(tmp_path):
    page = """
        import time
        import django
        from django.conf import settings
        settings.configure(ALLOWED_HOSTS=['*'])
        django.setup()
        from django.http import HttpResponse
        from django.test import RequestFactory
        from zoocache.contrib.django import cache_view
        runs = []

        @cache_view(cluster_lock=True)
        def view(request):
            runs.append(1)
            time.sleep(1)
            return HttpResponse(f"page {len(runs)}")
        """
    folder = tmp_path / "cache"
    with other_process.Other(folder) as one, other_process.Other(folder) as two:
        for other in (one, two):
            other.run(page)
        for other in (one, two):
            other.begin("view(RequestFactory().get('/')).content.decode()")
        assert [other.answer() for other in (one, two)] == ["page 1", "page 1"]
        assert sorted(other("len(runs)") for other in (one, two)) == [0, 1]


@pytest.mark.storages("redis")
def test_a_server_that_is_away_breaks_nothing(redis_server, configured):
    cache = configured(default={"LOCATION": redis_server.url})
    cache.set("key", 1)
    redis_server.kill()
    cache.set("key", 2)
    assert cache.get_or_set("other", lambda: 3) == 3
    assert cache.add("another", 4) is True
    assert cache.get_many(["other"]) in ({}, {"other": 3})
    assert cache.touch("nothing") is False
    cache.delete("key")


def test_a_fork_while_a_thread_changes_an_entry(configured):
    cache = configured(default={})
    cache.set("counter", 1)
    begun, go_on = threading.Event(), threading.Event()

    class Slow:
        def __radd__(self, other):
            begun.set()
            wait_for(go_on)
            return 5

    thread = Running(cache.incr, "counter", Slow())
    wait_for(begun)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0 if cache.incr("counter") == 2 else 1)
    go_on.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert thread.result() == 5
