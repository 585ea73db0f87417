"""What may be wrong with a Redis server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from zoocache._errors import CacheError
from zoocache.inspect._base import Unreachable
from zoocache.inspect._finding import Finding, bytes_text
from zoocache.inspect._open import open_place
from zoocache.inspect._server import Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from zoocache.inspect.records import Node

#: The first version that knows what the scripts call.
_OLDEST = (6, 2)
#: What is fuller than this is nearly full.
_NEARLY = 0.95
#: Clocks that differ by less are right enough: nothing but times that people read depends on it.
_CLOCK_SECONDS = 0.5
_MICROSECONDS = 1_000_000
#: No entry has this key.
_NOTHING = "zoocache doctor"


def examine(url: str, prefix: str, max_staleness: float) -> list[Finding]:
    """Look at a server, and at the cache on it if there is one."""
    server = Server(url, prefix)
    try:
        refused = _refused(server)
    except CacheError as error:
        return [
            Finding(
                "not-reachable",
                "error",
                str(error),
                "compare address, user and password with those in configure(); is the server running, and is "
                "it TLS?",
            )
        ]
    findings = list(of_permissions(refused))
    if "INFO" not in refused:
        findings += of_info(server.info("all"))
    findings += of_clocks(server)
    if any(finding.level == "error" for finding in findings):
        return findings
    return findings + list(_of_cache(server, url, prefix, max_staleness))


def _refused(server: Server) -> dict[str, str]:
    """Which commands the server refuses this user, and why; none of these changes anything."""
    probe = server.probe
    table, entry = probe.table, probe.entry(_NOTHING)
    needed: Iterable[tuple[str | int, ...]] = (
        ("EVAL", "return 1", 0),
        ("EVALSHA", "0" * 40, 0),
        ("SCRIPT", "EXISTS", "0" * 40),
        ("INFO", "replication"),
        ("TIME",),
        ("TYPE", table),
        ("ZADD", table, "XX", 0, "!"),
        ("ZRANGE", table, 0, 0),
        ("ZRANGEBYSCORE", table, 0, 0),
        ("ZREM", table, "!"),
        ("ZSCORE", table, "!"),
        ("ZMSCORE", table, "!"),
        ("GET", entry),
        ("GETRANGE", entry, 0, 0),
        ("SET", entry, "", "XX", "PX", 1),
        ("UNLINK", entry),
        ("PTTL", entry),
        ("PEXPIRE", entry, 1),
        ("SCAN", 0, "MATCH", probe.entries, "COUNT", 1),
        # For a lock that nobody waits for.
        ("PUBLISH", probe.bell, "u zoocache doctor"),
        ("XRANGE", probe.history, "-", "-"),
        ("CLIENT", "LIST", "ID", 0),
    )
    answers = {str(words[0]): server.probe.ask(*words) for words in needed}
    return {name: str(answer) for name, answer in answers.items() if isinstance(answer, PermissionError)}


#: Without these it works, and something is missing.
_OPTIONAL = {
    "PUBLISH": "nodes learn of each other's invalidations by asking, up to max_staleness later",
    "XRANGE": "nobody can say who invalidated something",
    "CLIENT": "nobody can say which nodes there are",
}


def of_permissions(refused: Mapping[str, str]) -> Iterator[Finding]:
    """Look at which commands are refused, and with which words."""
    causes = {
        name: text for name, text in refused.items() if "NOPERM" in text or "unknown command" in text.lower()
    }
    missing = sorted(name for name in causes if name not in _OPTIONAL)
    if missing:
        yield Finding(
            "permissions",
            "error",
            f"the server refuses this user {', '.join(missing)}",
            "let the user have them, on all of its keys: ACL SETUSER NAME ~* &* +@all -@dangerous +info "
            "+script "
            "+client; and rename none of them",
        )
    for name in sorted(causes):
        if name in _OPTIONAL:
            yield Finding(
                "permissions",
                "warning",
                f"the server refuses this user {name}: {_OPTIONAL[name]}",
                f"ACL SETUSER NAME +{name.lower()}, and for PUBLISH the channels &*",
            )
    if any("WRONGTYPE" in text for text in refused.values()):
        yield Finding(
            "foreign-key",
            "error",
            "something else on the server uses the names of this prefix",
            "give the cache another prefix=, or a database of its own",
        )
    if any("READONLY" in text for text in refused.values()):
        yield Finding(
            "replica",
            "error",
            "the server is a replica: it takes no invalidations",
            "give the address of the primary, or the sentinels: redis+sentinel://HOST:PORT/SERVICE",
        )
    if any("MISCONF" in text for text in refused.values()):
        yield _not_saved()
    if any("NOREPLICAS" in text for text in refused.values()):
        yield Finding(
            "too-few-replicas",
            "error",
            "the server takes no writes, as it has lost its replicas (min-replicas-to-write)",
            "look after the replicas; until then invalidations are queued",
        )


def of_info(info: Mapping[str, str]) -> Iterator[Finding]:
    """Look at what `INFO` says."""
    version = info.get("redis_version", "")
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if numbers and numbers < _OLDEST:
        yield Finding(
            "old-server",
            "error",
            f"the server is version {version}; zoocache needs 6.2 or later",
            "update the server, or use Valkey",
        )
    yield from _of_memory(info)
    if info.get("rdb_last_bgsave_status") == "err":
        yield _not_saved()
    replicas = info.get("connected_slaves", "0")
    if info.get("role") == "master" and replicas != "0" and info.get("min_slaves_good_slaves") is None:
        yield Finding(
            "split-brain",
            "warning",
            "the server has replicas, and goes on taking invalidations when it has lost them: after a "
            "failover some "
            "machines may still use it",
            "CONFIG SET min-replicas-to-write 1, CONFIG SET min-replicas-max-lag 1",
        )


def _not_saved() -> Finding:
    return Finding(
        "saving-fails",
        "error",
        "the server could not save its data, and may refuse invalidations for that "
        "(stop-writes-on-bgsave-error)",
        "look into its log; a cache needs no saving: CONFIG SET save ''",
    )


def _of_memory(info: Mapping[str, str]) -> Iterator[Finding]:
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    policy = info.get("maxmemory_policy", "")
    if most == 0:
        yield Finding(
            "no-memory-limit",
            "warning",
            "the server may use all memory of its machine (maxmemory 0)",
            "CONFIG SET maxmemory SIZE, CONFIG SET maxmemory-policy volatile-lru",
        )
    elif policy.startswith("allkeys"):
        yield Finding(
            "evicts-invalidations",
            "warning",
            f"with maxmemory-policy {policy} the server may remove what orders invalidations; the cache is "
            f"cold then",
            "CONFIG SET maxmemory-policy volatile-lru",
        )
    elif policy == "noeviction":
        yield Finding(
            "never-evicts",
            "warning",
            "with maxmemory-policy noeviction nothing is stored any more when the server is full",
            "CONFIG SET maxmemory-policy volatile-lru",
        )
    if most and used > most * _NEARLY and policy == "noeviction":
        yield Finding(
            "memory-full",
            "error",
            f"the server is full: {bytes_text(used)} of {bytes_text(most)}, and removes nothing",
            "CONFIG SET maxmemory-policy volatile-lru, or raise maxmemory",
        )
    if info.get("aof_enabled") == "1":
        yield Finding(
            "saves-for-nothing",
            "warning",
            "the server writes each change to its disk (appendonly), and the cache is cold after a restart "
            "all the same",
            "a server of its own for the cache, with appendonly no",
        )


def of_clocks(server: Server) -> Iterator[Finding]:
    """Compare the server's clock with this machine's."""
    try:
        before, there, after = time.time(), server.now() / _MICROSECONDS, time.time()
    except CacheError:
        return
    # Where between the two the server looked is not known.
    ahead = there - after if there > after else min(0.0, there - before)
    if abs(ahead) > _CLOCK_SECONDS:
        yield Finding(
            "clock-offset",
            "warning",
            f"the server's clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this "
            f"machine's: nothing "
            "is stale for that, but ages and times that are told are wrong",
            "let one time service set the clocks of both (timedatectl)",
        )


def _of_cache(server: Server, url: str, prefix: str, max_staleness: float) -> Iterator[Finding]:
    try:
        with open_place(url, prefix, None) as inspector:
            nodes = inspector.nodes()
    except Unreachable as error:
        yield Finding(
            "missing",
            "warning",
            f"{error}",
            "compare the prefix with the one in configure(); the first program that uses it makes it",
        )
        return
    except CacheError:
        # Found before: permissions.
        return
    yield from of_nodes(nodes, max_staleness)
    started = time.perf_counter()
    server.now()
    took = time.perf_counter() - started
    if took > max_staleness / 2:
        yield Finding(
            "slow-server",
            "warning",
            f"the server takes {took * 1000:.1f} ms to answer, and max_staleness is "
            f"{max_staleness * 1000:.0f} ms: near "
            "caches stop serving now and then",
            "raise max_staleness=, or move the server nearer (SLOWLOG GET shows what keeps it busy)",
        )


def of_nodes(nodes: Iterable[Node], max_staleness: float) -> Iterator[Finding]:
    """Look at how far nodes are behind."""
    late: list[Any] = [node for node in nodes if (node.behind or 0) > max_staleness and not node.is_self]
    for node in late:
        yield Finding(
            "node-behind",
            "warning",
            f"{node.name} has not heard of an invalidation for {node.behind:.1f} s; by now it serves nothing "
            f"from memory",
            "is that process stopped or overloaded, or its network cut?",
        )
