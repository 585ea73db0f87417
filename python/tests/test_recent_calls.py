"""Calls repeated at once take a short way; it never serves what the long way would not."""

import contextlib
import math
import threading
import weakref

import pytest
from helpers import Running, wait_until

from zoocache import cacheable, clear, configure, explain, get, invalidate, reset, set

#: More than the short way serves before it asks the storage again.
MANY = 200


class Counting:
    """A cached function that counts how often it ran."""

    def __init__(self, signature="*args", **options):
        self.runs = 0
        names = {"owner": self}
        exec(f"def function({signature}):\n return owner.run()", names)  # noqa: S102 - our own text
        self.function = cacheable(**options)(names["function"])

    def run(self):
        self.runs += 1
        return f"run {self.runs}"

    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)


def other(text):
    """Make an equal text that is another object."""
    return "".join(list(text))


def test_equal_arguments_that_are_different_objects():
    function = Counting()
    for number in range(MANY):
        assert function(other("some text"), 10**6 + number - number, None) == "run 1"
        assert function(bytes([65, 66]), float("2.5")) == "run 2"
    assert function.runs == 2


@pytest.mark.parametrize(
    "arguments",
    [
        (1, True, 1.0, "1", b"1"),
        (0, False, 0.0, -0.0, None, "", b""),
        (2**63, 2**63 + 1, 2**64, 2**64 + 1, -(2**63) - 1, -(2**64), 2**63 - 1, -(2**63), -1),
        (math.inf, -math.inf, math.nan, 5e-324, 1.5),
        ("a", "ä", "a\0", "\ud800", "A"),
        ((), (1,), ("",), ((),)),
    ],
    ids=repr,
)
def test_different_arguments_in_turn(arguments):
    function = Counting("x")
    results = [function(argument) for argument in arguments]
    assert len(set_of(results)) == len(arguments)
    for _ in range(MANY):
        assert [function(argument) for argument in arguments] == results
    assert function.runs == len(arguments)


def set_of(items):
    return frozenset(items)


def test_a_subclass_is_not_taken_for_its_base():
    class Text(str):
        __slots__ = ()

    class Number(int):
        pass

    function = Counting("x")
    for plain, derived in [("text", Text("text")), (5, Number(5))]:
        first = function(plain)
        for _ in range(MANY):
            assert function(plain) == first
        with contextlib.suppress(ValueError):  # it has no stable encoding
            assert function(derived) != first
        assert function(plain) == first


def test_a_subclass_that_claims_to_be_equal_to_everything():
    class Liar(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            return True

        def __zoocache_key__(self):
            return "liar"

    function = Counting("x")
    first = function("text")
    assert function("text") == first
    assert function(Liar("text")) != first
    assert function(Liar("other")) == function(Liar("text"))


def test_the_number_and_the_names_of_arguments_count():
    function = Counting("a=None, b=None, **more")
    calls = [
        lambda: function(1),
        lambda: function(1, 2),
        lambda: function(b=1),
        lambda: function(b=2, a=2),
        lambda: function(c=1),
        lambda: function(1, c=1),
        lambda: function(1, d=1),
    ]
    results = [call() for call in calls]
    assert len(set_of(results)) == len(calls)
    for _ in range(MANY):
        assert [call() for call in calls] == results
    # Other ways to write the same.
    assert function(a=1) == results[0]
    assert function(1, b=2) == results[1]
    assert function(2, 2) == results[3]


def test_names_from_a_dictionary():
    function = Counting("a=None, b=None")
    first, second = function(a=1), function(b=1)
    for name, result in [("a", first), ("b", second)] * MANY:
        assert function(**{other(name): 1}) == result
    assert function.runs == 2


def test_mutable_arguments_and_mutable_defaults():
    function = Counting("x=[]")
    changing = []
    first = function(changing)
    assert function(changing) == first
    assert function() == first  # of equal value
    changing.append(1)
    second = function(changing)
    assert second != first
    assert function([1]) == second
    function.function.__wrapped__.__defaults__[0].append(1)
    assert function() == second
    function.function.__wrapped__.__defaults__[0].append(2)
    assert function() not in {first, second}


def test_more_arguments_than_are_remembered():
    function = Counting()
    wide = tuple(range(20))
    first, second = function(*wide), function(*wide, 0)
    for _ in range(MANY):
        assert function(*wide) == first
        assert function(*wide, 0) == second


def test_more_calls_than_are_remembered():
    function = Counting("x")
    results = [function(number) for number in range(1000)]
    for _ in range(3):
        assert [function(number) for number in range(1000)] == results


def evict(key):
    """Store what is used more often, until there is no room for `key`."""
    for number in range(1000):
        for _ in range(10):
            set(f"other {number}", 1)
            get(f"other {number}")
        if explain(key).state == "absent":
            return
    pytest.fail("it was not evicted")


WAYS_TO_END = {
    "invalidate": lambda function: invalidate("tag"),
    "invalidate an ancestor": lambda function: invalidate("parent"),
    "clear": lambda function: clear(),
    "reset": lambda function: reset(),
    "drop the call": lambda function: function.function.invalidate(1),
    "the function's tag": lambda function: invalidate(function.function.tag),
    "evict": lambda function: evict(function.function.key(1)),
    "configure": lambda function: (reset(), configure(max_entries=9)),
}


@pytest.mark.parametrize("way", WAYS_TO_END)
@pytest.mark.memory_only("reset() clears no folder")
def test_nothing_is_served_after_its_end(way):
    configure(max_entries=10)
    function = Counting("x", deps=["tag", "parent:child"])
    for number in range(1, 20):
        assert function(1) == f"run {number}"
        assert function(1) == f"run {number}"
        WAYS_TO_END[way](function)


def test_an_expired_result_is_not_served():
    function = Counting("x", ttl=0.02)
    configure(read_extend_ttl=False)
    assert function(1) == "run 1"
    wait_until(lambda: function(1) != "run 1")


def test_a_replaced_result_is_served():
    function = Counting("x")
    assert function(1) == function(1) == "run 1"
    set(function.function.key(1), "replaced")
    assert function(1) == function(1) == "replaced"
    assert function.function.refresh(1) == "run 2"
    assert function(1) == function(1) == "run 2"


@pytest.mark.memory_only("its value has no bytes")
def test_remembered_calls_keep_no_value_alive():
    class Value:
        pass

    @cacheable
    def function(number):
        return Value()

    died = weakref.ref(function(1))
    assert function(1) is function(1) is died()
    clear()
    assert died() is None


def test_hits_are_counted_and_keep_an_entry_used():
    configure(max_entries=20)
    function = Counting("x")
    for number in range(MANY * 10):
        assert function("hot") == "run 1"
        set(f"cold {number}", number)
    assert function.function.stats()["hits"] == MANY * 10 - 1


def test_a_hit_inside_of_a_computation_hands_its_dependencies_on():
    inner = Counting("x", deps=["inner"])
    inner(1), inner(1), inner(1)

    @cacheable
    def outer():
        return inner(1)

    outer()
    invalidate("inner")
    assert explain(outer).state == "stale"


class Row:
    """An object whose key follows a script."""

    def __init__(self, *keys):
        self.keys = list(keys)

    def __zoocache_key__(self):
        return self.keys.pop(0) if len(self.keys) > 1 else self.keys[0]

    @cacheable
    def load(self, number=0):
        return self.keys[0]


def test_a_key_of_self_that_changes():
    row = Row("first")
    assert row.load() == row.load() == "first"
    row.keys = ["second"]
    assert row.load() == row.load() == "second"
    row.keys = ["first"]
    assert row.load() == row.load() == "first"
    assert Row("second").load() == "second"


@pytest.mark.parametrize("asked", range(1, 6))
def test_a_key_of_self_that_changes_during_the_call(asked):
    for key in ("first", "second"):
        assert Row(key).load() == key
    Row.load.invalidate(Row("first")), Row.load.invalidate(Row("second"))
    for key in ("first", "second"):
        assert Row(key).load() == key
    # What this call returns is either; what it leaves behind must be right.
    Row(*["first"] * asked, "second").load()
    for key in ("first", "second"):
        assert Row(key).load() == Row(key).load() == key


def test_a_key_of_self_of_any_plain_type():
    keys = [1, 1.0, True, "1", b"1", None, (1,), 2**70]
    for _ in range(5):
        for key in keys:
            value = Row(key).load()
            assert value == key
            assert type(value) is type(key)


def test_an_exception_of_the_key_passes_through():
    class Broken:
        broken = False

        def __zoocache_key__(self):
            if self.broken:
                raise LookupError
            return 1

        @cacheable
        def method(self):
            return 1

    item = Broken()
    assert item.method() == item.method() == 1
    item.broken = True
    with pytest.raises(LookupError):
        item.method()
    item.broken = False
    assert item.method() == 1


def test_threads_that_change_the_key_of_one_object():
    stop = threading.Event()
    row = Row("first")

    def change():
        while not stop.is_set():
            row.keys = ["second"]
            row.keys = ["first"]

    for key in ("first", "second"):
        assert Row(key).load() == key
    changing = Running(change)
    for _ in range(2000):
        row.load()
        assert Row("first").load() == "first"
        assert Row("second").load() == "second"
    stop.set()
    changing.result()
