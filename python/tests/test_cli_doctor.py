"""Each misconfiguration that the doctor finds, planted; and that it finds nothing where nothing is wrong."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import shop, told, zoocache
from helpers import wait_until
from redis_server import Server

from zoocache import Cache, ConfigError
from zoocache.inspect import _doctor_folder, _doctor_server
from zoocache.inspect._server import info_of
from zoocache.inspect.doctor import _installation, examine
from zoocache.testing import frozen_time

pytestmark = pytest.mark.memory_only("it names its storages")

#: What a server for tests has wrong: it has no limit.
NORMAL = {"no-memory-limit"}


def codes(url, **given):
    return {finding.code for finding in examine(url, **given)}


def levels(url, **given):
    # Errors come first, and count.
    return {finding.code: finding.level for finding in reversed(examine(url, **given))}


@contextmanager
def server(*options, port=False):
    running = Server(*options, port=port)
    try:
        yield running
    finally:
        running.end()


@pytest.fixture
def folder(tmp_path):
    """The folder of a cache that another process uses."""
    path = tmp_path / "cache"
    with shop(path):
        yield path


# ---- Nothing is wrong


def test_nothing_is_wrong_with_a_folder_in_use(folder):
    assert codes(f"lmdb://{folder}") == set()


def test_nothing_is_wrong_with_a_server_in_use(redis_server):
    redis_server.ask("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "volatile-lru")
    with shop(redis_server.url):
        assert codes(redis_server.url) == set()


def test_every_finding_says_what_to_do(redis_server):
    findings = examine(redis_server.url) + examine("lmdb:///nowhere/at/all")
    assert findings
    assert all(finding.what and finding.remedy for finding in findings)


def test_an_unknown_place_is_an_error():
    with pytest.raises(ConfigError, match="unknown scheme"):
        examine("http://somewhere")


# ---- Folders


def test_a_folder_that_is_not_there(tmp_path):
    assert levels(f"lmdb://{tmp_path}/cache") == {"missing": "warning"}
    assert levels(f"lmdb://{tmp_path}/deep/er/cache") == {"missing": "error"}
    assert not (tmp_path / "cache").exists()


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "cache").write_text("no folder")
    assert codes(f"lmdb://{tmp_path}/cache") == {"not-a-folder"}


def test_a_folder_of_another_user(tmp_path):
    path = tmp_path / "cache"
    path.mkdir()
    if os.geteuid() == 0:
        with as_another_user(tmp_path):
            assert levels(f"lmdb://{path}") == {"not-writable": "error"}
    else:
        path.chmod(0o500)
        assert levels(f"lmdb://{path}") == {"not-writable": "error"}
        path.chmod(0o700)


@contextmanager
def as_another_user(path):
    for parent in [path, *path.parents]:
        if parent.owner() == "root" and parent.is_relative_to("/tmp") and parent != Path("/tmp"):  # noqa: S108
            parent.chmod(0o755)
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_files_of_several_users(folder, monkeypatch):
    if os.geteuid() == 0:
        os.chown(folder / "entries" / "data.mdb", 65_534, 65_534)
    else:
        # Only root can give a file away.
        monkeypatch.setattr(_doctor_folder, "owners_of", lambda _path: {os.geteuid(), 65_534})
    assert levels(f"lmdb://{folder}") == {"mixed-owners": "warning"}


def test_a_folder_that_everybody_may_change(folder):
    folder.chmod(0o777)
    assert levels(f"lmdb://{folder}") == {"world-writable": "warning"}


def test_a_folder_on_a_network(folder, monkeypatch):
    mounts = "/dev/sda1 / ext4 rw 0 0\nserver:/export {} nfs4 rw 0 0\n".format(
        str(folder.parent).replace(" ", "\\040")
    )
    monkeypatch.setattr(_doctor_folder, "mounts_text", lambda: mounts)
    assert levels(f"lmdb://{folder}") == {"network-file-system": "error"}


def test_the_file_system_of_a_path_is_that_of_the_nearest_mount():
    mounts = "none / ext4 rw 0 0\nnone /mnt/a\\040b nfs rw 0 0\nnone /mnt/a\\040b/c tmpfs rw 0 0\n"
    kinds = [
        _doctor_folder.file_system(Path(path), mounts) for path in ("/mnt/a b/d", "/mnt/a b/c/d", "/mnt/a")
    ]
    assert kinds == ["nfs", "tmpfs", "ext4"]


def test_a_disk_that_is_nearly_full(folder, monkeypatch):
    real = os.statvfs(folder)
    full = os.statvfs_result((*real[:4], 100, *real[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    assert levels(f"lmdb://{folder}") == {"disk-nearly-full": "warning"}


def test_a_map_that_is_nearly_full(tmp_path):
    path = tmp_path / "cache"
    cache = Cache(storage_url=f"lmdb://{path}", lmdb_map_size=8 * 2**20)
    for number in range(9000):
        cache.set(f"key {number}", os.urandom(1000))
    assert levels(f"lmdb://{path}") == {"map-nearly-full": "warning"}


def test_places_for_readers_that_are_nearly_all_taken(tmp_path):
    path = tmp_path / "cache"
    with shop(path, "max_readers=2"):
        assert codes(f"lmdb://{path}") <= {"readers-nearly-full", "not-opened"} != set()


def test_a_folder_of_another_boot(tmp_path):
    path = tmp_path / "cache"
    with shop(path):
        pass
    (path / "boot").write_text("00000000-0000-0000-0000-000000000000\n0\n")
    before = (path / "entries" / "data.mdb").read_bytes()
    assert levels(f"lmdb://{path}") == {"other-boot": "warning"}
    assert (path / "entries" / "data.mdb").read_bytes() == before


def test_files_of_something_else(tmp_path):
    (tmp_path / "data.txt").write_text("something else")
    assert levels(f"lmdb://{tmp_path}") == {"foreign-files": "warning"}


def test_a_clock_that_was_set_back(tmp_path):
    path = tmp_path / "cache"
    with frozen_time() as clock:
        clock.advance(3600)
        Cache(storage_url=f"lmdb://{path}").invalidate("tomorrow")
    assert "clock-set-back" in codes(f"lmdb://{path}")


def test_a_folder_of_another_version(folder, monkeypatch):
    def refuse(*_given):
        text = f"the folder {folder} has format 3, and this version reads 2"
        raise _doctor_folder.CacheError(text)

    monkeypatch.setattr(_doctor_folder, "open_place", refuse)
    assert levels(f"lmdb://{folder}") == {"other-format": "error"}


# ---- Servers


def test_a_server_that_is_away():
    assert levels("redis://127.0.0.1:9") == {"not-reachable": "error"}


def test_a_wrong_password():
    with server("--requirepass", "right-password") as running:
        findings = examine(f"{running.url}?pass=wrong-password")
        assert [finding.code for finding in findings] == ["not-reachable"]
        assert "wrong-password" not in findings[0].what


def test_an_old_server(redis_server):
    info = redis_server.ask("INFO", "all").replace(b"redis_version:7", b"redis_version:5")
    assert "old-server" in {finding.code for finding in _doctor_server.of_info(info_of(info))}
    assert codes(redis_server.url) == {*NORMAL, "missing"}


def test_a_replica():
    with server(port=True) as primary, server("--replicaof", f"127.0.0.1 {primary.port}") as replica:
        wait_until(lambda: b"master_link_status:up" in replica.ask("INFO", "replication"))
        assert levels(replica.url)["replica"] == "error"
        # And the primary does not notice when it is alone.
        assert levels(primary.url)["split-brain"] == "warning"
        primary.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        assert "split-brain" not in codes(primary.url)


def test_a_primary_that_has_lost_its_replicas():
    with server("--min-replicas-to-write", "1") as running:
        assert levels(running.url)["too-few-replicas"] == "error"


def test_a_user_without_the_scripts(redis_server):
    redis_server.ask("ACL", "SETUSER", "app", "on", ">app-password", "~*", "&*", "+@all", "-@scripting")
    found = examine(f"{redis_server.url}?user=app&pass=app-password")
    refused = next(finding for finding in found if finding.code == "permissions")
    assert refused.level == "error"
    assert "EVAL" in refused.what


def test_a_user_without_the_keys(redis_server):
    redis_server.ask("ACL", "SETUSER", "app", "on", ">app-password", "~other:*", "&*", "+@all")
    assert levels(f"{redis_server.url}?user=app&pass=app-password")["permissions"] == "error"


def test_a_user_who_may_not_publish(redis_server):
    redis_server.ask("ACL", "SETUSER", "app", "on", ">app-password", "~*", "resetchannels", "+@all")
    assert levels(f"{redis_server.url}?user=app&pass=app-password")["permissions"] == "warning"


def test_a_renamed_command():
    with server("--rename-command", "UNLINK", "") as running:
        assert levels(running.url)["permissions"] == "error"


@pytest.mark.parametrize(
    ("policy", "code"), [("allkeys-lru", "evicts-invalidations"), ("noeviction", "never-evicts")]
)
def test_an_eviction_policy(redis_server, policy, code):
    redis_server.ask("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", policy)
    assert levels(redis_server.url)[code] == "warning"
    redis_server.ask("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    assert code not in codes(redis_server.url)


def test_a_server_that_is_full(redis_server):
    redis_server.ask("SET", "much", "x" * 2**22)
    redis_server.ask("CONFIG", "SET", "maxmemory", "3mb", "maxmemory-policy", "noeviction")
    assert levels(redis_server.url)["memory-full"] == "error"


def test_a_server_that_saves(redis_server):
    redis_server.ask("CONFIG", "SET", "appendonly", "yes")
    assert levels(redis_server.url)["saves-for-nothing"] == "warning"


def test_a_server_that_cannot_save(redis_server):
    info = redis_server.ask("INFO", "all").replace(
        b"rdb_last_bgsave_status:ok", b"rdb_last_bgsave_status:err"
    )
    findings = {finding.code: finding.level for finding in _doctor_server.of_info(info_of(info))}
    assert findings["saving-fails"] == "error"


def test_another_users_names(redis_server):
    redis_server.ask("SET", "{zoocache}:V", "something else")
    assert levels(redis_server.url)["foreign-key"] == "error"


def test_a_prefix_that_nobody_uses(redis_server):
    assert levels(redis_server.url)["missing"] == "warning"
    with shop(redis_server.url, "prefix='shop'"):
        findings = examine(redis_server.url)
        assert "there are: shop" in next(finding.what for finding in findings if finding.code == "missing")
        assert "missing" not in codes(redis_server.url, prefix="shop")


def test_clocks_that_differ(redis_server, monkeypatch):
    real = time.time
    monkeypatch.setattr(_doctor_server.time, "time", lambda: real() + 90)
    finding = next(one for one in examine(redis_server.url) if one.code == "clock-offset")
    assert "90.0 s behind" in finding.what


def test_a_node_that_is_stopped(redis_server):
    with shop(redis_server.url) as stopped, shop(redis_server.url):
        wait_until(lambda: codes(redis_server.url) == NORMAL)
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            findings = wait_until(
                lambda: [one for one in examine(redis_server.url) if one.code == "node-behind"]
            )
            assert str(stopped.pid) in findings[0].what
        finally:
            os.kill(stopped.pid, signal.SIGCONT)


def test_a_server_that_is_too_slow_for_the_bound(redis_server):
    with shop(redis_server.url):
        busy = threading.Event()
        server_is_slow = Slowness(redis_server, busy)
        server_is_slow.start()
        try:
            assert wait_until(lambda: "slow-server" in codes(redis_server.url, max_staleness=0.02))
        finally:
            busy.set()
            server_is_slow.join()


class Slowness(threading.Thread):
    """Keeps a server from answering, again and again."""

    def __init__(self, server, ends):
        super().__init__(daemon=True)
        self._server, self._ends = server, ends

    def run(self):
        while not self._ends.is_set():
            self._server.ask("DEBUG", "SLEEP", "0.03")


# ---- The installation, and the command


def test_two_installations():
    assert [finding.code for finding in _installation("0.1.0", "0.2.0")] == ["mixed-installation"]
    assert _installation("0.1.0", "0.1.0") == []


def test_the_command_ends_with_1_for_an_error(tmp_path):
    done = zoocache("doctor", "--lmdb", tmp_path / "deep" / "cache")
    assert done.returncode == 1
    assert "error: missing" in done.stdout
    assert "to mend it: mkdir -p" in done.stdout
    assert zoocache("doctor", "--lmdb", tmp_path / "cache").returncode == 0
    assert zoocache("doctor", "--strict", "--lmdb", tmp_path / "cache").returncode == 1
    findings = told("doctor", "--lmdb", tmp_path / "cache")["findings"]
    assert [finding["code"] for finding in findings] == ["missing"]
