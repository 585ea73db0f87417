"""`affected`: how far an invalidation would reach."""

import os
import signal
import threading

import pytest
from helpers import Running

import zoocache
from zoocache import Cache, InvalidTag, affected, cacheable, invalidate, stats


def store(deps_of_keys):
    for key, deps in deps_of_keys.items():
        zoocache.set(key, 1, deps=deps)


def test_counts_what_an_invalidation_makes_stale():
    keys = {
        "product": ["store:2:product:7"],
        "list": ["store:2:product:*"],
        "both": ["store:2:product:7", "store:2:product:8"],
        "elsewhere": ["store:20"],
        "nothing": [],
    }
    for tag in ("store", "store:2", "store:2:*", "store:2:product:7", "store:2:product:9", "none", "*"):
        zoocache.clear()
        store(keys)
        said = affected(tag)
        invalidate(tag)
        assert said == sum(zoocache.get(key) is None for key in keys), tag


def test_changes_and_counts_nothing():
    store({"a": ["a"]})
    before = stats()
    assert affected("a") == 1
    assert {**stats(), "tags": 0} == {**before, "tags": 0}
    assert zoocache.get("a") == 1
    invalidate("a")
    assert affected("a") == 0, "what is stale already does not become so"


def test_functions_and_their_own_tag():
    @cacheable(deps=lambda x: [f"x:{x}"])
    def f(x):
        return x

    for x in range(5):
        f(x)
    assert [affected("x:3"), affected("x"), affected(f.tag)] == [1, 5, 5]


def test_an_invalid_tag():
    with pytest.raises(InvalidTag):
        affected("a|b")
    with pytest.raises(TypeError):
        affected(5)


def test_of_one_cache():
    cache = Cache()
    cache.set("a", 1, deps=["a"])
    assert [cache.affected("a"), affected("a")] == [1, 0]


def test_while_other_threads_store_and_invalidate():
    stop = threading.Event()

    def churn(number):
        while not stop.is_set():
            for index in range(50):
                zoocache.set(f"{number}-{index}", [index], deps=[f"n:{number}:{index}"])
            invalidate(f"n:{number}")

    threads = [Running(churn, number) for number in range(3)]
    for _ in range(100):
        assert 0 <= affected("n") <= 150
    stop.set()
    for thread in threads:
        thread.result()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_while_other_threads_ask_can_use_the_cache():
    for number in range(20_000):
        zoocache.set(str(number), number, deps=[f"n:{number}"])
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            affected("n")

    threads = [Running(ask) for _ in range(2)]
    try:
        for _ in range(30):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                status = 1
                try:
                    for number in range(0, 20_000, 100):
                        zoocache.set(str(number), number + 1)
                    status = 0 if zoocache.get("0") == 1 else 2
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        # Also if a child hangs: these threads would disturb the tests that follow.
        stop.set()
        for thread in threads:
            thread.result()
