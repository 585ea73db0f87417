"""Settings: what they mean, and how wrong ones are told of."""

import pytest
from django.apps import apps
from django.core.cache import caches
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from helpers import Running

import zoocache
from zoocache.contrib.django import CacheBackend
from zoocache.contrib.django.conf import configure_from_settings


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (["", ""], {}, "LOCATION must name one place, not 2"),
        ([], {}, "LOCATION must name one place, not 0"),
        (5, {}, "LOCATION must be a str, not int"),
        ("unique-snowflake", {}, 'LOCATION must be "default" .* or a URL'),
        ("", {"MAX_ENTRY": 5}, "unknown key 'MAX_ENTRY'; known are MAX_ENTRIES, "),
        ("", {"storage_url": "redis://user:hunter2@host/0"}, "unknown key 'storage_url'"),
        ("", {"MAX_ENTRIES": 0}, "MAX_ENTRIES must be an integer of at least 1, not 0"),
        ("", {"MAX_ENTRIES": "many"}, "MAX_ENTRIES must be .* not 'many'"),
        ("", {"SERIALIZER": "json"}, 'SERIALIZER must be "codec", "pickle" or .* not \'json\''),
        ("", {"SERIALIZER": 5}, "SERIALIZER must have the methods dumps and loads; 5"),
        ("", [("a", 1)], "OPTIONS must be a dict, not list"),
        ("default", {"max_bytes": 5}, 'max_bytes with LOCATION "default".*settings.ZOOCACHE'),
    ],
)
def test_wrong_settings_are_told_of(given, options, message, configured):
    params = {"LOCATION": given, "OPTIONS": options}
    with pytest.raises(ImproperlyConfigured, match=message):
        CacheBackend(given, {"OPTIONS": options}).set("key", [1])
    configured(default={}, wrong=params)
    (found,) = run_checks(tags=["caches"])
    assert found.id == "zoocache.E003"
    assert found.msg.startswith("CACHES['wrong']: ")


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ("ftp://user:hunter2@host", {}, "unknown scheme"),
        ("lmdb://", {}, "needs the path"),
        ("", {"max_bytes": -1}, "max_bytes"),
    ],
)
def test_what_configure_refuses_is_told_of_without_the_location(given, options, message):
    with pytest.raises(ImproperlyConfigured, match=message) as told:
        CacheBackend(given, {"OPTIONS": options}).set("key", [1])
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        (None, []),
        ({}, []),
        ({"max_entries": 5}, []),
        ({"max_entry": 5, "x": 1}, ["zoocache.E002", "zoocache.E002"]),
        ([], ["zoocache.E001"]),
    ],
)
def test_checks_of_the_setting_of_the_application(given, ids):
    with override_settings(ZOOCACHE=given):
        assert [found.id for found in run_checks(tags=["caches"])] == ids


def test_the_setting_configures_the_default_cache():
    with override_settings(ZOOCACHE={"max_entries": 2}):
        apps.get_app_config("zoocache").ready()
        configure_from_settings()
        for key in "abc":
            zoocache.set(key, 1)
        assert zoocache.stats()["entries"] == 2
        with pytest.raises(RuntimeError, match="max_entries=2"):
            zoocache.configure(max_entries=3)


def test_what_is_configured_in_code_counts():
    zoocache.configure(max_entries=3)
    with override_settings(ZOOCACHE={"max_entries": 2}):
        configure_from_settings()
    for key in "abcd":
        zoocache.set(key, 1)
    assert zoocache.stats()["entries"] == 3


@pytest.mark.parametrize("given", [{"max_entries": 0}, {"max_entry": 1}])
def test_a_wrong_setting_is_told_of(given):
    with (
        override_settings(ZOOCACHE=given),
        pytest.raises(ImproperlyConfigured, match=r"settings\.ZOOCACHE.*max_entr"),
    ):
        configure_from_settings()


def test_threads_and_aliases_share_a_place(configured, tmp_path):
    for location in ("", "memory://", "memory://a", f"lmdb://{tmp_path}/cache", "default"):
        configured(
            default={"LOCATION": location}, other={"LOCATION": [location]}, third={"LOCATION": "memory://b"}
        )
        caches["default"].set("key", location)
        assert caches["other"].get("key") == location
        assert Running(lambda: caches["default"].get("key")).result() == location
        assert caches["third"].get("key") is None


def test_memory_holds_as_much_as_it_is_told(configured):
    cache = configured(default={"OPTIONS": {"MAX_ENTRIES": 3, "CULL_FREQUENCY": 2}})
    for key in range(10):
        cache.set(key, key)
    assert len(cache.get_many(range(10))) == 3


def test_the_application_invalidates_what_django_keeps_in_its_cache(configured):
    cache = configured(default={"LOCATION": "default"})
    zoocache.set("own", 1)
    cache.set("key", 1, tags=["product:1"])
    zoocache.invalidate("product")
    assert cache.get("key") is None
    cache.clear()
    assert zoocache.get("own") == 1


class Reversed:
    """A serializer of a program's own."""

    def dumps(self, value):
        return repr(value)[::-1].encode()

    def loads(self, data):
        return eval(data[::-1])  # noqa: S307 - what the test stored


@pytest.mark.parametrize("serializer", [Reversed, Reversed(), f"{__name__}.Reversed"])
def test_a_serializer_of_the_program(configured, serializer):
    cache = configured(default={"OPTIONS": {"SERIALIZER": serializer}})
    cache.set("key", [1, "a"])
    assert cache.get("key") == [1, "a"]
