"""Results that cannot be handed to two callers are refused, and what holds a list is copied."""

from typing import NamedTuple

import pytest

import zoocache
from zoocache import cacheable


class Page(NamedTuple):
    items: list


@pytest.mark.parametrize("make", [lambda: (n for n in range(3)), lambda: iter([1]), lambda: map(str, [1])])
def test_what_is_read_only_once_is_refused(make):
    @cacheable
    def function():
        return make()

    for _ in range(2):
        with pytest.raises(zoocache.SerializationError, match="return a list"):
            function()


def test_a_coroutine_that_a_plain_function_returns_is_refused():
    made = []

    async def work():
        """Do nothing."""

    @cacheable
    def function():
        made.append(work())
        return made[-1]

    with pytest.raises(zoocache.SerializationError, match="make the cached function async"):
        function()
    made[0].close()


def test_a_named_tuple_that_holds_a_list_is_copied():
    @cacheable
    def function():
        return Page([1, 2])

    function().items.append(3)
    function().items.append(4)
    assert function() == Page([1, 2])
    assert type(function()) is Page
