"""Hits on a server: from the near cache, and from Redis itself; and what an invalidation takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peers import LIFETIME
from raw_redis import MISSING, REDIS
from report import Row, figure
from timing import Series, interleave, statement

from rows.coroutines import interleave_awaited
from zoocache import Cache, codec

if TYPE_CHECKING:
    from raw import Effort

VALUE = b"x" * 100
MEMORY = "a cache in memory"


def rows(url: str, effort: Effort) -> list[Row]:
    """Compare hits of each kind with what they are made of."""
    near = Cache(storage_url=url, prefix="near")
    return [*_near(near, effort), *_near_async(near, effort), *_below(url, effort)]


def _plain(x: int) -> int:
    return x


def _cached(cache: Cache) -> Any:
    return cache.cacheable(deps=["shop:products"], ttl=LIFETIME, namespace="sync")(_plain)


def _near(near: Cache, effort: Effort) -> list[Row]:
    functions = {"ours": _cached(near), MEMORY: _cached(Cache())}
    contenders = {name: statement("call(5)", call=function) for name, function in functions.items()}
    times = interleave(contenders, effort.rounds)
    return [_row("hit from the near cache", times["ours"], MEMORY, times[MEMORY])]


def _near_async(near: Cache, effort: Effort) -> list[Row]:
    async def plain(x: int) -> int:
        return x

    def cached(cache: Cache) -> Any:
        return cache.cacheable(deps=["shop:products"], ttl=LIFETIME, namespace="async")(plain)

    times = interleave_awaited({"ours": cached(near), MEMORY: cached(Cache())}, effort.rounds)
    return [_row("async hit from the near cache", times["ours"], MEMORY, times[MEMORY])]


def _row(work: str, ours: Series, name: str, peer: Series | None) -> Row:
    if peer is None:
        return Row(work, figure(ours), MISSING)
    return Row(work, figure(ours), f"{name}: {figure(peer)}", ours.ratio(peer))


def _below(url: str, effort: Effort) -> list[Row]:
    def value(_x: int) -> bytes:
        return VALUE

    contenders = {}
    caches = {}
    for consistency in ("bounded", "strong"):
        cache = Cache(storage_url=url, prefix="below", near_cache=False, consistency=consistency)
        function = cache.cacheable(deps=["shop:products"], ttl=LIFETIME, namespace=consistency)(value)
        contenders[consistency] = statement("call(5)", call=function)
        caches[consistency] = cache
    contenders["invalidate"] = statement("invalidate('staff:7:pay')", invalidate=caches["bounded"].invalidate)
    if REDIS:
        client = REDIS.Redis.from_url(url)
        client.set("key", codec.dumps(VALUE))
        contenders["get"] = statement("get('key')", get=client.get)
        contenders["get, loads"] = statement("loads(get('key'))", get=client.get, loads=codec.loads)
        contenders["set"] = statement("set('other', value)", set=client.set, value=VALUE)
    times = interleave(contenders, effort.rounds)
    get, loaded = times.get("get"), times.get("get, loads")
    return [
        _row("hit from Redis, 100 bytes", times["bounded"], "redis-py with hiredis, get", get),
        _row(
            "hit from Redis, 100 bytes",
            times["bounded"],
            "redis-py with hiredis, get and codec.loads",
            loaded,
        ),
        _row("hit from Redis, 100 bytes, strong", times["strong"], "redis-py with hiredis, get", get),
        _row("invalidate, 3 deep", times["invalidate"], "redis-py with hiredis, set", times.get("set")),
    ]
