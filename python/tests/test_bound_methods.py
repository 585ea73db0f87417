"""A cached method found on an instance or a class: a bound method whose operations know the instance."""

import copy
import functools
import gc
import inspect
import pickle
import sys
import types
import weakref

import pytest

from zoocache import CachedFunction, cacheable, explain


class Account:
    """An object that says what identifies it."""

    def __init__(self, number, balance=0):
        self.number, self.balance = number, balance

    def __zoocache_key__(self):
        return self.number

    def __eq__(self, other):
        return isinstance(other, Account) and other.number == self.number

    def __hash__(self):
        return hash(self.number)

    @cacheable
    def total(self, extra=0):
        """Add to the balance."""
        return self.balance + extra

    @cacheable
    async def fetched(self):
        return self.balance

    @cacheable
    @classmethod
    def limit(cls, factor=1):
        """Multiply the limit."""
        cls.calls += 1
        return cls.__name__, factor

    @cacheable
    @classmethod
    async def fetched_limit(cls):
        return cls.__name__

    calls = 0


class Savings(Account):
    calls = 0


def run(call):
    with pytest.raises(StopIteration) as stop:
        call.send(None)
    return stop.value.value


def test_it_is_what_a_bound_method_is():
    account = Account(1)
    bound = account.total
    assert bound.__self__ is account
    assert bound.__func__ is Account.total
    assert bound.__name__ == "total"
    assert bound.__qualname__ == "Account.total"
    assert bound.__module__ == __name__
    assert bound.__doc__ == "Add to the balance."
    assert bound.__defaults__ == (0,)
    assert str(inspect.signature(bound)) == "(extra=0)"
    assert str(inspect.signature(Account.total)) == "(self, extra=0)"
    assert inspect.iscoroutinefunction(account.fetched)
    assert not inspect.iscoroutinefunction(bound)
    assert isinstance(bound.__wrapped__, types.MethodType)
    assert bound.__wrapped__(5) == 5
    assert callable(bound)
    assert repr(bound) == f"<bound cached method Account.total of {account!r}>"


def test_equality_is_that_of_bound_methods():
    account, other = Account(1), Account(1)
    assert account == other
    assert account.total == account.total
    assert hash(account.total) == hash(account.total)
    assert account.total != other.total
    assert account.total != account.fetched
    assert account.total != account.total.__wrapped__
    assert account.total != 5
    assert len({account.total, account.total, other.total}) == 2
    with pytest.raises(TypeError):
        assert account.total < other.total


def test_every_way_to_call_it():
    bound = Account(1, 10).total
    assert bound() == 10
    assert bound(1) == 11
    assert bound(extra=2) == 12
    assert bound(*(3,)) == 13
    assert bound(extra=4) == 14
    assert bound.__call__(5) == 15
    assert functools.partial(bound, 6)() == 16
    assert list(map(bound, [7, 8])) == [17, 18]
    assert Account.total.stats()["misses"] >= 9
    hits = Account.total.stats()["hits"]
    assert [bound(1), bound(extra=2), bound(*(3,))] == [11, 12, 13]
    assert Account.total.stats()["hits"] == hits + 3


def test_many_arguments():
    class Item:
        @cacheable(ignore=("self",))
        def collect(self, *args, **kwargs):
            return args, kwargs

    bound = Item().collect
    for _ in range(2):
        assert bound(*range(20), a=1, b=2) == (tuple(range(20)), {"a": 1, "b": 2})
        assert bound() == ((), {})
        assert bound(a=1) == ((), {"a": 1})


def test_the_callers_arguments_stay_what_they_are():
    # The interpreter lends a place before the arguments, which holds something else of the caller's.
    bound = Account(1, 10).total
    values = [bound(bound(bound(1))) for _ in range(3)]
    assert values == [31] * 3


def test_arguments_that_do_not_fit():
    with pytest.raises(TypeError, match="total"):
        Account(1).total(1, 2, 3)
    with pytest.raises(TypeError):
        Account(1).total(nothing=1)
    with pytest.raises(TypeError):
        Account(1).total.key(1, 2)


def test_operations_get_the_instance():
    account = Account(1, 10)
    assert account.total(5) == 15
    account.balance = 20
    assert account.total.bypass(5) == 25
    assert account.total(5) == 15
    assert account.total.key(extra=5) == Account.total.key(account, 5)
    assert explain(account.total, 5).state == "fresh"
    assert explain(account.total, 5).key == account.total.key(5)
    assert account.total.invalidate(5) is True
    assert account.total.invalidate(5) is False
    assert explain(account.total, 5).state == "absent"
    assert account.total(5) == 25
    account.balance = 30
    assert account.total.refresh(extra=5) == 35
    assert account.total(5) == 35
    assert account.total.tag == Account.total.tag
    assert account.total.stats() == Account.total.stats()


def test_operations_of_an_async_method():
    account = Account(1, 10)
    assert run(account.fetched()) == 10
    account.balance = 20
    assert run(account.fetched.bypass()) == 20
    assert run(account.fetched()) == 10
    assert run(account.fetched.refresh()) == 20
    assert run(account.fetched()) == 20
    assert account.fetched.invalidate()


def test_operations_of_a_class_method_get_the_class():
    assert Account.limit(2) == ("Account", 2)
    assert Savings.limit(2) == ("Savings", 2)
    assert Account.limit.invalidate(2)
    assert not Account.limit.invalidate(2)
    assert Savings.limit.invalidate(2)
    assert Account.limit.__self__ is Account
    assert Savings(1).limit.__self__ is Savings
    assert Account(1).limit == Account.limit
    assert Account.limit.key() == Account(1).limit.key() != Savings.limit.key()
    assert Account.limit.refresh(3) == ("Account", 3)
    assert Account.limit.bypass(factor=4) == ("Account", 4)
    assert explain(Account.limit, 3).state == "fresh"
    assert str(inspect.signature(Account.limit)) == "(factor=1)"
    assert Account.limit.__doc__ == "Multiply the limit."
    assert isinstance(Account.__dict__["limit"], classmethod)
    assert isinstance(Account.limit.__func__, CachedFunction)
    assert inspect.iscoroutinefunction(Account.fetched_limit)
    assert run(Savings.fetched_limit()) == "Savings"


def test_a_class_method_around_the_cached_function():
    class Item:
        @classmethod
        @cacheable
        def method(cls, number):
            return cls.__name__, number

    assert Item.method(1) == ("Item", 1)
    assert explain(Item.method, 1).state == "fresh"
    if sys.version_info < (3, 13):  # since then such a method is bound by the interpreter alone
        assert Item.method.invalidate(1)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_finds_it_by_its_name(protocol):
    account = Account(1, 10)
    bound = pickle.loads(pickle.dumps(account.total, protocol))  # noqa: S301 - our own
    assert bound.__self__ == account
    assert bound.__func__ is Account.total
    assert bound(5) == 15
    assert pickle.loads(pickle.dumps(Savings.limit, protocol)) == Savings.limit  # noqa: S301


def test_copies():
    account = Account(1, 10)
    assert copy.copy(account.total) == account.total
    deep = copy.deepcopy({"method": account.total})["method"]
    assert deep.__self__ is not account
    assert deep.__self__ == account
    assert deep.__func__ is Account.total


def test_weak_references():
    account = Account(1, 10)
    bound = account.total
    reference, method = weakref.ref(bound), weakref.WeakMethod(account.total)
    assert reference() is bound
    assert method() == bound
    assert method()(5) == 15
    del bound
    assert reference() is None
    del account
    gc.collect()
    assert method() is None


def test_it_keeps_its_instance_alive_and_no_longer():
    account = Account(1)
    died = weakref.ref(account)
    account.callback = account.total  # a cycle
    bound = account.total
    del account
    gc.collect()
    assert died() is bound.__self__
    del bound
    gc.collect()
    assert died() is None


def test_attributes_of_the_function():
    def method(self):
        return self

    method.colour = "red"
    method.__special__ = "blue"

    class Item:
        cached = cacheable(ignore=("self",))(method)

    bound = Item().cached
    assert bound.colour == "red"
    assert bound.__special__ == "blue"
    with pytest.raises(AttributeError, match="nothing"):
        bound.nothing  # noqa: B018
    with pytest.raises(AttributeError):
        bound.colour = "green"
    assert not hasattr(bound, "__get__")


def test_a_signature_of_the_functions_own():
    def method(self, *args):
        return args

    method.__signature__ = inspect.signature(lambda self, x, y: None)

    class Item:
        cached = cacheable(ignore=("self",))(method)

    assert str(inspect.signature(Item().cached)) == "(x, y)"
    assert Item().cached(1, 2) == (1, 2)


def test_it_is_made_of_a_cached_function_only():
    account = Account(1, 10)
    kind = type(account.total)
    assert kind(Account.total, account) == account.total
    for arguments in [(), (1, 2), (len, account), (Account.total,)]:
        with pytest.raises(TypeError, match="cached function"):
            kind(*arguments)


def test_caching_a_cached_method_again_is_refused():
    with pytest.raises(TypeError, match="cached already"):
        cacheable(Account(1).total)


def test_super_and_partial_methods():
    class Derived(Account):
        @cacheable
        def total(self, extra=0):
            bound = super().total
            return bound(extra) * 2

        plus_five = functools.partialmethod(Account.total, 5)

    assert Derived(1, 10).total(1) == 22
    assert Derived(1, 10).plus_five() == 15
