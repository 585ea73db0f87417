"""Where the package logs what its users should know of and no exception tells them."""

from __future__ import annotations

import logging

logger = logging.getLogger("zoocache")
