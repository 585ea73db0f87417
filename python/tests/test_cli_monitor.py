"""The terminal monitor, used by keys, on caches of this process and on those that another one uses meanwhile."""

import asyncio
import contextlib
import threading
import time

import pytest
from command_line import Sockets, shop
from helpers import DEADLINE

import zoocache
from zoocache import _native, cacheable
from zoocache.inspect import Unreachable, inspect

pytest.importorskip("textual", reason="no textual: not the extra cli") if False else None
from textual.widgets import Static  # noqa: E402
