"""The fixtures of zoocache for pytest.

A package beside `zoocache`, because a module inside of it could not be imported without it: programs whose
tests do not use the fixtures do not pay for them, and coverage sees their imports of zoocache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zoocache import Cache
    from zoocache.testing import frozen_time


@pytest.fixture
def zoocache_isolated() -> Iterator[Cache]:
    """Give the test a default cache of its own, in memory; the one before is put back afterwards."""
    from zoocache.testing import isolated  # noqa: PLC0415 - see above

    with isolated() as cache:
        yield cache


@pytest.fixture
def zoocache_frozen_time() -> Iterator[frozen_time]:
    """Give the test a default cache of its own, and stop the clocks of all caches; see `advance`."""
    from zoocache.testing import frozen_time  # noqa: PLC0415 - see above

    with frozen_time() as time:
        yield time
