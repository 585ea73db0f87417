"""What a judgement costs from Python."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from wasmtime.component import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from component import Instance

TAGS = ["org:1:item1", "org:1:item2", "org:1:item3"]
HEADERS = 1000


def judgement_times(instance: Instance) -> tuple[float, float]:
    """Measure a `judge` of 3 dependencies of depth 3, and a `judge-many` of 1000 such: in microseconds."""
    engine = instance.method("engine", "constructor")(_config())
    instance.method("engine", "invalidate")(engine, TAGS, 1)
    fill = instance.method("engine", "begin")(engine, 2)
    entry = instance.method("engine", "seal")(engine, fill, TAGS, None, 3)
    header = instance.method("entry", "header")(entry, 2, 0)
    judge = instance.method("engine", "judge")
    judge_many = instance.method("engine", "judge-many")
    headers = [header] * HEADERS
    return (
        _median(1000, lambda: judge(engine, header, 4)),
        _median(11, lambda: judge_many(engine, headers, 4)),
    )


def _config() -> Record:
    domain, config = Record(), Record()
    vars(domain).update({"high": 0, "low": 7})
    vars(config).update({"domain": domain, "order": "alone", "max-drift": 500000})
    vars(config).update({"hash-seed": 0, "node-id": 1, "entries-outside": True})
    return config


def _median(times: int, call: Callable[[], Any]) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - began)
    return statistics.median(taken) / 1000
