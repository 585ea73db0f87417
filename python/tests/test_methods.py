"""Methods, class methods, static methods and what else a class can hold."""

import copy
import functools
import gc
import weakref

import pytest

from zoocache import CachedFunction, cacheable, explain, stats


class Account:
    """An object that says what identifies it."""

    def __init__(self, number, balance=0):
        self.number, self.balance = number, balance

    def __zoocache_key__(self):
        return self.number

    @cacheable
    def total(self, extra=0):
        """Add to the balance."""
        return self.balance + extra

    @cacheable
    async def fetched(self):
        return self.balance

    @property
    @cacheable
    def doubled(self):
        return self.balance * 2

    @cacheable
    def __len__(self):
        return self.balance

    @cacheable
    def __getitem__(self, index):
        return self.balance + index


class Savings(Account):
    pass


class Plain:
    """An object that does not."""

    def __init__(self, value):
        self.value = value

    @cacheable
    def read(self):
        return self.value

    @cacheable
    async def read_async(self):
        return self.value

    @cacheable(ignore=("self",))
    def shared(self, number):
        return self.value, number


def test_equal_keys_share_an_entry():
    assert Account(1, 10).total() == 10
    assert Account(1, 20).total() == 10
    assert Account(2, 20).total() == 20
    assert Account(1, 20).total(5) == 25
    assert Account(1, 30).total(extra=5) == 25


def test_objects_of_a_subclass_have_keys_of_their_own():
    assert Account(1, 10).total() == 10
    assert Savings(1, 20).total() == 20
    assert Account(1, 99).total() == 10
    assert Savings(1, 99).total() == 20


@pytest.mark.parametrize("name", ["read", "read_async"])
def test_self_without_a_key_is_an_error_that_says_what_to_do(name):
    def call():
        result = getattr(Plain(1), name)()
        result.send(None)

    with pytest.raises(ValueError, match="self") as caught:
        call()
    text = str(caught.value)
    assert f"Plain.{name}" in text
    assert '"self"' in text
    assert "__zoocache_key__" in text
    assert "ignore" in text
    assert stats()["entries"] == 0


def test_self_may_be_ignored():
    assert Plain(1).shared(5) == (1, 5)
    assert Plain(2).shared(5) == (1, 5)
    assert Plain(2).shared(6) == (2, 6)


def test_an_ignored_self_is_not_asked_for_a_key():
    class Item:
        def __zoocache_key__(self):
            pytest.fail("nobody needs it")

        @cacheable(ignore=("self",))
        def method(self, number):
            return number

    assert Item().method(1) == 1
    assert Item().method(1) == 1


@pytest.mark.parametrize("outer", ["cacheable", "builtin"])
@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_class_methods_and_static_methods_in_both_orders(kind, outer):
    calls = []

    def function(*args):
        calls.append(args)
        return len(calls)

    class Base:
        method = cacheable(kind(function)) if outer == "cacheable" else kind(cacheable(function))

    class Derived(Base):
        pass

    assert Base.method(1) == 1
    assert Base().method(1) == 1
    assert Base.method(2) == 2
    # A static method does not know the class.
    assert Derived.method(1) == (3 if kind is classmethod else 1)
    assert Derived().method(1) == (3 if kind is classmethod else 1)
    assert calls[0] == ((Base, 1) if kind is classmethod else (1,))


def test_a_property_above_works_and_one_below_is_refused():
    assert Account(1, 10).doubled == 20
    assert Account(1, 15).doubled == 20
    with pytest.raises(TypeError, match="@property above @cacheable"):
        cacheable(property(lambda self: 1))


def test_special_methods():
    account = Account(1, 3)
    assert len(account) == 3
    assert account[4] == 7
    account.balance = 50
    assert len(account) == 3
    assert account[4] == 7
    assert account[5] == 55


def test_an_async_method():
    def run(call):
        with pytest.raises(StopIteration) as stop:
            call.send(None)
        return stop.value.value

    assert run(Account(1, 10).fetched()) == 10
    assert run(Account(1, 20).fetched()) == 10
    assert run(Account(2, 20).fetched()) == 20


def test_the_method_of_the_class_is_the_cached_function():
    assert isinstance(Account.total, CachedFunction)
    assert Account.total is Account.__dict__["total"]
    assert Account.total(Account(1, 10)) == 10
    assert Account.total(self=Account(1, 20)) == 10


def test_operations_of_a_method():
    account = Account(1, 10)
    assert account.total() == 10
    account.balance = 20
    assert Account.total.bypass(account) == 20
    assert account.total() == 10
    assert explain(account.total).state == "fresh"
    assert explain(account.total).key == Account.total.key(account)
    assert Account.total.invalidate(account)
    assert explain(account.total).state == "absent"
    assert account.total() == 20
    account.balance = 30
    assert Account.total.refresh(account) == 30
    assert account.total() == 30


def test_partial():
    calls = []

    @cacheable
    def function(left, right, scale=1):
        calls.append(1)
        return (left + right) * scale

    add_one = functools.partial(function, 1)
    assert add_one(2) == 3
    assert function(1, 2) == 3
    assert functools.partial(add_one, scale=2)(2) == 6
    assert function(1, 2, scale=2) == 6
    assert len(calls) == 2

    cached = cacheable(namespace="partial")(functools.partial(function.__wrapped__, 1))
    assert cached(2) == 3
    assert cached(2) == 3
    assert len(calls) == 3


def test_a_partial_without_a_name_asks_for_a_namespace():
    with pytest.raises(TypeError, match="namespace"):
        cacheable(functools.partial(lambda x: x, 1))


def test_a_partial_method():
    class Item(Account):
        plus_five = functools.partialmethod(Account.total, 5)

    assert Item(1, 10).plus_five() == 15
    assert Item(1, 20).plus_five() == 15


def test_methods_of_frozen_instances_with_slots():
    class Slotted:
        __slots__ = ("value",)

        def __init__(self, value):
            self.value = value

        def __zoocache_key__(self):
            return self.value

        @cacheable
        def method(self):
            return [self.value]

    assert Slotted(1).method() == [1]
    assert Slotted(1).method() == [1]
    assert Slotted.method.stats()["hits"] == 1


def test_super_calls_the_method_of_the_base():
    class Base(Account):
        @cacheable
        def method(self):
            return "base"

    class Derived(Base):
        @cacheable
        def method(self):
            return f"derived of {super().method()}"

    assert Derived(1).method() == "derived of base"
    assert Derived(1).method() == "derived of base"
    assert Base(1).method() == "base"


def test_a_copy_of_the_class_dictionary_keeps_the_function():
    namespace = {name: copy.copy(value) for name, value in vars(Account).items() if name == "total"}
    assert namespace["total"] is Account.total


@pytest.mark.parametrize("method", ["total", "__len__"])
def test_the_cache_does_not_keep_self_alive(method):
    account = Account(1, 10)
    died = weakref.ref(account)
    for _ in range(3):  # a miss, a hit, a hit that is remembered
        getattr(Account, method)(account)
    del account
    assert died() is None


def test_the_cache_does_not_keep_an_ignored_self_alive():
    plain = Plain(1)
    died = weakref.ref(plain)
    for _ in range(3):
        plain.shared(5)
    del plain
    assert died() is None


def test_a_call_that_failed_does_not_keep_self_alive():
    class Failing(Account):
        @cacheable
        def method(self):
            raise KeyError

    failing = Failing(1)
    died = weakref.ref(failing)
    with pytest.raises(KeyError):
        failing.method()
    del failing
    gc.collect()
    assert died() is None


def test_a_class_with_cached_methods_can_die():
    class Local:
        @cacheable(ignore=("self",))
        def method(self):
            return 1

    assert Local().method() == 1
    died = weakref.ref(Local)
    del Local
    gc.collect()
    assert died() is None
