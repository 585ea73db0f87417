"""The control socket: who may ask, what may be asked, and that nothing that is sent to it does harm."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from command_line import Sockets
from helpers import wait_until
from other_process import Other

import zoocache
from zoocache import Cache, ConfigError, InvalidTag, configure
from zoocache.inspect import Unreachable, _control, control_sockets, inspect
from zoocache.telemetry import TelemetryManager
from zoocache.testing import isolated

pytestmark = pytest.mark.memory_only("it opens sockets of a cache in memory")


@pytest.fixture(autouse=True)
def sockets():
    with Sockets():
        yield
        zoocache.reset()


@pytest.fixture
def path():
    """The control socket of this process."""
    configure(control=True)
    return control_sockets()[os.getpid()]


def ask(path, line):
    """Send bytes, and return what is answered."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        return json.loads(b"".join(iter(lambda: connection.recv(65_536), b"")))


def test_nobody_else_may_enter(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.name == f"{os.getpid()}.sock"


def test_the_same_answers_as_inside(path):
    zoocache.set("key", {"a": 1}, deps=["shop:1"], ttl=60)
    zoocache.invalidate("other")
    with inspect() as inside, inspect(os.getpid()) as outside, inspect(path) as by_path:
        for question in (
            lambda one: [entry.key for entry in one.entries(prefix="k", tag="shop", state="fresh").entries],
            lambda one: one.value("key"),
            lambda one: one.tree(),
            lambda one: one.affected("shop"),
            lambda one: one.explain("key").dependencies,
        ):
            assert question(outside) == question(inside) == question(by_path)
        # From the beginning, not since somebody looks.
        assert [one.tags for one in outside.invalidations()] == [("other",)]
        assert outside.stats().counters is not None
        assert outside.invalidate("shop") > 0
        assert zoocache.get("key") is None
        outside.clear()
        assert outside.prune() >= 0


def test_pages_through_the_socket(path):
    for number in range(25):
        zoocache.set(f"key {number}", 1)
    with inspect(path) as outside:
        assert len({entry.key for entry in outside.all_entries(limit=1000)}) == 25
        first = outside.entries(limit=10)
        second = outside.entries(limit=10, cursor=first.cursor)
        assert not {entry.key for entry in first.entries} & {entry.key for entry in second.entries}


def test_errors_are_the_same_as_inside(path):
    with inspect(path) as outside:
        with pytest.raises(InvalidTag, match="consecutive separators"):
            outside.invalidate("a::b")
        with pytest.raises(KeyError):
            outside.value("nothing")
        with pytest.raises(ValueError, match="not a cursor"):
            outside.entries(cursor="xyz")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"no json\n",
        b"[]\n",
        b"null\n",
        b'{"do": 1}\n',
        b'{"do": []}\n',
        b'{"do": "close"}\n',
        b'{"do": "__class__"}\n',
        b'{"do": "_cache"}\n',
        b'{"do": "stats", "with": []}\n',
        b'{"do": "stats", "with": {"nonsense": 1}}\n',
        b'{"do": "invalidate", "with": {"tags": 5}}\n',
        b'{"do": "invalidate", "with": {"tags": "abc"}}\n',
        b'{"do": "invalidate", "with": {"tags": [{}]}}\n',
        b'{"do": "entries", "with": {"limit": "many"}}\n',
        b'{"do": "entries", "with": {"prefix": null}}\n',
        b"\xff\xfe\n",
        b"[" * 60_000 + b"\n",
        b"x" * 100_000 + b"\n",
        # More than the system holds between the two.
        b"x" * 2_000_000 + b"\n",
    ],
)
def test_nonsense_is_answered_and_does_no_harm(path, line):
    zoocache.set("key", 1)
    assert set(ask(path, line)) == {"failed", "text"}
    assert ask(path, b'{"do": "affected", "with": {"tag": "*"}}\n') == {"done": 1}


def test_who_goes_away_early_does_no_harm(path):
    for sent in (b"", b'{"do": "st', b'{"do": "stats"}\n'):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(sent)
    assert "done" in ask(path, b'{"do": "stats"}\n')


def test_who_says_nothing_is_not_waited_for_long(path, monkeypatch):
    monkeypatch.setattr(_control, "PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(path))
        assert "done" in ask(path, b'{"do": "stats"}\n')


def test_another_user_is_refused(path, monkeypatch):
    if os.geteuid() == 0:
        # Root is answered, so the socket is asked by somebody else.
        path.chmod(0o666)
        for folder in (path.parent, path.parent.parent):
            folder.chmod(0o755)
        asked = in_a_child_as_another_user(path)
    else:
        monkeypatch.setattr(_control.os, "geteuid", lambda: 12_345)
        asked = ask(path, b'{"do": "stats"}\n')
    assert asked == {"failed": "PermissionError", "text": "this is another user's process"}


def in_a_child_as_another_user(path):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setresuid(65_534, 65_534, 65_534)
            os.write(writing, json.dumps(ask(path, b'{"do": "stats"}\n')).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = json.load(pipe)
    os.waitpid(pid, 0)
    return answer


def test_reset_closes_it(path):
    zoocache.reset()
    assert not path.exists()
    with pytest.raises(Unreachable):
        inspect(os.getpid())
    configure(control=True)
    assert path.exists()


def test_no_thread_and_no_file_is_left_over():
    before = set(threading.enumerate())
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        configure(control=True)
        zoocache.reset()
    wait_until(lambda: set(threading.enumerate()) <= before)
    wait_until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= descriptors)


def test_without_control_there_is_none():
    configure()
    assert control_sockets() == {}


def test_a_path(tmp_path):
    configure(control=tmp_path / "socket")
    assert control_sockets() == {}
    with inspect(tmp_path / "socket") as outside:
        assert outside.stats().kind == "memory"
    # Said again it is the same, and another one is another.
    configure(control=tmp_path / "socket")
    with pytest.raises(RuntimeError, match="control="):
        configure(control=True)


@pytest.mark.parametrize("wrong", [1, "", b"", None, [], "x" * 200])
def test_a_wrong_control(wrong):
    with pytest.raises(ConfigError, match="control"):
        configure(control=wrong)
    # And nothing is configured.
    configure(max_entries=5)


def test_it_is_for_the_default_cache():
    with pytest.raises(TypeError, match="no setting 'control'"):
        Cache(control=True)


def test_a_folder_that_others_may_enter_is_refused():
    folder = _control.folder()
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="nobody else may enter"):
        configure(control=True)
    folder.rmdir()
    folder.symlink_to("/")
    with pytest.raises(ConfigError, match="nobody else may enter"):
        configure(control=True)
    folder.unlink()


def test_a_socket_in_use_is_not_taken_away(tmp_path):
    with Other("memory://", f"control={str(tmp_path / 'socket')!r}") as other:
        with pytest.raises(ConfigError, match="cannot be opened"):
            configure(control=tmp_path / "socket")
        other.kill()
        configure(control=tmp_path / "socket")


def test_telemetry_that_is_closed_keeps_nobody_from_looking():
    manager = TelemetryManager()
    configure(control=True, telemetry=manager)
    manager.close()
    zoocache.set("key", 1)
    with inspect() as inside, inspect(os.getpid()) as outside:
        assert inside.value("key") == outside.value("key")


def test_a_socket_that_cannot_be_opened_leaves_telemetry_open(tmp_path):
    manager = TelemetryManager()
    with pytest.raises(ConfigError, match="control: the socket"):
        configure(control=tmp_path / "missing" / "socket", telemetry=manager)
    configure(telemetry=manager)


def test_a_block_of_a_test_closes_what_was_opened_in_it():
    for _ in range(2):
        with isolated():
            configure(control=True)
            assert os.getpid() in control_sockets()
        assert os.getpid() not in control_sockets()


def test_a_block_of_a_test_leaves_the_socket_around_it_open(path):
    with isolated():
        zoocache.set("inner", 1)
    zoocache.set("outer", 1)
    with inspect(path) as outside:
        assert [entry.key for entry in outside.all_entries()] == ["outer"]


def test_what_killed_processes_left_is_removed():
    other = Other("memory://", "control=True")
    left = control_sockets()[other.pid]
    other.kill()
    assert left.exists()
    assert control_sockets() == {}
    configure(control=True)
    assert not left.exists()


def test_a_process_that_ends_removes_its_socket():
    other = Other("memory://", "control=True")
    path = control_sockets()[other.pid]
    assert other.end() == 0
    assert not path.exists()


def test_a_forked_child_has_a_socket_of_its_own():
    source = """
        import os, signal, sys, zoocache
        zoocache.configure(control=True)
        zoocache.set("whose", "both")
        pid = os.fork()
        zoocache.set("whose", "child" if pid == 0 else "parent")
        print(pid or os.getpid(), flush=True) if pid == 0 else None
        signal.pause()
    """
    parent = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", "\n".join(line[8:] for line in source.splitlines())],
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())
    try:
        for pid, expected in ((parent.pid, "parent"), (child, "child")):
            wait_until(lambda pid=pid: pid in control_sockets())

            def whose(pid=pid):
                with inspect(pid) as outside:
                    return outside.value("whose").value

            wait_until(lambda expected=expected, whose=whose: whose() == expected)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_a_folder_is_looked_at_through_the_process(tmp_path):
    with Other(tmp_path / "cache", "control=True") as other:
        other.run("set('key', 1); get('key')")
        with inspect(other.pid) as outside:
            stats = outside.stats()
    assert stats.kind == "lmdb"
    # Its own counters, which nobody else knows.
    assert stats.counters["hits"] == 1
