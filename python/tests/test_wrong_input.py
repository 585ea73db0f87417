"""What users get wrong: the message names what was given, and what should have been."""

import pytest

import zoocache
from zoocache import Cache, cacheable, codec, testing


def one(x):
    return x


@cacheable
def cached(x):
    return x


class Plain:
    pass


KEY = "a key must be a str, not int: 5"
DEPS = "deps must be an iterable of tags, .*not int: 5"
SURROGATES = r"a key must not hold lone surrogates: '\\ud800'"


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: zoocache.get(5), TypeError, KEY),
        (lambda: zoocache.set(5, 1), TypeError, KEY),
        (lambda: zoocache.delete(5), TypeError, KEY),
        (lambda: zoocache.get_many([5]), TypeError, KEY),
        (lambda: zoocache.get("\ud800"), ValueError, SURROGATES),
        (lambda: zoocache.set("\ud800", 1), ValueError, SURROGATES),
        (lambda: zoocache.delete("\ud800"), ValueError, SURROGATES),
        (lambda: zoocache.explain("\ud800"), ValueError, SURROGATES),
        (lambda: zoocache.get_many(5), TypeError, "get_many.. needs an iterable of keys, not int: 5"),
        (lambda: zoocache.set("k", 1, 5), TypeError, DEPS),
        (lambda: zoocache.set_many({"k": 1}, deps=5), TypeError, DEPS),
        (lambda: cacheable(deps=5)(one), TypeError, DEPS),
        (lambda: cacheable(deps=lambda x: x)(one)(5), TypeError, DEPS),
        (
            lambda: cacheable(ignore=5)(one),
            TypeError,
            "ignore must be an iterable of parameter names, not int: 5",
        ),
        (lambda: cached.many(5), TypeError, r"many\(\) needs an iterable of calls, .*, not int: 5"),
        (cached.key, TypeError, r"cached\(\): missing a required argument: 'x'"),
        (lambda: cached.invalidate(1, 2), TypeError, r"cached\(\): too many positional arguments"),
        (lambda: zoocache.invalidate(["a"]), TypeError, r"not list: \['a'\]; give several tags as .*\*tags"),
        (
            lambda: zoocache.invalidates(lambda x: x)(one)(5),
            TypeError,
            "must return an iterable of tags, not int: 5",
        ),
        (lambda: zoocache.invalidates("x")(dict.update), TypeError, "update.* does not tell its parameters"),
        (lambda: Cache(read_extend_ttl=1), ValueError, "read_extend_ttl must be a bool, not int: 1"),
        (
            lambda: testing.isolated(read_extend_ttl=1),
            ValueError,
            "read_extend_ttl must be a bool, not int: 1",
        ),
        (lambda: testing.frozen_time(nope=1), TypeError, r"frozen_time\(\) has no setting 'nope'"),
        (
            lambda: testing.disabled(one),
            TypeError,
            "disabled.. takes a zoocache.Cache or nothing, .*@disabled",
        ),
        (lambda: codec.loads("x"), TypeError, "needs bytes, as dumps.. made them, not str"),
        (lambda: codec.loads(b"x", types=int), TypeError, "types must be an iterable of classes.* not type"),
        (lambda: codec.dumps(1, secret=5), TypeError, "secret must be a str or bytes, not int"),
        (
            lambda: zoocache.register_type(Plain, encode=5, decode=one),
            TypeError,
            "encode must be a function, not int: 5",
        ),
        (
            lambda: zoocache.register_type(Plain, one, one, name=5),
            TypeError,
            "name must be a str, not int: 5",
        ),
    ],
)
def test_the_message_says_what_is_wrong(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


def test_an_iterable_of_the_old_kind_is_one():
    class Tags:
        def __getitem__(self, index):
            return ["a", "b"][index]

    zoocache.set("k", 1, Tags())
    zoocache.set_many({"m": 1}, Tags())
    zoocache.invalidate("b")
    assert zoocache.get_many(["k", "m"]) == {}


def test_what_an_iterable_raises_is_passed_on():
    class Tags:
        def __iter__(self):
            raise OSError("no tags today")

    with pytest.raises(OSError, match="no tags today"):
        zoocache.set("k", 1, Tags())
