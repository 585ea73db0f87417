"""`manage.py zoocache`."""

import io
import json

import pytest
from django.core.cache import caches
from django.core.management import CommandError, call_command

import zoocache


def run(*words):
    out = io.StringIO()
    call_command("zoocache", *words, stdout=out)
    return out.getvalue().strip()


def run_json(*words):
    return json.loads(run("--json", *words))


@pytest.fixture(params=[None, "other"])
def alias(request, configured, tmp_path):
    """How to name the cache, and what stores in it."""
    configured(default={}, other={"LOCATION": f"lmdb://{tmp_path}/cache"})
    if request.param is None:
        return [], lambda key, tag: zoocache.set(key, 1, deps=[tag])
    return ["--cache", "other"], lambda key, tag: caches["other"].set(key, 1, tags=[tag])


def test_what_it_shows_and_does(alias):
    words, store = alias
    store("a", "product:1")
    store("b", "product:2")
    assert run_json(*words, "affected", "product") == {"affected": 2}
    assert "2 entries depend on product" in run(*words, "affected", "product")
    assert "product:1" in run(*words, "explain", "a")
    assert run_json(*words, "explain", "a")["state"] == "fresh"
    assert run_json(*words, "invalidate", "product:1", "x")["tags"] == ["product:1", "x"]
    assert run_json(*words, "explain", "a")["state"] == "stale"
    assert run_json(*words, "explain", "b")["state"] == "fresh"
    assert run_json(*words, "stats")["invalidations"] >= 1
    assert "invalidations: " in run(*words, "stats")
    assert run(*words, "clear") == "cleared"
    assert run_json(*words, "explain", "b")["state"] != "fresh"
    assert run_json(*words, "prune", "--max-age", "0")["forgotten"] >= 0
    assert "forgot" in run(*words, "prune")
    assert json.loads(run("stats", "--json", *words)) == run_json(*words, "stats")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["invalidate", "a|b"], "Invalid character"),
        (["--cache", "nothing", "stats"], "--cache: .*nothing"),
        (["--cache", "plain", "stats"], "--cache: .*'plain' has no tags"),
        (["prune", "--max-age", "-1"], "max_age_secs"),
        ([], "ACTION"),
    ],
)
def test_what_is_wrong_is_told_of(words, message, configured):
    configured(default={}, plain={"BACKEND": "django.core.cache.backends.dummy.DummyCache"})
    with pytest.raises(CommandError, match=message):
        run(*words)
