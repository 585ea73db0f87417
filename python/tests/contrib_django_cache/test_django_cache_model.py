"""Random operations do what they do with Django's own cache in memory."""

import types
from unittest.mock import patch

import pytest
from django.core.cache.backends import base, locmem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoocache.contrib.django import CacheBackend
from zoocache.testing import frozen_time

keys = st.sampled_from(["a", "b", "c"])
values = st.one_of(
    st.none(),
    st.integers(-5, 5),
    st.text(max_size=3),
    st.lists(st.integers(0, 3), max_size=2),
    st.just({"x": (1,)}),
)
timeouts = st.sampled_from([base.DEFAULT_TIMEOUT, None, 0, -1, 1, 2, 5, 100])
versions = st.sampled_from([None, None, 1, 2])
deltas = st.integers(-2, 2)


def operation(name, *arguments, **named):
    return st.tuples(st.just(name), st.tuples(*arguments), st.fixed_dictionaries(named))


operations = st.one_of(
    operation("get", keys, values, version=versions),
    operation("set", keys, values, timeouts, version=versions),
    operation("add", keys, values, timeouts, version=versions),
    operation("touch", keys, timeouts, version=versions),
    operation("delete", keys, version=versions),
    operation("incr", keys, deltas, version=versions),
    operation("decr", keys, deltas, version=versions),
    operation("incr_version", keys, st.just(1), version=versions),
    operation("decr_version", keys, st.just(1), version=versions),
    operation("get_or_set", keys, values, timeouts, version=versions),
    operation("has_key", keys, version=versions),
    operation("get_many", st.lists(keys), version=versions),
    operation("set_many", st.dictionaries(keys, values), timeouts, version=versions),
    operation("delete_many", st.lists(keys), version=versions),
    operation("clear"),
    operation("advance", st.sampled_from([0.5, 1, 3, 50])),
)


def outcome(cache, name, arguments, named):
    try:
        return getattr(cache, name)(*arguments, **named)
    except (ValueError, TypeError) as error:
        return type(error)


@pytest.mark.not_on_server("it has a clock of its own")
@pytest.mark.parametrize("kind", ["memory", "lmdb", "default"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(operations, max_size=25), timeout=st.sampled_from([300, 2, None]))
def test_as_in_memory_of_django(kind, tmp_path_factory, steps, timeout):
    location = {"lmdb": f"lmdb://{tmp_path_factory.getbasetemp()}/model", "memory": ""}.get(kind, kind)
    params = {"TIMEOUT": timeout, "OPTIONS": {"SERIALIZER": "pickle"}}
    with frozen_time() as clock:
        stopped = types.SimpleNamespace(time=lambda: clock.now().timestamp())
        with patch.object(base, "time", stopped), patch.object(locmem, "time", stopped):
            ours, theirs = CacheBackend(location, params), locmem.LocMemCache("model", params)
            ours.clear()
            theirs.clear()
            for name, arguments, named in steps:
                if name == "advance":
                    clock.advance(*arguments)
                else:
                    # Its `delete` finds what has expired, unless that was asked for.
                    theirs.get_many([*"abc"], version=named.get("version"))
                    assert outcome(ours, name, arguments, named) == outcome(theirs, name, arguments, named)
