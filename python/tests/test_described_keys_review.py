"""Keys of objects that Python code describes: everything they hold, or an error."""

import collections
import dataclasses
import datetime as dt
import enum
import functools
import gc
import pathlib
import time
import zoneinfo

import pytest

from zoocache import _keys, cacheable


@cacheable
def outer_name(the_argument):
    return the_argument


@dataclasses.dataclass
class Point:
    x: int

    @functools.cached_property
    def double(self):
        return self.x * 2


@dataclasses.dataclass
class Tuned(Point):
    tuning: dataclasses.InitVar[int] = 0

    def __post_init__(self, tuning):
        self._tuning = tuning


@dataclasses.dataclass
class Slotted:
    __slots__ = ("hidden", "x")
    x: int


@dataclasses.dataclass
class Failure(Exception):
    x: int


class Plain(Point):
    """A subclass of a dataclass that is none itself."""


class Directory(type(pathlib.PurePath())):
    pass


class Marked(type(pathlib.PurePath())):
    __slots__ = ("mark",)


class Zone(dt.tzinfo):
    def utcoffset(self, moment):
        return dt.timedelta(0)

    def dst(self, moment):
        return dt.timedelta(0)

    def tzname(self, moment):
        return "zone"


class NamedZone(zoneinfo.ZoneInfo):
    pass


class Pretender:
    """An object that claims to be of another class, as proxies do."""

    __class__ = int


def having(value, **attributes):
    for name, attribute in attributes.items():
        setattr(value, name, attribute)
    return value


MOMENT = dt.datetime(2024, 1, 2)  # noqa: DTZ001 - gets its time zones later

REFUSED = {
    "subclass of a dataclass": lambda: having(Plain(1), extra=2),
    "dataclass": lambda: having(Point(1), extra=2),
    "init variable": lambda: Tuned(1, tuning=5),
    "slots": lambda: having(Slotted(1), hidden=5),
    "native dataclass": lambda: Failure(1),
    "path": lambda: having(Directory("a"), extra=2),
    "path with slots": lambda: having(Marked("a"), mark=2),
    "zone": lambda: MOMENT.replace(tzinfo=Zone()),
    "time of a zone": lambda: dt.time(1, tzinfo=Zone()),
    "subclass of a zone": lambda: MOMENT.replace(tzinfo=NamedZone("UTC")),
    "factory": lambda: collections.defaultdict(lambda: 1),
    "native tuple": lambda: time.gmtime(0),
    "pretender": Pretender,
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_objects_that_hold_more_than_they_show_are_refused(make):
    with pytest.raises(ValueError, match=r"(?s)the_argument.*no stable encoding.*__zoocache_key__.*ignore="):
        outer_name.key(make())


ACCEPTED = [
    lambda: Plain(1),
    lambda: Point(1),
    lambda: Slotted(1),
    lambda: Directory("a"),
    lambda: Marked("a"),
    lambda: pathlib.Path("a"),
    lambda: collections.defaultdict(int),
    lambda: collections.defaultdict(list),
    collections.defaultdict,
    lambda: collections.defaultdict(int, {1: 2}),
    lambda: MOMENT.replace(tzinfo=dt.timezone.utc),
    lambda: MOMENT.replace(tzinfo=dt.timezone(dt.timedelta(0), "other")),
    lambda: MOMENT.replace(tzinfo=zoneinfo.ZoneInfo("UTC")),
    lambda: MOMENT.replace(tzinfo=zoneinfo.ZoneInfo("Etc/UTC")),
]


def test_what_holds_nothing_else_has_a_key_of_its_own():
    keys = [outer_name.key(make()) for make in ACCEPTED]
    assert len(set(keys)) == len(keys)
    assert keys == [outer_name.key(make()) for make in ACCEPTED]


def test_what_a_cached_property_remembers_is_no_part_of_the_key():
    point = Point(1)
    before = outer_name.key(point)
    assert point.double == 2
    assert outer_name.key(point) == before


def test_members_of_an_enumeration_are_told_apart_by_their_own_names():
    class Level(enum.Enum):
        LOW = 1
        HIGH = 2

        @property
        def name(self):
            return "level"

    assert outer_name.key(Level.LOW) != outer_name.key(Level.HIGH)


def test_classes_that_their_metaclass_makes_equal_have_names_of_their_own():
    class Equal(type):
        def __eq__(cls, other):
            return True

        def __hash__(cls):
            return 1

    classes = [Equal("Same", (), {"__module__": "module"}) for _ in range(5)]
    keys = [outer_name.key(cls) for cls in classes]
    assert len(set(keys)) == 5
    assert [outer_name.key(cls) for cls in classes] == keys


def test_names_of_classes_that_are_gone_are_forgotten_and_not_used_again():
    keys = set()
    for _ in range(200):
        keys.add(outer_name.key(type("Gone", (), {"__module__": "module"})))
        gc.collect(0)
    gc.collect()
    assert len(keys) == 200
    assert len(_keys._numbered) < 150
