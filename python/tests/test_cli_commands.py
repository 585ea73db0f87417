"""Every command against caches that another process uses at that moment."""

import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timezone

import pytest
from command_line import live_cache, shown, told, zoocache
from helpers import wait_until

pytestmark = pytest.mark.memory_only("it names its storages")

NAME = "__main__.product@product"


@pytest.fixture(scope="module", params=["lmdb", "redis", "memory"])
def live(request, tmp_path_factory):
    """The other process, and the options that name its cache."""
    with live_cache(request.param, tmp_path_factory) as (other, options):
        yield request.param, other, options


@pytest.fixture
def options(live):
    return live[2]


@pytest.fixture
def other(live):
    return live[1]


def test_stats_tells_sizes(live):
    kind, _other, options = live
    stats = told("stats", *options)
    assert stats["kind"] == kind
    assert stats["entries"] >= 19
    assert age(stats["latest"]) < 60
    assert "entries" in shown("stats", *options)
    # From outside nobody knows what other processes count.
    assert (stats["counters"] is not None) == (kind == "memory")


def age(text):
    return (datetime.now(timezone.utc) - datetime.fromisoformat(text)).total_seconds()


def test_keys_lists_entries_by_prefix_tag_and_state(options):
    found = told("keys", f"{NAME}(", *options)
    assert f"{NAME}(7)" in {entry["key"] for entry in found["entries"]}
    assert {entry["state"] for entry in found["entries"]} <= {"fresh", "stale"}
    assert not found["more"]
    by_tag = told("keys", "--tag", "shop:1:product:7", *options)
    assert [entry["key"] for entry in by_tag["entries"]] == [f"{NAME}(7)"]
    assert "shop:1:product:7" in by_tag["entries"][0]["dependencies"]
    fresh = told("keys", f"{NAME}(", "--state", "fresh", *options)
    assert f"{NAME}(3)" not in {entry["key"] for entry in fresh["entries"]}
    few = told("keys", "--limit", 2, *options)
    assert (len(few["entries"]), few["more"]) == (2, True)
    assert len(told("keys", "--all", *options)["entries"]) >= 19
    assert f"{NAME}(7)" in shown("keys", f"{NAME}(7", *options)


def test_keys_ends_with_1_when_there_are_none(options):
    done = zoocache("keys", "no such", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such entries" in done.stderr


def test_get_shows_a_value_without_its_classes(options):
    value = told("get", f"{NAME}(7)", *options)
    assert value["state"] == "fresh"
    assert value["value"]["number"] == 7
    assert value["value"]["price"] == {"$type": "decimal", "value": "9.99"}
    assert value["value"]["sizes"] == {"$type": "tuple", "items": [1, 2]}
    assert json.loads(shown("get", f"{NAME}(7)", *options)) == value["value"]
    assert zoocache("get", "nothing", *options).returncode == 1


def test_explain_names_tag_time_and_node(live):
    kind, other, options = live
    # What may be served stale is not freed meanwhile.
    other.run(
        "@cacheable(namespace='kept', deps=['shop:1:kept'], stale_if_error=('1h', 'any'))\n"
        "def kept():\n"
        "    return 1\n"
        "key = kept.key(); kept()"
    )
    key = other("key")
    before = datetime.now(timezone.utc)
    position = other("invalidate('shop:1')")
    try:
        explained = told("explain", key, *options)
        assert explained["state"] == "stale"
        cause = explained["cause"]
        assert cause["tag"] == "shop:1"
        assert datetime.fromisoformat(cause["at"]).timestamp() == pytest.approx(position / 1e6, abs=1e-5)
        assert datetime.fromisoformat(cause["at"]) > before
        node = f"{os.uname().nodename}:{other.pid}" if kind == "redis" else f"pid:{other.pid}"
        assert cause["node"] == node
        text = shown("explain", key, *options)
        assert "because shop:1 was invalidated" in text
        assert f"by {node}" in text
    finally:
        other.run("for number in range(20): product(number)")


def test_explain_of_a_fresh_and_of_an_absent_entry(options):
    assert told("explain", f"{NAME}(7)", *options)["state"] == "fresh"
    done = zoocache("explain", "nothing", *options)
    assert done.returncode == 1
    assert "no entry 'nothing'" in done.stderr


def test_tree_shows_the_hierarchy_with_counts_and_times(live):
    _kind, other, options = live
    other.run("product(9); invalidate('shop:1:product:9')")
    below = {branch["tag"]: branch for branch in told("tree", "shop:1:product", *options)["branches"]}
    assert below["shop:1:product:7"]["fresh"] == 1
    assert below["shop:1:product:9"]["fresh"] == 0
    assert age(below["shop:1:product:9"]["invalidated"]) < 60
    top = {branch["tag"]: branch for branch in told("tree", *options)["branches"]}
    assert top["shop"]["fresh"] >= 18
    assert top["shop"]["invalidated_below"] is not None
    deep = told("tree", "shop", "--depth", 3, "--limit", 4, *options)["branches"]
    assert [branch["tag"] for branch in deep if branch["tag"] != "shop:1:kept"][:2] == [
        "shop:1",
        "shop:1:product",
    ]
    assert len(deep) == 4
    assert "shop:1:product:7" in shown("tree", "shop:1:product", *options)
    assert zoocache("tree", "no:such", *options).returncode == 1


def test_affected_and_a_dry_run_count_without_invalidating(live):
    _kind, other, options = live
    other.run("for number in range(20): product(number)")
    assert told("affected", "shop:1:product:7", *options) == {"tag": "shop:1:product:7", "affected": 1}
    assert shown("affected", "shop:1", *options).strip() == "20"
    counted = told("invalidate", "shop:1", "shop:1:product:7", "--dry-run", *options)
    assert counted["affected"] == {"shop:1": 20, "shop:1:product:7": 1}
    assert "20 fresh entries" in shown("invalidate", "shop:1", "--dry-run", *options)
    assert other("affected('shop:1')") == 20


def test_invalidate_reaches_the_other_process(live):
    _kind, other, options = live
    other.run("product(11); set('lone', 1, deps=['lone:1'])")
    position = told("invalidate", "lone:1", *options)["position"]
    assert wait_until(lambda: other("get('lone')") is None)
    assert other("get_tag_version('lone:1')") == position
    assert "invalidated lone:1 at position" in shown("invalidate", "lone:1", *options)


def test_a_wrong_tag_is_wrong_usage(options):
    done = zoocache("invalidate", "a::b", *options)
    assert done.returncode == 2
    assert "consecutive separators" in done.stderr
    assert zoocache("keys", "--tag", "|", *options).returncode == 2


def test_nodes_shows_the_other_process(live):
    kind, other, options = live
    name = f"{os.uname().nodename}:{other.pid}" if kind == "redis" else f"pid:{other.pid}"

    def is_there():
        return {node["name"]: node for node in told("nodes", *options)["nodes"]}.get(name)

    node = wait_until(is_there)
    assert not node["is_self"]
    # It goes on invalidating, and looks at least once a second.
    assert node["behind"] < 5
    assert node["age"] > 0
    assert name in shown("nodes", *options)


def test_tail_shows_invalidations_as_they_happen(live):
    _kind, other, options = live
    other.run("invalidate('seen:before')")
    past = [
        json.loads(line)
        for line in zoocache("tail", "--no-follow", "--last", 500, "--json", *options).stdout.splitlines()
    ]
    assert ["seen:before"] in [one["tags"] for one in past]
    positions = [one["position"] for one in past]
    assert positions == sorted(positions)
    following = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "zoocache", "tail", "--last", "1", "--json", *map(str, options)],
        stdout=subprocess.PIPE,
        text=True,
        # Who runs the tests in the background may have them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing else
    )
    try:
        first = json.loads(following.stdout.readline())
        position = other("invalidate('seen:now', 'seen:too')")
        assert position > first["position"]
        for line in following.stdout:
            news = json.loads(line)
            if news["position"] == position:
                assert sorted(news["tags"]) == ["seen:now", "seen:too"]
                assert str(other.pid) in news["node"]
                break
        following.send_signal(signal.SIGINT)
        following.stdout.read()
        assert following.wait(30) == 0
    finally:
        following.kill()
        following.wait()
        following.stdout.close()
    assert f"{other.pid}" in shown("tail", "--no-follow", "--last", 100, *options)


def test_tail_ends_after_a_count(options):
    done = zoocache("tail", "--last", 0, "--count", 2, "--json", *options)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 2


def test_prune_frees_what_is_dead(live):
    _kind, other, options = live
    other.run("for number in range(20): product(number)")
    other.run("invalidate('shop')")
    # The other process frees them, too.
    assert told("prune", *options)["freed"] >= 0
    assert zoocache("keys", NAME, "--state", "stale", *options).returncode == 1
    assert "freed" in shown("prune", *options)
    other.run("for number in range(20): product(number)")


def test_clear_asks_and_makes_everything_stale(live):
    _kind, other, options = live
    other.run("set('kept', 1)")
    refused = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "zoocache", "clear", *map(str, options)],
        input="n\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert other("get('kept')") == 1
    assert told("clear", "--yes", *options) == {"cleared": True}
    assert wait_until(lambda: other("get('kept')") is None)
    other.run("for number in range(20): product(number)")


def test_doctor_finds_no_error(live):
    _kind, _other, options = live
    findings = told("doctor", *options)["findings"]
    # A server that is only for a test has no limit.
    assert {finding["code"] for finding in findings} <= {"no-memory-limit"}
    assert shown("doctor", *options)
